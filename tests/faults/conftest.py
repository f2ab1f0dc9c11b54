import pytest

from faults.sizes import TEST_SECONDS

SETUPS: dict[str, dict[str, str]] = {"sqlite": {}}
"""Every set-up of stores that faults are tried on, as settings. One more is one more line."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.fixture(params=SETUPS)
def store(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings that choose a set-up of stores, for a service of the test's own."""
    return SETUPS[request.param]
