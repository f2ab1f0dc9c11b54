"""The store configurations that tests run on."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from servers import Servers


@contextmanager
def _sqlite(_servers: Servers) -> Iterator[dict[str, str]]:
    yield {}


@contextmanager
def _postgresql(servers: Servers) -> Iterator[dict[str, str]]:
    server = servers.postgresql
    database = server.make_database()
    yield {"DATABASE_URL": database.url}
    server.drop(database)


@contextmanager
def _postgresql_and_redis(servers: Servers) -> Iterator[dict[str, str]]:
    with _postgresql(servers) as database, servers.redis.empty_database() as url:
        yield {**database, "REDIS_URL": url}


@contextmanager
def _sqlite_and_cluster(servers: Servers) -> Iterator[dict[str, str]]:
    """A Cluster has one database only, which is never emptied: for tests that use names of their own."""
    yield {"REDIS_URL": servers.redis_cluster}


SETUPS: dict[str, Callable[[Servers], AbstractContextManager[dict[str, str]]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgresql+redis": _postgresql_and_redis,
}
"""Those that the HTTP suite runs on."""

CONTRACTED = {**SETUPS, "sqlite+cluster": _sqlite_and_cluster}
"""Those that the contracts run on."""
