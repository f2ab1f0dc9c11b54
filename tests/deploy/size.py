"""Measures what a session takes in each store: `python tests/deploy/size.py [sessions]`. Prints bytes for each.

Every session is of a user of its own, which is the worst case: each brings the row, or the key, of its owner along.
"""

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from doorward.core.errors import StoreUnavailable
from doorward.stores import migrate, select_stores
from harness import read_settings
from redis_servers import own_redis
from servers import own_postgresql
from session_factories import user_session

_IN_FLIGHT = 32
_TABLES = ("sessions", "epochs")

Measure = Callable[[], int]


@contextlib.contextmanager
def _sqlite(folder: Path) -> Iterator[tuple[dict[str, str], Measure]]:
    yield {}, lambda: sum(file.stat().st_size for file in folder.glob("doorward.db"))


@contextlib.contextmanager
def _postgresql(_folder: Path) -> Iterator[tuple[dict[str, str], Measure]]:
    with own_postgresql(max_wal_size="4GB") as server:
        database = server.make_database()

        def size() -> int:
            tables = ", ".join(f"('{name}')" for name in _TABLES)
            return int(
                database.run(f"SELECT sum(pg_total_relation_size(t::regclass)) FROM (VALUES {tables}) v (t)")[0][0]
            )

        yield {"DATABASE_URL": database.url}, size


@contextlib.contextmanager
def _redis(_folder: Path) -> Iterator[tuple[dict[str, str], Measure]]:
    with own_redis() as server:
        yield {"REDIS_URL": server.url}, lambda: int(server.do("INFO", "memory")["used_memory"])


async def open_sessions(settings: dict[str, str], folder: Path, count: int) -> float:
    """Open sessions of one tenant in the stores that `settings` choose; return the seconds it took."""
    stores = select_stores(read_settings(folder, settings))
    await stores.open()
    began = time.monotonic()
    tenant = str(uuid4())
    lanes = min(_IN_FLIGHT, count)

    async def lane(first: int) -> None:
        for _ in range(first, count, lanes):
            session, opened = user_session(tenant), False
            while not opened:
                with contextlib.suppress(StoreUnavailable):  # overtaxed for a moment: asked again
                    await stores.sessions.open(session, cap=100)
                    opened = True

    try:
        await asyncio.gather(*(lane(number) for number in range(lanes)))
    finally:
        await stores.close()
    return time.monotonic() - began


def bytes_of_a_session(name: str, count: int) -> tuple[float, float]:
    """Return the bytes that one of `count` sessions takes in the set-up of this name, and the seconds for all."""
    with tempfile.TemporaryDirectory() as place, SETUPS[name](Path(place)) as (settings, size):
        folder = Path(place)
        migrate(read_settings(folder, settings))
        before = size()
        seconds = uvloop.run(open_sessions(settings, folder, count))
        return (size() - before) / count, seconds


SETUPS = {"sqlite": _sqlite, "postgresql": _postgresql, "redis": _redis}

if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for setup in SETUPS:
        taken, seconds = bytes_of_a_session(setup, wanted)
        print(f"{setup:<12} {taken:8.0f} bytes a session   ({wanted} sessions in {seconds:.0f} s)")  # noqa: T201
