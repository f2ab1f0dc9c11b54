"""`Database` on PostgreSQL: the primary, over a pool of connections per process.

Every round trip has a deadline and runs in its own task. A caller that is cancelled does not cancel it, so no
connection returns to the pool with an unread result. Look-ups of concurrent callers share round trips.

Row-level security protects the rows of a tenant in the server too. A statement on a protected table runs in a
transaction with a setting that names its tenant, or else its users. The setting ends with the transaction, so no
connection keeps it.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

import asyncpg

from doorward.core.error_text import describe_error
from doorward.core.errors import StoreUnavailable
from doorward.storage.batching import Coalescer
from doorward.storage.full_store import DATABASE_DISK, FullStoreReporter
from doorward.storage.postgres.address import Address
from doorward.storage.postgres.faults import FAULTS
from doorward.storage.postgres.pool import Pool
from doorward.storage.postgres.schema import prepare
from doorward.storage.relational.database import Row, Step
from doorward.storage.relational.long_queries import LARGE, LongWorkQueue
from doorward.storage.relational.statements import load_statements

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_SECONDS = 1.0
# Large writes run one at a time (`LongWorkQueue`), so they may take longer without delaying other work.
_LARGE_WRITE_SECONDS = 3.0
# Shorter than our deadline, so that the server cancels a slow statement and the connection survives.
_SERVER_MILLISECONDS = 900
_IDLE_MILLISECONDS = 5_000
_WRITE_TRIES = 4
_RETRY_MILLISECONDS = 30
# The server has rolled the transaction back, so it can run again. A statement that takes a name checks that it is free,
# so a unique index rejects it only where another transaction took the name meanwhile.
_ROLLED_BACK = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError)
# Errors of a connection that broke while it was idle. InternalClientError: the server has closed it, but the end of the
# stream has not arrived.
_BROKEN_CONNECTION = (
    ConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
)
# SQLSTATE classes (connection, rollback, resources, operator, system), and states of a server that was replaced.
_NO_CONNECTION = "08000"
_UNAVAILABLE_STATES = ("08", "40", "53", "57", "58", "25006", "55P03", "28", "3D")
_RETURNS = re.compile(r"^(?:SELECT|WITH)|\bRETURNING\b")
_GUARDED = "SELECT relname FROM pg_class WHERE relrowsecurity AND pg_table_is_visible(oid)"
_SET = "SELECT set_config($1, $2, true)"


class PostgresDatabase:
    """`Database` on a PostgreSQL server."""

    def __init__(self, url: str, *, size: int, wait: float, is_prepared: bool = False) -> None:
        """Configure the database; `open` connects.

        Args:
            url: DATABASE_URL.
            size: Limit on connections.
            wait: Seconds to wait for the server at the start.
            is_prepared: `open` neither checks nor migrates the schema.
        """
        self._address = Address.read(url)
        self._wait = wait
        self._is_prepared = is_prepared
        self._statements = load_statements("$")
        self._guarded: frozenset[str] = frozenset()
        self._pool = Pool(self._connect, size)
        # Scans use half of the connections at most.
        self._scans = LongWorkQueue(max(1, size // 2))
        # One at a time, so that each meets its deadline.
        self._large_writes = LongWorkQueue(1)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_unreachable = False
        self._full = FullStoreReporter(DATABASE_DISK)
        self._lists: dict[str, Coalescer[str, Row]] = {}

    async def open(self) -> None:
        """See `Database.open`."""
        if not self._is_prepared:
            await prepare(self._address, wait=self._wait)
        rows = await self._run_by_deadline(lambda connection: connection.fetch(_GUARDED))
        # The server's catalog names the protected tables, so a migration that adds one needs no change here.
        tables = re.compile(rf"\b(?:{'|'.join(row[0] for row in rows)})\b")
        self._guarded = frozenset(name for name, found in self._statements.items() if rows and tables.search(found.sql))

    async def close(self) -> None:
        """See `Database.close`."""
        for coalescer in self._lists.values():
            await coalescer.close()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._pool.close()

    def pooled(self) -> tuple[int, int]:
        """Return connections in use and the size of the pool."""
        return self._pool.in_use, self._pool.size

    async def read(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """See `Database.read`."""
        if not all(map(_is_storable, values.values())):
            return []
        return await self._run_in_task(self._run_by_deadline(partial(self._read, statement, values), retry=True))

    async def scan(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """See `Database.scan`."""
        return await self._scans.scan(values, partial(self.read, statement, values))

    async def look_up(self, statement: str, keys: Sequence[str]) -> list[Row]:
        """See `Database.look_up`."""
        coalescer = self._lists.get(statement)
        if coalescer is None:
            coalescer = self._lists[statement] = Coalescer(partial(self._fetch_keys, statement), max_wait=_SECONDS)
        return [row for row in await coalescer.get(keys) if row is not None]

    async def write(self, *steps: Step) -> list[list[Row]]:
        """See `Database.write`."""
        return await self._large_writes.write(steps, lambda: self._run_in_task(self._write(steps)))

    async def _fetch_keys(self, statement: str, keys: Sequence[str], deadline: float) -> dict[str, Row]:
        sql = self._statements[statement].sql
        storable = [key for key in keys if _is_storable(key)]
        guarded = statement in self._guarded

        async def fetch(connection: Any) -> list[Row]:
            if guarded:
                await connection.fetch(_SET, "doorward.users", ",".join(storable))
            rows: list[Row] = await connection.fetch(sql, storable)
            return rows

        async def transact(connection: Any) -> list[Row]:
            async with connection.transaction():
                return await fetch(connection)

        rows = await self._run_by_deadline(transact if guarded else fetch, deadline=deadline, retry=True, first=True)
        return {row[0]: row for row in rows}

    async def _read(self, statement: str, values: Mapping[str, object], connection: Any) -> list[Row]:
        found = self._statements[statement]
        if statement not in self._guarded:
            rows: list[Row] = await connection.fetch(found.sql, *found.arguments(values))
            return rows
        [rows] = await self._transact((Step(statement, values),), connection)
        return rows

    async def _write(self, steps: tuple[Step, ...]) -> list[list[Row]]:
        seconds = _LARGE_WRITE_SECONDS if len(steps) >= LARGE else _SECONDS
        deadline = asyncio.get_running_loop().time() + seconds
        for attempt in range(1, _WRITE_TRIES + 1):
            try:
                return await self._run_by_deadline(partial(self._run, steps), deadline=deadline)
            except (StoreUnavailable, asyncpg.UniqueViolationError) as refusal:
                if attempt == _WRITE_TRIES or not _is_rolled_back(refusal):
                    raise
            await asyncio.sleep(attempt * secrets.randbelow(_RETRY_MILLISECONDS) / 1000)
        raise StoreUnavailable(retry_after=1)

    async def _run(self, steps: tuple[Step, ...], connection: Any) -> list[list[Row]]:
        if len(steps) == 1 and steps[0].statement not in self._guarded:
            found = self._statements[steps[0].statement]
            return [await connection.fetch(found.sql, *found.arguments(steps[0].values))]
        return await self._transact(steps, connection)

    async def _transact(self, steps: tuple[Step, ...], connection: Any) -> list[list[Row]]:
        await connection.execute("BEGIN")
        try:
            results: list[list[Row]] = []
            for name, group in groupby(steps, key=lambda step: step.statement):
                alike = list(group)
                results += await self._run_alike(name, [step.values for step in alike], connection)
                if alike[-1].vital and not results[-1]:
                    await connection.execute("ROLLBACK")
                    return results
        except asyncpg.PostgresError:
            await connection.execute("ROLLBACK")
            raise
        await connection.execute("COMMIT")
        return results

    async def _run_alike(self, name: str, values: list[Mapping[str, object]], connection: Any) -> list[list[Row]]:
        """Run one statement with each of `values`, in one batch where it returns no rows."""
        found = self._statements[name]
        if len(values) > 1 and "tenant_id" not in found.parameters and not _RETURNS.search(found.sql):
            await self._set_guard(name, values, connection)
            await connection.executemany(found.sql, [found.arguments(row) for row in values])
            return [[] for _ in values]
        results: list[list[Row]] = []
        current: object = None
        for row in values:
            # Consecutive rows of one tenant share the setting.
            if current is None or row.get("tenant_id") != current:
                await self._set_guard(name, [row], connection)
                current = row.get("tenant_id")
            results.append(await connection.fetch(found.sql, *found.arguments(row)))
        return results

    async def _set_guard(self, name: str, values: list[Mapping[str, object]], connection: Any) -> None:
        if name not in self._guarded:
            return
        if "tenant_id" in values[0]:
            await connection.fetch(_SET, "doorward.tenant", values[0]["tenant_id"])
        else:
            await connection.fetch(_SET, "doorward.users", ",".join(str(row["id"]) for row in values))

    async def _run_in_task(self, work: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return await asyncio.shield(task)

    def _on_done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, in case no caller waits

    async def _run_by_deadline(
        self,
        work: Callable[[Any], Awaitable[Result]],
        *,
        deadline: float | None = None,
        retry: bool = False,
        first: bool = False,
    ) -> Result:
        """Run `work` with a connection by the deadline.

        With `retry`, it runs a second time if an idle connection turns out to be broken. With `first`, it gets the next
        free connection.
        """
        try:
            async with asyncio.timeout_at(deadline or asyncio.get_running_loop().time() + _SECONDS):
                try:
                    result = await self._with_connection(work, first=first)
                except _BROKEN_CONNECTION:
                    if not retry:
                        raise
                    result = await self._with_connection(work, first=first)
        except FAULTS as error:
            raise self._error_for(error) from error
        if self._is_unreachable:
            self._is_unreachable = False
            log.info("database reachable again")
        return result

    async def _with_connection(self, work: Callable[[Any], Awaitable[Result]], *, first: bool) -> Result:
        connection = await self._pool.acquire(first=first)
        reusable = False
        try:
            result = await work(connection)
            reusable = True
        except asyncpg.PostgresError:
            reusable = not connection.is_in_transaction()
            raise
        finally:
            self._pool.release(connection, reusable=reusable)
        return result

    def _error_for(self, error: Exception) -> Exception:
        """Return StoreUnavailable for errors of the server and the network, `error` for a bug of this program."""
        sqlstate = str(getattr(error, "sqlstate", None) or _NO_CONNECTION)
        if isinstance(error, ValueError) or not sqlstate.startswith(_UNAVAILABLE_STATES):
            return error
        if isinstance(error, asyncpg.DiskFullError):
            return self._full.error()
        if not self._is_unreachable and not isinstance(error, _ROLLED_BACK):
            self._is_unreachable = True
            log.warning(
                "database unreachable: requests fail until it responds", extra={"reason": describe_error(error)}
            )
        return StoreUnavailable(retry_after=1)

    async def _connect(self) -> Any:
        return await self._address.connect(
            seconds=_SECONDS,
            statement_timeout=str(_SERVER_MILLISECONDS),
            idle_in_transaction_session_timeout=str(_IDLE_MILLISECONDS),
        )


def _is_rolled_back(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error, StoreUnavailable) else error
    return isinstance(cause, _ROLLED_BACK)


def _is_storable(value: object) -> bool:
    """Return whether PostgreSQL can store a value. Text with NUL cannot be stored, so no row has it."""
    return not isinstance(value, str) or "\x00" not in value
