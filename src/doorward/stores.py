"""Which stores the settings ask for. The only place that picks one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from doorward.core.ports import Accounts, Clock, Counters, Sessions
from doorward.settings import Settings
from doorward.storage.postgres import PostgresDatabase
from doorward.storage.postgres_address import Address
from doorward.storage.postgres_schema import prepare as prepare_postgresql
from doorward.storage.relational import Database, RelationalAccounts, RelationalCounters, RelationalSessions
from doorward.storage.sqlite import SqliteDatabase
from doorward.storage.sqlite import migrate as migrate_sqlite

_SWEEP_BATCH = 500


@dataclass(frozen=True, slots=True)
class Stores:
    """The three ports, and the life of what is behind them. `checks` ask each store whether it answers."""

    accounts: Accounts
    sessions: Sessions
    counters: Counters
    checks: Mapping[str, Callable[[], Awaitable[object]]]
    database: Database

    async def open(self) -> None:
        """Open every store, inside the event loop that will use it; CannotStart where that is impossible."""
        await self.database.open()

    async def sweep(self, clock: Clock) -> None:
        """Remove what says nothing any more, in small batches."""
        for store in (self.sessions, self.counters):
            swept = _SWEEP_BATCH
            while swept >= _SWEEP_BATCH:
                swept = await store.sweep(clock(), limit=_SWEEP_BATCH)

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
        sessions=RelationalSessions(database),
        counters=RelationalCounters(database),
        checks={"database": lambda: database.read("ping", {})},
        database=database,
    )


def migrate(settings: Settings) -> None:
    """Bring the database to the newest schema before anything is served; CannotStart where that is impossible."""
    if settings.on_postgresql:
        asyncio.run(prepare_postgresql(Address.read(settings.database_url), wait=float(settings.database_wait)))
    else:
        migrate_sqlite(settings.database_path)
