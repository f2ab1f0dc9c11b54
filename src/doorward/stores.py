"""Selects and opens the stores that the settings name.

The drivers of PostgreSQL and Redis take megabytes of memory, so they are imported only if they are selected.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from doorward.core.clock import system_clock
from doorward.core.errors import StoreUnavailable
from doorward.core.ports import (
    AccountStore,
    ApiKeyStore,
    AuditStore,
    Backoff,
    Clock,
    CounterStore,
    ImportStore,
    ResetCodeStore,
    RevocationStore,
    SessionStore,
)
from doorward.settings import Settings
from doorward.settings.secret_files import mode_of
from doorward.storage.instrumented import (
    InstrumentedDatabase,
    InstrumentedSessionStore,
    Span,
    StoreMeter,
    StoreMetrics,
    no_pool,
)
from doorward.storage.postgres.address import Address as PostgresAddress
from doorward.storage.readiness import SharedCheck
from doorward.storage.redis.address import Address as RedisAddress
from doorward.storage.relational.accounts import RelationalAccountStore
from doorward.storage.relational.audit import RelationalAuditStore
from doorward.storage.relational.counters import RelationalCounterStore
from doorward.storage.relational.credentials import RelationalApiKeyStore, RelationalResetCodeStore
from doorward.storage.relational.database import Database, ServerInfo
from doorward.storage.relational.imports import RelationalImportStore
from doorward.storage.relational.probes import Probes
from doorward.storage.relational.revocations import RelationalRevocationStore
from doorward.storage.relational.sessions import RelationalSessionStore
from doorward.storage.relational.user_quota import UserQuota
from doorward.storage.server_info import server_of
from doorward.storage.sqlite import schema as sqlite_schema
from doorward.storage.sqlite.database import ReadOnlySqliteDatabase, SqliteDatabase

if TYPE_CHECKING:
    from doorward.storage.redis.client import Redis

_SWEEP_BATCH = 200
_BACKOFF = Backoff()
_INDEX_BATCH = 20
_PAUSE = 0.01
_REDIS_SECONDS = 10.0
# Permission bits of the group and of all other users.
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Stores:
    """The store of each port, with methods to open, sweep and close them together.

    `checks` test whether each store accepts writes; `metrics` counts the operations of the stores.
    """

    accounts: AccountStore
    api_keys: ApiKeyStore
    reset_codes: ResetCodeStore
    audit: AuditStore
    sessions: SessionStore
    counters: CounterStore
    revocations: RevocationStore
    imports: ImportStore
    checks: Mapping[str, Callable[[], Awaitable[object]]]
    probes: Probes
    database: Database
    metrics: StoreMetrics
    redis: "Redis | None" = None

    async def open(self) -> None:
        """Open every store in the running event loop, which will use it; CannotStart if that is not possible."""
        await self.database.open()
        if self.redis is not None:
            await self.redis.open()

    async def sweep(self, clock: Clock, *, audit_retention: int) -> None:
        """Remove expired rows in small batches; `audit_retention` is in seconds."""
        now, old = clock(), clock() - audit_retention * 1000
        await self.probes.write(now)
        batches: tuple[Callable[[], Awaitable[int]], ...] = (
            lambda: self.sessions.sweep(now, limit=_SWEEP_BATCH),
            lambda: self.counters.sweep(now, limit=_SWEEP_BATCH),
            lambda: self.reset_codes.sweep(now, limit=_SWEEP_BATCH),
            lambda: self.revocations.sweep(now, limit=_SWEEP_BATCH),
            lambda: self.audit.sweep(old, limit=_SWEEP_BATCH),
            lambda: self.audit.trim(now, limit=_SWEEP_BATCH),
            # Last, since it needs memory in Redis, which may have none left.
            lambda: self.counters.evict(_BACKOFF, now=now, limit=_SWEEP_BATCH),
        )
        for batch in batches:
            await repeat_until_done(partial(_is_full, batch))
        await repeat_until_done(partial(self.accounts.purge, limit=_SWEEP_BATCH, forget=self.sessions.erase_users))

    async def index_logins(self) -> None:
        """Add new logins to the search index, in small batches."""
        await repeat_until_done(partial(self.accounts.index_logins, limit=_INDEX_BATCH))

    async def close(self) -> None:
        """Finish running operations and close every store."""
        if self.redis is not None:
            await self.redis.close()
        await self.database.close()


async def _is_full(batch: Callable[[], Awaitable[int]]) -> bool:
    return await batch() >= _SWEEP_BATCH


async def repeat_until_done(batch: Callable[[], Awaitable[object]]) -> None:
    """Repeat a batch while it returns that there is more. After each, pause for as long as it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while await batch():
        # Writers poll for SQLite's lock at intervals, and would rarely get it in a short pause.
        await asyncio.sleep(max(_PAUSE, loop.time() - began))
        began = loop.time()


def select_stores(settings: Settings, clock: Clock = system_clock, span: Span | None = None) -> Stores:
    """Return the stores that the settings name, not yet opened. Their operations run inside a `span`."""
    bare: Database
    if settings.on_postgresql:
        from doorward.storage.postgres.database import PostgresDatabase  # noqa: PLC0415 - see above

        bare = server = PostgresDatabase(
            settings.database_url, size=settings.database_pool, wait=float(settings.database_wait)
        )
        database, pool = InstrumentedDatabase(server, StoreMeter("postgresql", span)), server.pooled
    else:
        bare = file = SqliteDatabase(settings.database_path)
        database, pool = InstrumentedDatabase(file, StoreMeter("sqlite", span), fast=file), no_pool
    sessions, probes = InstrumentedSessionStore(RelationalSessionStore(database)), Probes(bare)
    quota = UserQuota(database, settings.max_users_per_tenant, clock) if settings.max_users_per_tenant else None
    stores = Stores(
        accounts=RelationalAccountStore(database, quota=quota),
        api_keys=RelationalApiKeyStore(database),
        reset_codes=RelationalResetCodeStore(database),
        audit=RelationalAuditStore(database, quota=settings.max_audit_bytes_per_tenant),
        sessions=sessions,
        counters=RelationalCounterStore(database),
        revocations=RelationalRevocationStore(database),
        imports=RelationalImportStore(database),
        checks={"database": SharedCheck(partial(_check_write, probes, database, clock))},
        probes=probes,
        database=bare,
        metrics=StoreMetrics(database, sessions, pool),
    )
    return _with_redis_stores(stores, settings, clock, span, quota) if settings.redis_url else stores


