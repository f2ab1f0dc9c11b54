"""PostgreSQL schema: migrations, and the checks of the server before the service starts."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from doorward.core.error_text import describe_error
from doorward.core.errors import CannotStart
from doorward.storage.postgres.address import Address
from doorward.storage.postgres.faults import FAULTS
from doorward.storage.relational import email_keys
from doorward.storage.relational.statements import Migration, load_migrations

WORDS = {"BYTES": "BYTEA", "BINARY": 'COLLATE "C"', "CLUSTERED": ""}
_MIN_VERSION = 13
_DURABLE = {"on", "remote_apply"}
_CONNECT_SECONDS = 5.0
_RETRY_SECONDS = 0.25
# Advisory lock of migrations: "doorward" in ASCII, which no other program is likely to use.
_LOCK = 0x646F6F7277617264
_CREATE_ROLE = "CREATE ROLE doorward LOGIN PASSWORD '...' NOSUPERUSER NOBYPASSRLS"


async def prepare(address: Address, *, wait: float, create: bool = True) -> int:
    """Check the server, migrate its schema to the newest version, and return that version.

    Waits up to `wait` seconds for a server that cannot be reached yet. Several processes may start at once: one
    migrates, the others wait. The role needs the right to create tables only if there is something to migrate.

    Raises:
        CannotStart: The server is unfit, its schema is newer than this program (nothing is changed), or there is no
            schema and `create` is False.
    """

    async def work(connection: Any) -> int:
        if not create:
            await _require_schema(connection, address)
        return await _migrate(connection, load_migrations("postgresql", WORDS))

    return await _with_checked(address, wait, work)


async def version_of(address: Address, *, wait: float) -> int:
    """Check the server and return the version of its schema, read-only; CannotStart on failure."""

    async def work(connection: Any) -> int:
        return await _require_schema(connection, address)

    return await _with_checked(address, wait, work)


def newest_version() -> int:
    """Return the newest schema version of this program."""
    return load_migrations("postgresql", WORDS)[-1].version


async def _with_checked(address: Address, wait: float, work: Callable[[Any], Awaitable[int]]) -> int:
    connection = await _connect(address, wait)
    try:
        await _check(connection)
        return await work(connection)
    except FAULTS as error:
        raise CannotStart(
            f"DATABASE_URL: {address.place} rejected the checks or the migration ({_reason(error)})."
        ) from error
    finally:
        connection.terminate()


async def _require_schema(connection: Any, address: Address) -> int:
    version = await _version(connection)
    if not version:
        raise CannotStart(
            f"DATABASE_URL: the database at {address.place} has no tables of Doorward: it is the wrong one, or "
            "new; `doorward serve` and `doorward migrate` create the tables."
        )
    return version


async def _connect(address: Address, wait: float) -> Any:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        try:
            async with asyncio.timeout(max(1.0, min(_CONNECT_SECONDS, deadline - loop.time()))):
                return await address.connect(seconds=_CONNECT_SECONDS, lock_timeout="60s")
        except FAULTS as error:
            permanent = _explain(address, error)
            if permanent is not None:
                raise permanent from error
            if loop.time() >= deadline:
                reason = f"DATABASE_URL: {address.place} cannot be reached ({_reason(error)})."
                raise CannotStart(reason) from error
        await asyncio.sleep(_RETRY_SECONDS)


def _explain(address: Address, error: Exception) -> CannotStart | None:
    """Return the error for a cause that waiting does not remove, else None."""
    place = address.place
    if isinstance(error, ssl.SSLCertVerificationError):
        return CannotStart(
            f"DATABASE_URL: the TLS certificate of {place} is not trusted ({error.verify_message}); "
            "set sslrootcert to the certificate of its CA."
        )
    if isinstance(error, ssl.SSLError) or "SSL" in str(error):
        return CannotStart(
            f"DATABASE_URL: {place} offers no usable TLS; enable it there, or set sslmode=disable if "
            "the network is trusted."
        )
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return CannotStart(f"DATABASE_URL: {place} rejected the user {address.user}: wrong password, or not allowed.")
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return CannotStart(f"DATABASE_URL: {place} has no database {address.database}.")
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return CannotStart(f"DATABASE_URL: {place} is a standby, which may lack recent revocations; use the primary.")
    return None


def _reason(error: BaseException) -> str:
    # The server's message can contain values that it was sent; the kind of the error does not.
    return describe_error(error)


async def _check(connection: Any) -> None:
    major = connection.get_server_version().major
    if major < _MIN_VERSION:
        raise CannotStart(f"DATABASE_URL: PostgreSQL {major} is too old, {_MIN_VERSION} or newer is required.")
    for name, durable in (("synchronous_commit", _DURABLE), ("fsync", {"on"})):
        value = await connection.fetchval("SELECT current_setting($1)", name)
        if value not in durable:
            raise CannotStart(
                f"DATABASE_URL: the server has {name} = {value}, so a power failure could lose acknowledged writes; "
                f"set it to on."
            )
    role, unbound = await connection.fetchrow(
        "SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    )
    if unbound:
        raise CannotStart(
            f"DATABASE_URL: the role {role} is a superuser or has BYPASSRLS, so row-level security would not isolate "
            f"tenants; create another role as the owner of the database: {_CREATE_ROLE}."
        )


async def _migrate(connection: Any, migrations: list[Migration]) -> int:
    newest = migrations[-1].version
    version = await _version(connection)
    if version > newest:
        raise CannotStart(
            f"The database has schema version {version}, this program knows only up to {newest}: "
            "start a newer program, or restore a backup made by this one."
        )
    for migration in migrations:
        if version < migration.version:
            await _apply(connection, migration)
    return newest


async def _apply(connection: Any, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        if await _version(connection) >= migration.version:
            return
        for statement in migration.statements:
            await connection.execute(statement)
        if migration.version == email_keys.SINCE:
            await _add_email_keys(connection)
        await connection.execute("CREATE TABLE IF NOT EXISTS doorward_schema (version BIGINT NOT NULL)")
        await connection.execute("DELETE FROM doorward_schema")
        await connection.execute("INSERT INTO doorward_schema (version) VALUES ($1)", migration.version)


async def _add_email_keys(connection: Any) -> None:
    """Add the keys of addresses whose canonical form SQL cannot compute."""
    await connection.execute("ALTER TABLE users NO FORCE ROW LEVEL SECURITY")
    rows = await connection.fetch("SELECT id, email FROM users WHERE octet_length(email) <> length(email)")
    keys = email_keys.keys_by_id(rows)
    await connection.executemany("UPDATE users SET email_key = $1 WHERE id = $2", keys)
    await connection.execute("ALTER TABLE users FORCE ROW LEVEL SECURITY")


async def _version(connection: Any) -> int:
    # Read from the catalog: to_regclass() may use a cache that is older than the lock.
    known = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'doorward_schema' AND pg_table_is_visible(oid))"
    if not await connection.fetchval(known):
        return 0
    return int(await connection.fetchval("SELECT max(version) FROM doorward_schema") or 0)
