"""Stores whose servers lose their power together with the service, or without it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

from faults.sizes import CRASHES, CRASHES_WITH_POSTGRESQL, CRASHES_WITH_REDIS
from redis_servers import RedisServer, own_redis
from servers import OwnPostgres, own_postgresql


@dataclass(frozen=True)
class Stores:
    """A set-up of stores as settings, and the servers behind it, which are nobody else's."""

    settings: dict[str, str]
    servers: list[OwnPostgres | RedisServer] = field(default_factory=list)
    keeps_sessions: bool = True
    """Whether sessions outlive the death of their server. What does not may only be missing, never come back."""

    @property
    def crashes(self) -> int:
        """How often a test cuts the power."""
        if not self.servers:
            return CRASHES
        return CRASHES_WITH_REDIS if self.has_redis else CRASHES_WITH_POSTGRESQL

    @property
    def has_redis(self) -> bool:
        return "REDIS_URL" in self.settings

    def kill(self) -> None:
        """End every process of every server by SIGKILL."""
        for server in self.servers:
            server.kill()

    def start(self) -> None:
        for server in self.servers:
            server.start()


@contextmanager
def _embedded() -> Iterator[Stores]:
    yield Stores({})


@contextmanager
def _postgresql() -> Iterator[Stores]:
    with own_postgresql() as server:
        yield Stores({"DATABASE_URL": server.make_database().url}, [server])


@contextmanager
def _postgresql_and_redis() -> Iterator[Stores]:
    with ExitStack() as stack:
        database = stack.enter_context(own_postgresql())
        redis = stack.enter_context(own_redis(appendonly="yes", appendfsync="always"))
        yield Stores({"DATABASE_URL": database.make_database().url, "REDIS_URL": redis.url}, [database, redis])


@contextmanager
def _embedded_and_forgetful_redis() -> Iterator[Stores]:
    """A Redis that writes nothing to the disk: every death of it is the end of every session."""
    with own_redis() as redis:
        yield Stores({"REDIS_URL": redis.url}, [redis], keeps_sessions=False)


SETUPS: dict[str, Callable[[], AbstractContextManager[Stores]]] = {
    "sqlite": _embedded,
    "postgresql": _postgresql,
    "postgresql+redis": _postgresql_and_redis,
    "sqlite+redis": _embedded_and_forgetful_redis,
}
