import gc
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from doorward.stores import Stores, select_stores
from factories import Workers
from harness import Service, Tenant, TurnableClock, read_settings, running
from servers import Servers
from store_configs import SETUPS
from terminal import Operator

pytest_plugins = ["faults.figures", "promises.plugin"]

FIRST = next(iter(SETUPS))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not os.environ.get("DOORWARD_TORTURE"):
        spared = [item for item in items if _says_nothing_new(item)]
        config.hook.pytest_deselected(items=spared)
        items[:] = [item for item in items if not _says_nothing_new(item)]
    # Fast ones first: a mistake shows within seconds. Then what is long, or one worker would end with it alone.
    items.sort(key=lambda item: (bool(item.get_closest_marker("slow")), not item.get_closest_marker("long")))


def _says_nothing_new(item: pytest.Item) -> bool:
    """Tell whether a test that is marked `one_setup` is to be run on another set-up than the first."""
    call = getattr(item, "callspec", None)
    if call is None or item.get_closest_marker("one_setup") is None:
        return False
    return bool(call.params.get("setup", FIRST) != FIRST)


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Real servers of this run; each is started at its first use."""
    servers = Servers()
    yield servers
    servers.stop()


@pytest.fixture(scope="module", params=SETUPS)
def setup(request: pytest.FixtureRequest) -> str:
    """The name of a set-up of stores: the test is run on every one."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def store(setup: str, servers: Servers) -> Iterator[dict[str, str]]:
    """The settings that choose a set-up of stores, empty and for this module only."""
    with SETUPS[setup](servers) as settings:
        yield settings


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
def service(setup: str, servers: Servers, tmp_path: Path, clock: TurnableClock) -> Iterator[Service]:
    """A service of its own for a test, over stores of its own, unthrottled, on the turnable clock."""
    with SETUPS[setup](servers) as store, running(read_settings(tmp_path, store), clock) as service:
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


@pytest.fixture
async def workers(store: dict[str, str], module_folder: Path) -> AsyncIterator[Workers]:
    """Two independent instances of a set-up's stores, as two workers of one service have. Tests use names of their own."""
    settings = read_settings(module_folder, store)
    async with AsyncExitStack() as stack:
        opened: list[Stores] = []
        for _ in range(2):
            stores = select_stores(settings)
            await stores.open()
            stack.push_async_callback(stores.close)
            opened.append(stores)
        yield Workers(*opened)


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Put the logging of the test run back after a command that set up its own."""
    root = logging.getLogger()
    handlers, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising


@pytest.fixture
def operator(shared: Service, store: dict[str, str], module_folder: Path) -> Operator:
    """The operator of the shared service, which runs meanwhile."""
    assert shared.url
    return Operator(module_folder, store)
