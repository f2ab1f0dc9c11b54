"""Which stores the settings ask for. The only place that picks one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from doorward.core.clock import system_clock
from doorward.core.ports import Accounts, ApiKeys, AuditLog, Clock, Counters, Imports, ResetCodes, Revocations, Sessions
from doorward.settings import Settings
from doorward.storage.accounts import RelationalAccounts
from doorward.storage.audit import RelationalAuditLog
from doorward.storage.counters import RelationalCounters
from doorward.storage.credentials import RelationalApiKeys, RelationalResetCodes
from doorward.storage.database import Database
from doorward.storage.imports import RelationalImports
from doorward.storage.postgres.address import Address as PostgresAddress
from doorward.storage.postgres.database import PostgresDatabase
from doorward.storage.postgres.schema import prepare as prepare_postgresql
from doorward.storage.redis.address import Address as RedisAddress
from doorward.storage.redis.client import Redis
from doorward.storage.redis.counters import RedisCounters
from doorward.storage.redis.lives import Lives
from doorward.storage.redis.sessions import Durable, RedisSessions
from doorward.storage.redis.start import check as check_redis
from doorward.storage.revocations import RelationalRevocations
from doorward.storage.sessions import RelationalSessions
from doorward.storage.sqlite import SqliteDatabase
from doorward.storage.sqlite import migrate as migrate_sqlite
from doorward.storage.watched import (
    Meter,
    Span,
    Traffic,
    WatchedDatabase,
    WatchedRedis,
    WatchedSessions,
    nothing_is_pooled,
)

_SWEEP_BATCH = 500
_PAUSE = 0.01
_REDIS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Stores:
    """The ports, and the life of what is behind them.

    `checks` ask each store whether it answers; `traffic` counts what goes on in them.
    """

    accounts: Accounts
    keys: ApiKeys
    reset_codes: ResetCodes
    audit: AuditLog
    sessions: Sessions
    counters: Counters
    revocations: Revocations
    imports: Imports
    checks: Mapping[str, Callable[[], Awaitable[object]]]
    database: Database
    traffic: Traffic
    redis: Redis | None = None

    async def open(self) -> None:
        """Open every store, inside the event loop that will use it; CannotStart where that is impossible."""
        await self.database.open()
        if self.redis is not None:
            await self.redis.open()

    async def sweep(self, clock: Clock, *, audit_retention: int) -> None:
        """Remove what says nothing any more, in small batches; `audit_retention` is in seconds."""
        now, old = clock(), clock() - audit_retention * 1000
        batches: tuple[Callable[[], Awaitable[int]], ...] = (
            lambda: self.sessions.sweep(now, limit=_SWEEP_BATCH),
            lambda: self.counters.sweep(now, limit=_SWEEP_BATCH),
            lambda: self.reset_codes.sweep(now, limit=_SWEEP_BATCH),
            lambda: self.revocations.sweep(now, limit=_SWEEP_BATCH),
            lambda: self.audit.sweep(old, limit=_SWEEP_BATCH),
        )
        for batch in batches:
            while await batch() >= _SWEEP_BATCH:  # noqa: ASYNC110 - nothing will say that it is time
                # Everybody who waits for the database comes first.
                await asyncio.sleep(_PAUSE)

        purge, forget = self.accounts.purge, self.sessions.forget_users
        while await purge(limit=_SWEEP_BATCH, forget=forget):  # noqa: ASYNC110 - likewise
            await asyncio.sleep(_PAUSE)

    async def close(self) -> None:
        """Finish what is under way and close every store."""
        if self.redis is not None:
            await self.redis.close()
        await self.database.close()


def choose(settings: Settings, clock: Clock = system_clock, span: Span | None = None) -> Stores:
    """Return the stores that the settings name, not opened yet. `span` surrounds what is done in them."""
    bare: Database
    if settings.on_postgresql:
        bare = server = PostgresDatabase(
            settings.database_url, size=settings.database_pool, wait=float(settings.database_wait)
        )
        database, pool = WatchedDatabase(server, Meter("postgresql", span)), server.pooled
    else:
        bare = file = SqliteDatabase(settings.database_path)
        database, pool = WatchedDatabase(file, Meter("sqlite", span), fast=file), nothing_is_pooled
    sessions = WatchedSessions(RelationalSessions(database))
    stores = Stores(
        accounts=RelationalAccounts(database, with_sessions=not settings.redis_url),
        keys=RelationalApiKeys(database),
        reset_codes=RelationalResetCodes(database),
        audit=RelationalAuditLog(database),
        sessions=sessions,
        counters=RelationalCounters(database),
        revocations=RelationalRevocations(database),
        imports=RelationalImports(database),
        checks={"database": lambda: database.read("ping", {})},
        database=bare,
        traffic=Traffic(database, sessions, pool),
    )
    return _with_redis(stores, settings, clock, span) if settings.redis_url else stores


def _with_redis(stores: Stores, settings: Settings, clock: Clock, span: Span | None) -> Stores:
    redis = WatchedRedis(RedisAddress.read(settings.redis_url), Lives(stores.revocations, clock))
    redis.meter = Meter("redis", span)
    sessions = WatchedSessions(
        RedisSessions(redis, Durable(stores.revocations, stores.keys, stores.audit, clock)),
    )
    return replace(
        stores,
        sessions=sessions,
        counters=RedisCounters(redis),
        checks={**stores.checks, "sessions": redis.ping},
        redis=redis,
        traffic=replace(stores.traffic, sessions=sessions, others=(redis.meter,)),
    )


def place_of(settings: Settings) -> Path | PostgresAddress:
    """Return where the tables are."""
    return PostgresAddress.read(settings.database_url) if settings.on_postgresql else settings.database_path


def migrate(settings: Settings) -> int:
    """Bring the database to the newest schema before anything is served, and return its version.

    CannotStart where that is impossible.

    A Redis is only looked at: whether it can be reached, and is fit to keep sessions.
    """
    if settings.on_postgresql:
        address = PostgresAddress.read(settings.database_url)
        version = asyncio.run(prepare_postgresql(address, wait=float(settings.database_wait)))
    else:
        version = migrate_sqlite(settings.database_path)
    if settings.redis_url:
        asyncio.run(check_redis(RedisAddress.read(settings.redis_url), wait=_REDIS_SECONDS))
    return version
