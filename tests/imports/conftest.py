from collections.abc import Iterator

import pytest

from legacy_server import Predecessor, redis_server


@pytest.fixture(scope="session")
def _redis() -> Iterator[Predecessor]:
    with redis_server() as server:
        yield server


@pytest.fixture
def predecessor(_redis: Predecessor) -> Predecessor:
    """The predecessor's Redis, empty."""
    _redis.redis.flushall()
    return _redis
