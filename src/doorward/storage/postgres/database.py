"""PostgreSQL, for more than one machine: the primary only, over a pool of connections per process.

Every trip has a deadline. Whoever gives up waiting for an answer leaves the trip to end by itself, so no connection is
ever handed on with somebody's answer still in it. Sessions asked for in one moment are asked for together.

Rows of a tenant are guarded by the server as well (row-level security): a statement on a guarded table runs in a
transaction that was opened for the tenant it names, or, where it names none, for the single users it names. The
setting ends with the transaction, so a connection carries nothing over to the next one.
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
# A large write runs alone among its like (`LongWork`), so it may take longer without keeping other work waiting.
_LARGE_WRITE_SECONDS = 3.0
# Shorter than ours, so that a statement that is merely slow is ended by the server and costs no connection.
_SERVER_MILLISECONDS = 900
_IDLE_MILLISECONDS = 5_000
_WRITE_TRIES = 4
_RETRY_MILLISECONDS = 30
# The server rolled the transaction back for certain: it can be run again. A statement that takes a name does so only if
# the name is free, so a unique index fails it only where another transaction took the name meanwhile.
_ROLLED_BACK = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError)
# How a connection shows that it broke while it was idle. InternalClientError: the server said good-bye on it, but the
# end of the stream has not arrived.
_DEAD = (ConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresConnectionError)
# SQLSTATE classes: connection, rolled back, resources, operator, system; and what a server says that changed under us.
_NO_CONNECTION = "08000"
_GONE = ("08", "40", "53", "57", "58", "25006", "55P03", "28", "3D")
_RETURNS = re.compile(r"^(?:SELECT|WITH)|\bRETURNING\b")
_GUARDED = "SELECT relname FROM pg_class WHERE relrowsecurity AND pg_table_is_visible(oid)"
_SET = "SELECT set_config($1, $2, true)"


class PostgresDatabase:
    """Runs statements on a PostgreSQL server."""

    def __init__(self, url: str, *, size: int, wait: float, is_prepared: bool = False) -> None:
        """Name the server, how many connections to it there may be, and how many seconds it may take to appear.

        With `is_prepared`, `open` takes the schema as it is.
        """
        self._address = Address.read(url)
        self._wait = wait
        self._is_prepared = is_prepared
        self._statements = load_statements("$")
        self._guarded: frozenset[str] = frozenset()
        self._pool = Pool(self._connect, size)
        # Everything else finds a connection, however much long work there is.
        self._scans = LongWorkQueue(max(1, size // 2))
        # One at a time, so that each ends by its deadline.
        self._large_writes = LongWorkQueue(1)
        self._trips: set[asyncio.Task[Any]] = set()
        self._away = False
        self._full = FullStoreReporter(DATABASE_DISK)
        self._lists: dict[str, Coalescer[str, Row]] = {}

    async def open(self) -> None:
        """See `Database.open`."""
        if not self._is_prepared:
            await prepare(self._address, wait=self._wait)
        rows = await self._trip(lambda connection: connection.fetch(_GUARDED))
        # What the server guards is the server's to say: a table guarded later needs no change here.
        tables = re.compile(rf"\b(?:{'|'.join(row[0] for row in rows)})\b")
        self._guarded = frozenset(name for name, found in self._statements.items() if rows and tables.search(found.sql))

    async def close(self) -> None:
        """See `Database.close`."""
        for gathered in self._lists.values():
            await gathered.close()
        while self._trips:
            await asyncio.wait(self._trips)
        await self._pool.close()

    def pooled(self) -> tuple[int, int]:
        """Return how many connections are in use, and how many there may be."""
        return self._pool.in_use, self._pool.size

    async def read(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """See `Database.read`."""
        if not all(map(_can_be_kept, values.values())):
            return []
        return await self._apart(self._trip(partial(self._read, statement, values), again=True))

    async def scan(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """See `Database.scan`."""
        return await self._scans.scan(values, partial(self.read, statement, values))

    async def look_up(self, statement: str, keys: Sequence[str]) -> list[Row]:
        """See `Database.look_up`."""
        gathered = self._lists.get(statement)
        if gathered is None:
            gathered = self._lists[statement] = Coalescer(partial(self._ask, statement), max_wait=_SECONDS)
        return [row for row in await gathered.get(keys) if row is not None]

    async def write(self, *steps: Step) -> list[list[Row]]:
        """See `Database.write`."""
        return await self._large_writes.write(steps, lambda: self._apart(self._write(steps)))

    async def _ask(self, statement: str, keys: Sequence[str], deadline: float) -> dict[str, Row]:
        sql = self._statements[statement].sql
        wanted = [key for key in keys if _can_be_kept(key)]
        guarded = statement in self._guarded

        async def fetch(connection: Any) -> list[Row]:
            if guarded:
                await connection.fetch(_SET, "doorward.users", ",".join(wanted))
            rows: list[Row] = await connection.fetch(sql, wanted)
            return rows

        async def transact(connection: Any) -> list[Row]:
            async with connection.transaction():
                return await fetch(connection)

        rows = await self._trip(transact if guarded else fetch, deadline=deadline, again=True, first=True)
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
        for tried in range(1, _WRITE_TRIES + 1):
            try:
                return await self._trip(partial(self._run, steps), deadline=deadline)
            except (StoreUnavailable, asyncpg.UniqueViolationError) as refusal:
                if tried == _WRITE_TRIES or not _is_rolled_back(refusal):
                    raise
            await asyncio.sleep(tried * secrets.randbelow(_RETRY_MILLISECONDS) / 1000)
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
        """Run one statement with every set of `values`; all at once where it returns nothing."""
        found = self._statements[name]
        if len(values) > 1 and "tenant_id" not in found.parameters and not _RETURNS.search(found.sql):
            await self._enter(name, values, connection)
            await connection.executemany(found.sql, [found.arguments(one) for one in values])
            return [[] for _ in values]
        results: list[list[Row]] = []
        entered: object = None
        for one in values:
            # Rows of one tenant after another need no new permission for each.
            if entered is None or one.get("tenant_id") != entered:
                await self._enter(name, [one], connection)
                entered = one.get("tenant_id")
            results.append(await connection.fetch(found.sql, *found.arguments(one)))
        return results

    async def _enter(self, name: str, values: list[Mapping[str, object]], connection: Any) -> None:
        if name not in self._guarded:
            return
        if "tenant_id" in values[0]:
            await connection.fetch(_SET, "doorward.tenant", values[0]["tenant_id"])
        else:
            await connection.fetch(_SET, "doorward.users", ",".join(str(one["id"]) for one in values))

    async def _apart(self, trip: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.get_running_loop().create_task(trip)
        self._trips.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, trip: "asyncio.Task[Any]") -> None:
        self._trips.discard(trip)
        if not trip.cancelled():
            trip.exception()  # looked at, in case nobody waits for it any more

    async def _trip(
        self,
        work: Callable[[Any], Awaitable[Result]],
        *,
        deadline: float | None = None,
        again: bool = False,
        first: bool = False,
    ) -> Result:
        """Do `work` with a connection, by the deadline; `again` once more where the connection turns out to be dead.

        With `first`, the connection that is free next is for this.
        """
        try:
            async with asyncio.timeout_at(deadline or asyncio.get_running_loop().time() + _SECONDS):
                try:
                    result = await self._use(work, first=first)
                except _DEAD:
                    if not again:
                        raise
                    result = await self._use(work, first=first)
        except FAULTS as error:
            raise self._refusal(error) from error
        if self._away:
            self._away = False
            log.info("the database answers again")
        return result

    async def _use(self, work: Callable[[Any], Awaitable[Result]], *, first: bool) -> Result:
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

    def _refusal(self, error: Exception) -> Exception:
        """Return what a fault means to who asked: the store cannot answer, or, as it is, a mistake of this program."""
        sqlstate = str(getattr(error, "sqlstate", None) or _NO_CONNECTION)
        if isinstance(error, ValueError) or not sqlstate.startswith(_GONE):
            return error
        if isinstance(error, asyncpg.DiskFullError):
            return self._full.refusal()
        if not self._away and not isinstance(error, _ROLLED_BACK):
            self._away = True
            log.warning("the database does not answer", extra={"reason": describe_error(error)})
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


def _can_be_kept(value: object) -> bool:
    """Tell whether PostgreSQL could hold a value; what it cannot hold, it cannot find (text with NUL)."""
    return not isinstance(value, str) or "\x00" not in value
