"""Which stores the settings ask for. The only place that picks one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from doorward.core.ports import Accounts, ApiKeys, AuditLog, Clock, Counters, Imports, ResetCodes, Sessions
from doorward.settings import Settings
from doorward.storage.accounts import RelationalAccounts
from doorward.storage.audit import RelationalAuditLog
from doorward.storage.counters import RelationalCounters
from doorward.storage.credentials import RelationalApiKeys, RelationalResetCodes
from doorward.storage.database import Database
from doorward.storage.imports import RelationalImports
from doorward.storage.postgres import PostgresDatabase
from doorward.storage.postgres_address import Address
from doorward.storage.postgres_schema import prepare as prepare_postgresql
from doorward.storage.sessions import RelationalSessions
from doorward.storage.sqlite import SqliteDatabase
from doorward.storage.sqlite import migrate as migrate_sqlite

_SWEEP_BATCH = 500
_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class Stores:
    """The ports, and the life of what is behind them. `checks` ask each store whether it answers."""

    accounts: Accounts
    keys: ApiKeys
    reset_codes: ResetCodes
    audit: AuditLog
    sessions: Sessions
    counters: Counters
    imports: Imports
    checks: Mapping[str, Callable[[], Awaitable[object]]]
    database: Database

    async def open(self) -> None:
        """Open every store, inside the event loop that will use it; CannotStart where that is impossible."""
        await self.database.open()

    async def sweep(self, clock: Clock, *, audit_retention: int) -> None:
        """Remove what says nothing any more, in small batches; `audit_retention` is in seconds."""
        now, old = clock(), clock() - audit_retention * 1000
        batches: tuple[Callable[[], Awaitable[int]], ...] = (
            lambda: self.sessions.sweep(now, limit=_SWEEP_BATCH),
            lambda: self.counters.sweep(now, limit=_SWEEP_BATCH),
            lambda: self.reset_codes.sweep(now, limit=_SWEEP_BATCH),
            lambda: self.audit.sweep(old, limit=_SWEEP_BATCH),
        )
        for batch in batches:
            while await batch() >= _SWEEP_BATCH:  # noqa: ASYNC110 - nothing will say that it is time
                # Everybody who waits for the database comes first.
                await asyncio.sleep(_PAUSE)

        while await self.accounts.purge(limit=_SWEEP_BATCH):  # noqa: ASYNC110 - likewise
            await asyncio.sleep(_PAUSE)

    async def close(self) -> None:
        """Finish what is under way and close every store."""
        await self.database.close()


def choose(settings: Settings) -> Stores:
    """Return the stores that the settings name, not opened yet."""
    database: Database
    if settings.on_postgresql:
        database = PostgresDatabase(
            settings.database_url, size=settings.database_pool, wait=float(settings.database_wait)
        )
    else:
        database = SqliteDatabase(settings.database_path)
    return Stores(
        accounts=RelationalAccounts(database),
        keys=RelationalApiKeys(database),
        reset_codes=RelationalResetCodes(database),
        audit=RelationalAuditLog(database),
        sessions=RelationalSessions(database),
        counters=RelationalCounters(database),
        imports=RelationalImports(database),
        checks={"database": lambda: database.read("ping", {})},
        database=database,
    )


def migrate(settings: Settings) -> None:
    """Bring the database to the newest schema before anything is served; CannotStart where that is impossible."""
    if settings.on_postgresql:
        asyncio.run(prepare_postgresql(Address.read(settings.database_url), wait=float(settings.database_wait)))
    else:
        migrate_sqlite(settings.database_path)
