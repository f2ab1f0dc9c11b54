import pytest


@pytest.fixture(autouse=True)
def _own_logging(own_logging: None) -> None:
    """Give the test run its logging back after each command."""
