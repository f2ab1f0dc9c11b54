"""What a database says of itself, for an operator."""

import sqlite3
from pathlib import Path

from doorward.storage.database import Server
from doorward.storage.postgres.address import Address

_SECONDS = 5.0
_ABOUT = """SELECT current_setting('server_version'),
current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
extract(epoch FROM clock_timestamp()) * 1000"""


async def server_of(place: Path | Address) -> Server:
    """Return what the database says of itself."""
    if isinstance(place, Path):
        return Server(f"SQLite {sqlite3.sqlite_version}")
    server = await place.connect(seconds=_SECONDS)  # noqa: ASYNC240 - no Path here
    try:
        version, connections, clock = await server.fetchrow(_ABOUT)
    finally:
        server.terminate()
    return Server(f"PostgreSQL {version.partition(' ')[0]}", int(clock), connections)
