"""The contracts run on every set-up of stores that the HTTP suite runs on, and on a Cluster."""

from collections.abc import Iterator

import pytest

from servers import Servers
from setups import CONTRACTED


@pytest.fixture(scope="module", params=CONTRACTED)
def setup(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def store(setup: str, servers: Servers) -> Iterator[dict[str, str]]:
    with CONTRACTED[setup](servers) as settings:
        yield settings