@asynccontextmanager
async def opened_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Open the stores that the settings name, and close them at the end; CannotStart if that is not possible."""
    stores = select_stores(settings)
    await stores.open()
    try:
        yield stores
    finally:
        await stores.close()


async def _check_write(probes: Probes, database: InstrumentedDatabase, clock: Clock) -> None:
    """Write a probe; StoreUnavailable if the database rejects it, or has just rejected another write."""
    await probes.check(clock())
    if database.refuses_writes:
        raise StoreUnavailable(retry_after=1)


def _with_redis_stores(
    stores: Stores, settings: Settings, clock: Clock, span: Span | None, quota: UserQuota | None
) -> Stores:
    from doorward.storage.redis.counters import RedisCounterStore  # noqa: PLC0415 - see above
    from doorward.storage.redis.instrumented import InstrumentedRedis  # noqa: PLC0415 - see above
    from doorward.storage.redis.server_trust import ServerTrust  # noqa: PLC0415 - see above
    from doorward.storage.redis.sessions import DurableStores, RedisSessionStore  # noqa: PLC0415 - see above

    redis = InstrumentedRedis(RedisAddress.read(settings.redis_url), ServerTrust(stores.revocations, clock))
    redis.meter = StoreMeter("redis", span)
    bare = RedisSessionStore(redis, DurableStores(stores.revocations, stores.api_keys, stores.audit, clock))
    sessions = InstrumentedSessionStore(bare)
    return replace(
        stores,
        accounts=RelationalAccountStore(stores.metrics.database, bare, quota=quota),
        sessions=sessions,
        counters=RedisCounterStore(redis),
        checks={**stores.checks, "sessions": SharedCheck(redis.probe)},
        redis=redis,
        metrics=replace(stores.metrics, sessions=sessions, others=(redis.meter,)),
    )


def database_of(settings: Settings) -> Path | PostgresAddress:
    """Return the file or the address of the database."""
    return PostgresAddress.read(settings.database_url) if settings.on_postgresql else settings.database_path


async def servers(settings: Settings) -> dict[str, ServerInfo]:
    """Return the version and settings of each server, by the names of `Stores.checks`; CannotStart if one fails."""
    infos = {"database": await server_of(database_of(settings))}
    if settings.redis_url:
        from doorward.storage.redis import startup  # noqa: PLC0415 - see above

        infos["sessions"] = await startup.check_server(RedisAddress.read(settings.redis_url))
    return infos


def migrate(settings: Settings, *, create: bool = True) -> int:
    """Migrate the database to the newest schema, and return its version.

    A Redis server is only checked: it has to be reachable and its configuration suitable for sessions.

    Raises:
        CannotStart: The migration or the check failed, or there is no database and `create` is not set.
    """
    if settings.on_postgresql:
        from doorward.storage.postgres import schema  # noqa: PLC0415 - see above

        address = PostgresAddress.read(settings.database_url)
        version = asyncio.run(schema.prepare(address, wait=float(settings.database_wait), create=create))
    else:
        version = sqlite_schema.migrate(settings.database_path, create=create)
    if settings.redis_url:
        from doorward.storage.redis import startup  # noqa: PLC0415 - see above

        asyncio.run(startup.check_server(RedisAddress.read(settings.redis_url), wait=_REDIS_SECONDS))
    return version


def schema_of(settings: Settings) -> tuple[int, int]:
    """Return the version of the schema and the newest version that this program knows, without changes.

    CannotStart if there is no database, or it must not be used.
    """
    if settings.on_postgresql:
        from doorward.storage.postgres import schema  # noqa: PLC0415 - see above

        address = PostgresAddress.read(settings.database_url)
        version = asyncio.run(schema.version_of(address, wait=float(settings.database_wait)))
        return version, schema.newest_version()
    return sqlite_schema.version_of(settings.database_path), sqlite_schema.newest_version()


@asynccontextmanager
async def read_only_database(settings: Settings) -> AsyncIterator[AccountStore]:
    """Open the accounts read-only; CannotStart if that is not possible. The schema has to be the newest."""
    database: Database
    if settings.on_postgresql:
        from doorward.storage.postgres.database import PostgresDatabase  # noqa: PLC0415 - see above

        wait = float(settings.database_wait)
        database = PostgresDatabase(settings.database_url, size=1, wait=wait, is_prepared=True)
    else:
        database = ReadOnlySqliteDatabase(settings.database_path)
    await database.open()
    try:
        yield RelationalAccountStore(database)
    finally:
        await database.close()


def open_to_others(settings: Settings) -> list[Path]:
    """Return the files of the embedded database that other users of the machine can read or write."""
    if settings.on_postgresql:
        return []
    path = settings.database_path
    files = [file for file in (path, *(Path(f"{path}-{end}") for end in ("wal", "shm"))) if file.exists()]
    if not files or not mode_of(path.parent) & _OTHERS:
        return []
    return [file for file in files if mode_of(file) & _OTHERS]
