"""Tables as plain rows, for backups and data migrations: consistent reads, and writes in one transaction.

Rows are the same in SQLite and PostgreSQL.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from doorward.core.error_text import describe_error
from doorward.storage.postgres.address import Address
from doorward.storage.relational.email_keys import with_keys
from doorward.storage.sqlite.file import connect

Row = Sequence[Any]

TABLES = (
    "tenants",
    "users",
    "epochs",
    "sessions",
    "ended",
    "budgets",
    "attempts",
    "revocations",
    "trusted_servers",
    "departed",
    "api_keys",
    "reset_codes",
    "audit_chains",
    "audit",
    "imports",
    "probes",
)
"""Every table with data of its own, in an order that satisfies foreign keys."""

DERIVED = ("pieces", "unindexed", "searched_tenants", "user_counts")
"""Tables that triggers or counts fill from others; they are not copied."""

_DERIVED_FROM_USERS = ("pieces", "unindexed", "user_counts")
_AUDIT_TABLES = ("audit", "audit_chains")
_BATCH = 500
_BUSY_SECONDS = 5.0
_FOREVER = "0"
_COLUMNS = """SELECT column_name FROM information_schema.columns
WHERE table_name = $1 AND table_schema = current_schema() ORDER BY ordinal_position"""


class TableCopyInterrupted(Exception):
    """The database failed and the transaction is rolled back; the message has the cause."""


class TableReader(Protocol):
    """Reads every table in one snapshot."""

    async def columns(self, table: str) -> tuple[str, ...]:
        """Return the columns of a table."""
        ...

    def rows(self, table: str) -> AsyncIterator[Row]:
        """Yield every row of a table."""
        ...

    async def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        ...


class TableWriter(TableReader, Protocol):
    """Reads and writes tables in one transaction."""

    async def clear(self, table: str) -> None:
        """Remove every row of a table."""
        ...

    async def add(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Add rows to a table."""
        ...

    async def remove_chain(self, tenant_id: str) -> None:
        """Remove a tenant's audit trail."""
        ...


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def columns(self, table: str) -> tuple[str, ...]:
        return tuple(row[1] for row in self._connection.execute(f"PRAGMA table_info({table})"))

    async def rows(self, table: str) -> AsyncIterator[Row]:
        for row in self._connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - one of TABLES
            yield row

    async def count(self, table: str) -> int:
        number: int = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - as above
        return number

    async def clear(self, table: str) -> None:
        # Derived rows first, which triggers would delete one by one with each user.
        for name in (*_DERIVED_FROM_USERS, table) if table == "users" else (table,):
            self._connection.execute(f"DELETE FROM {name}")  # noqa: S608 - one of TABLES or DERIVED

    async def remove_chain(self, tenant_id: str) -> None:
        for table in _AUDIT_TABLES:
            self._connection.execute(f"DELETE FROM {table} WHERE tenant_id = ?", (tenant_id,))  # noqa: S608 - as above

    async def add(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        columns, rows = with_keys(table, columns, rows)
        self._connection.executemany(_insert(table, columns, "?"), rows)


class _Postgres:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def columns(self, table: str) -> tuple[str, ...]:
        return tuple(row[0] for row in await self._connection.fetch(_COLUMNS, table))

    async def rows(self, table: str) -> AsyncIterator[Row]:
        if table != "users":
            async for row in self._read(f"SELECT * FROM {table}"):  # noqa: S608 - one of TABLES
                yield row
            return
        # Row-level security shows the users of one tenant at a time.
        async for tenant in self._read("SELECT id FROM tenants"):
            await self._enter(tenant[0])
            async for row in self._read("SELECT * FROM users WHERE tenant_id = $1", tenant[0]):
                yield row

    async def count(self, table: str) -> int:
        if table != "users":
            return int(await self._connection.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - one of TABLES
        found = 0
        for tenant in [row[0] async for row in self._read("SELECT id FROM tenants")]:
            await self._enter(tenant)
            found += await self._connection.fetchval("SELECT count(*) FROM users WHERE tenant_id = $1", tenant)
        return found

    async def _read(self, sql: str, *values: object) -> AsyncIterator[Row]:
        async for row in self._connection.cursor(sql, *values, prefetch=_BATCH):
            yield tuple(row)

    async def _enter(self, tenant_id: str) -> None:
        await self._connection.fetch("SELECT set_config('doorward.tenant', $1, true)", tenant_id)

    async def clear(self, table: str) -> None:
        if table != "users":
            await self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of TABLES
            return
        for name in _DERIVED_FROM_USERS:
            # As above, derived rows first.
            await self._connection.execute(f"DELETE FROM {name}")  # noqa: S608 - one of DERIVED
        for tenant in [row[0] async for row in self._read("SELECT id FROM tenants")]:
            await self._enter(tenant)
            await self._connection.execute("DELETE FROM users WHERE tenant_id = $1", tenant)

    async def remove_chain(self, tenant_id: str) -> None:
        for table in _AUDIT_TABLES:
            await self._connection.execute(f"DELETE FROM {table} WHERE tenant_id = $1", tenant_id)  # noqa: S608 - as above

    async def add(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        columns, rows = with_keys(table, columns, rows)
        sql = _insert(table, columns, "$")
        if table != "users":
            await self._connection.executemany(sql, rows)
            return
        place = columns.index("tenant_id")
        for tenant in dict.fromkeys(row[place] for row in rows):
            await self._enter(tenant)
            await self._connection.executemany(sql, [row for row in rows if row[place] == tenant])


def _insert(table: str, columns: Sequence[str], marker: str) -> str:
    values = ", ".join("?" if marker == "?" else f"${number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 - one of TABLES, its own columns


@contextmanager
def _translate_errors(place: Path | Address) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise TableCopyInterrupted(f"The database failed ({error}).") from error
    except Exception as error:
        # OSError passes, since the block may use files of its own.
        if isinstance(place, Path) or not _is_driver_error(error):
            raise
        # The server's message can contain values that it was sent.
        raise TableCopyInterrupted(f"The database failed ({describe_error(error)}).") from error


def _is_driver_error(error: Exception) -> bool:
    from doorward.storage.postgres.faults import DRIVER_ERRORS  # noqa: PLC0415 - imports the driver

    return isinstance(error, DRIVER_ERRORS)


@asynccontextmanager
async def open_reader(place: Path | Address) -> AsyncIterator[TableReader]:
    """Open a snapshot of the tables of a database; TableCopyInterrupted if the database fails."""
    with _translate_errors(place):
        async with _reader(place) as reader:
            yield reader


@asynccontextmanager
async def _reader(place: Path | Address) -> AsyncIterator[TableReader]:
    if isinstance(place, Path):
        connection = connect(place, busy=_BUSY_SECONDS, read_only=True)
        try:
            # A read transaction of WAL: one snapshot, and no lock that blocks writers.
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM tenants").fetchone()
            yield _Sqlite(connection)
        finally:
            connection.close()
        return
    server = await place.connect(seconds=_BUSY_SECONDS, statement_timeout=_FOREVER)  # noqa: ASYNC240 - no Path here
    try:
        async with server.transaction(isolation="repeatable_read"):
            yield _Postgres(server)
    finally:
        server.terminate()


@asynccontextmanager
async def open_writer(place: Path | Address) -> AsyncIterator[TableWriter]:
    """Open a transaction on a database, committed if the block succeeds; TableCopyInterrupted if the database fails."""
    with _translate_errors(place):
        async with _writer(place) as writer:
            yield writer


@asynccontextmanager
async def _writer(place: Path | Address) -> AsyncIterator[TableWriter]:
    if isinstance(place, Path):
        connection = connect(place, busy=_BUSY_SECONDS)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield _Sqlite(connection)
            connection.execute("COMMIT")
        finally:
            # Closing rolls back what is not committed.
            connection.close()
        return
    server = await place.connect(seconds=_BUSY_SECONDS, statement_timeout=_FOREVER)  # noqa: ASYNC240 - no Path here
    try:
        async with server.transaction():
            yield _Postgres(server)
    finally:
        server.terminate()
