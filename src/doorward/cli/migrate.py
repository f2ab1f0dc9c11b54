"""`doorward migrate`: the schema brought up, or everything carried to another database."""

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
from doorward.stores import migrate as bring_up

_START_OVER = "Nothing of it is kept: the target is as it was. The same command begins anew."


@click.command(
    epilog=example(
        "doorward migrate\n"
        "doorward migrate --from sqlite:///data/doorward.db --to postgresql://doorward@db.example.org/doorward"
    )
)
@click.option("--from", "source", metavar="URL", help="The database to carry everything from.")
@click.option("--to", "target", metavar="URL", help="The database to carry everything to; DATABASE_URL if left out.")
@click.option(
    "--sessions-to-redis",
    is_flag=True,
    help="Carry the sessions of the database on into the Redis of REDIS_URL, and end those there of the same tenants.",
)
@as_json
def migrate(*, source: str | None, target: str | None, sessions_to_redis: bool, as_json: bool) -> None:
    """Create the database or bring its schema up; with --from, carry everything to another database.

    Stop the service before, and start it with the new DATABASE_URL and the same JWT_KEY after: every token goes on.
    All is done in one transaction and proven by counts and checksums. What is interrupted, even by kill -9 or a power
    cut, has changed nothing in either database; the same command begins anew.

    Where sessions are to be in Redis from now on, they are carried there with --sessions-to-redis; without it whoever
    has a session logs in again.
    """
    settings = exit_on_error(read_settings)
    if source is None:
        if target is not None or sessions_to_redis:
            raise click.UsageError("--to and --sessions-to-redis need --from.")
        version = exit_on_error(lambda: bring_up(settings))
        if not settings.on_postgresql and not settings.redis_url:
            exit_on_error(settings.with_master_key)
        print_done(f"The schema has version {version}.")
        return
    if sessions_to_redis and not settings.redis_url:
        raise click.UsageError("--sessions-to-redis needs REDIS_URL.")
    here = replace(settings, database_url=source, redis_url="")
    there = replace(settings, database_url=target or settings.database_url)
    if exit_on_error(lambda: database_of(here) == database_of(there)):
        raise click.UsageError("--from and --to are the same database.")
    if not here.on_postgresql and not here.database_path.is_file():
        exit_with_error(f"There is no database {here.database_path}.")
    _migrate_database(here, there, as_json=as_json)
    if sessions_to_redis:
        carried = exit_on_error(lambda: asyncio.run(_migrate_sessions(here, there, quiet=as_json)))
        print_done(f"{carried} sessions go on in Redis.")
    elif there.redis_url:
        print_done(
            "With REDIS_URL, sessions that were in the database count no more; --sessions-to-redis carries them."
        )


def _migrate_database(here: Settings, there: Settings, *, as_json: bool) -> None:
    exit_on_error(lambda: bring_up(here))
    exit_on_error(lambda: bring_up(there))
    source, target = database_of(here), database_of(there)
    try:
        # Every row is carried, and then looked at once more where it arrived.
        with progress("Carrying", lambda: 2 * asyncio.run(count_rows(source, TABLES)), quiet=as_json) as step:
            sums = asyncio.run(copy_tables(source, target, step))
    except MigrationRefused as reason:
        exit_with_error(str(reason))
    except TableCopyInterrupted as reason:
        exit_with_error(f"{reason} {_START_OVER}")
    except KeyboardInterrupt:
        exit_with_error(f"Interrupted. {_START_OVER}")
    print_rows(
        (
            {"table": table, "rows": found.rows, "checksum": f"{found.digest:064x}"[:16]}
            for table, found in sums.items()
        ),
        as_json=as_json,
    )
    print_done(f"Everything is in {there.database_place}, and proven to be the same.")


async def _migrate_sessions(here: Settings, there: Settings, *, quiet: bool) -> int:
    size = await count_rows(database_of(here), ("sessions",))
    async with opened_stores(here) as source, opened_stores(there) as target:
        with progress("Copying sessions", lambda: size, quiet=quiet) as step:
            return await copy_sessions(database_of(here), source.sessions, target.sessions, system_clock(), step)
