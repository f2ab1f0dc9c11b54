"""`doorward migrate`: migrates the schema, or copies all data to another database."""

import asyncio
from dataclasses import replace

import click

from doorward.cli.context import (
    as_json,
    example,
    exit_on_error,
    exit_with_error,
    print_done,
    print_rows,
    progress,
    read_settings,
)
from doorward.core.clock import system_clock
from doorward.operations.data_migration import MigrationRefused, copy_sessions, copy_tables, count_rows
from doorward.settings import Settings
from doorward.storage.transfer.tables import TABLES, TableCopyInterrupted
from doorward.stores import database_of, opened_stores
from doorward.stores import migrate as migrate_schema

_RUN_AGAIN = "The target is unchanged; run the same command again."


@click.command(
    epilog=example(
        "doorward migrate\n"
        "doorward migrate --from sqlite:///data/doorward.db --to postgresql://doorward@db.example.org/doorward"
    )
)
@click.option("--from", "source", metavar="URL", help="The database to copy from.")
@click.option("--to", "target", metavar="URL", help="The database to copy to. Default: DATABASE_URL.")
@click.option(
    "--sessions-to-redis",
    is_flag=True,
    help="Copy the sessions of the database to the Redis of REDIS_URL, and revoke those there of the same tenants.",
)
@as_json
def migrate(*, source: str | None, target: str | None, sessions_to_redis: bool, as_json: bool) -> None:
    """Create the database or migrate its schema; with --from, copy all data to another database.

    Stop the service before, and start it afterwards with the new DATABASE_URL and the same JWT_KEY: all tokens stay
    valid. The copy is one transaction and is verified by counts and checksums. If it is interrupted, even by kill -9 or
    a power failure, neither database has changed; run the same command again.

    If the new installation stores sessions in Redis, --sessions-to-redis copies them there; without it users have to
    log in again.
    """
    settings = exit_on_error(read_settings)
    if source is None:
        if target is not None or sessions_to_redis:
            raise click.UsageError("--to and --sessions-to-redis need --from.")
        version = exit_on_error(lambda: migrate_schema(settings))
        if not settings.on_postgresql and not settings.redis_url:
            exit_on_error(settings.with_master_key)
        print_done(f"The schema has version {version}.")
        return
    if sessions_to_redis and not settings.redis_url:
        raise click.UsageError("--sessions-to-redis needs REDIS_URL.")
    source_settings = replace(settings, database_url=source, redis_url="")
    target_settings = replace(settings, database_url=target or settings.database_url)
    if exit_on_error(lambda: database_of(source_settings) == database_of(target_settings)):
        raise click.UsageError("--from and --to are the same database.")
    if not source_settings.on_postgresql and not source_settings.database_path.is_file():
        exit_with_error(f"There is no database {source_settings.database_path}.")
    _migrate_database(source_settings, target_settings, as_json=as_json)
    if sessions_to_redis:
        copied = exit_on_error(lambda: asyncio.run(_migrate_sessions(source_settings, target_settings, quiet=as_json)))
        print_done(f"{copied} sessions copied to Redis.")
    elif target_settings.redis_url:
        print_done("With REDIS_URL, sessions in the database are not used; --sessions-to-redis copies them to Redis.")


def _migrate_database(source_settings: Settings, target_settings: Settings, *, as_json: bool) -> None:
    exit_on_error(lambda: migrate_schema(source_settings))
    exit_on_error(lambda: migrate_schema(target_settings))
    source, target = database_of(source_settings), database_of(target_settings)
    try:
        # Every row is copied, and then read again from the target.
        with progress("Copying", lambda: 2 * asyncio.run(count_rows(source, TABLES)), quiet=as_json) as step:
            checksums = asyncio.run(copy_tables(source, target, step))
    except MigrationRefused as reason:
        exit_with_error(str(reason))
    except TableCopyInterrupted as reason:
        exit_with_error(f"{reason} {_RUN_AGAIN}")
    except KeyboardInterrupt:
        exit_with_error(f"Interrupted. {_RUN_AGAIN}")
    print_rows(
        (
            {"table": table, "rows": checksum.rows, "checksum": f"{checksum.digest:064x}"[:16]}
            for table, checksum in checksums.items()
        ),
        as_json=as_json,
    )
    print_done(f"All data copied to {target_settings.database_place}; counts and checksums match.")


async def _migrate_sessions(source_settings: Settings, target_settings: Settings, *, quiet: bool) -> int:
    size = await count_rows(database_of(source_settings), ("sessions",))
    async with opened_stores(source_settings) as source, opened_stores(target_settings) as target:
        with progress("Copying sessions", lambda: size, quiet=quiet) as step:
            return await copy_sessions(
                database_of(source_settings), source.sessions, target.sessions, system_clock(), step
            )
