"""Fixtures of Redis tests."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from doorward.stores import Stores, select_stores
from harness import read_settings
from redis_servers import RedisServer, own_cluster, own_redis
from session_factories import Opener


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """One server for tests that leave it as it is. They use names of their own."""
    with own_redis() as server:
        yield server


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[list[RedisServer]]:
    with own_cluster() as nodes:
        yield nodes


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A server of its own for a test."""
    with own_redis() as server:
        yield server


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """Open the stores of one worker over a Redis and the test's own database; several times for several workers."""

    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Stores]:
        stores = select_stores(read_settings(tmp_path, {"REDIS_URL": url}))
        await stores.open()
        try:
            yield stores
        finally:
            await stores.close()

    return opened


@pytest.fixture(params=["one", "cluster"])
def any_redis(request: pytest.FixtureRequest) -> str:
    """The address of one node, and of a Cluster."""
    if request.param == "one":
        server: RedisServer = request.getfixturevalue("shared_redis")
        return server.url
    nodes: list[RedisServer] = request.getfixturevalue("shared_cluster")
    return f"redis://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"
