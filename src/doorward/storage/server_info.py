"""Product, version, clock and limits of a database, for `doorward doctor`."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from time import perf_counter

from doorward.core.error_text import describe_error
from doorward.core.errors import CannotStart
from doorward.storage.postgres.address import Address
from doorward.storage.relational.database import ServerInfo
from doorward.storage.sqlite.file import open_read_only

_SECONDS = 5.0
_TRIES = 3
_ABOUT = """SELECT current_setting('server_version'),
current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
extract(epoch FROM clock_timestamp()) * 1000"""


async def server_of(place: Path | Address) -> ServerInfo:
    """Return the description of the database, read-only; CannotStart where it does not respond."""
    if isinstance(place, Path):
        return await _of_sqlite(place)
    return await _of_postgresql(place)


async def fastest_of(request: Callable[[], Awaitable[object]]) -> float:
    """Return the milliseconds that a request takes: the least of some tries."""
    times = []
    for _ in range(_TRIES):
        begin = perf_counter()
        await request()
        times.append((perf_counter() - begin) * 1000)
    return min(times)


async def _of_sqlite(path: Path) -> ServerInfo:
    try:
        with closing(open_read_only(path)) as connection:

            async def read() -> None:
                connection.execute("SELECT id FROM tenants LIMIT 1").fetchall()

            return ServerInfo(f"SQLite {sqlite3.sqlite_version}", took=await fastest_of(read))
    except sqlite3.Error as error:
        raise CannotStart(f"DATABASE_URL: the database {path} cannot be read ({error}).") from error


async def _of_postgresql(address: Address) -> ServerInfo:
    from doorward.storage.postgres.faults import FAULTS  # noqa: PLC0415 - imports the driver

    try:
        server = await address.connect(seconds=_SECONDS)
        try:
            version, connections, clock = await server.fetchrow(_ABOUT)
            took = await fastest_of(lambda: server.fetchval("SELECT 1"))
        finally:
            server.terminate()
    except FAULTS as error:
        reason = f"DATABASE_URL: {address.place} stopped answering ({describe_error(error)})."
        raise CannotStart(reason) from error
    return ServerInfo(f"PostgreSQL {version.partition(' ')[0]}", int(clock), connections, took=took)
