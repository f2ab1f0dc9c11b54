import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Service, Tenant, TurnableClock, read_settings, running

SETUPS = ["sqlite"]
"""Every set-up of stores that the HTTP suite runs on."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Fast ones first: a mistake shows within seconds.
    items.sort(key=lambda item: bool(item.get_closest_marker("slow")))


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture(scope="module", params=SETUPS)
def store(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings that choose a set-up of stores."""
    return {"sqlite": {}}[request.param]


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def shared(store: dict[str, str], module_folder: Path) -> Iterator[Service]:
    """One service for a module's tests, unthrottled, on the machine's clock. Tests use tenants of their own."""
    with running(read_settings(module_folder, store)) as service:
        yield service
    gc.collect()


@pytest.fixture
def service(store: dict[str, str], tmp_path: Path, clock: TurnableClock) -> Iterator[Service]:
    """A service of its own for a test, unthrottled, on the turnable clock."""
    with running(read_settings(tmp_path, store), clock) as service:
        yield service


@pytest.fixture
def tenant(shared: Service) -> Tenant:
    """A fresh tenant of the shared service."""
    from uuid import uuid4

    return shared.tenant(f"{uuid4().hex}@example.org")


@pytest.fixture
def other(shared: Service) -> Tenant:
    """Another tenant, who is none of the first one's business."""
    from uuid import uuid4

    return shared.tenant(f"{uuid4().hex}@example.org")
