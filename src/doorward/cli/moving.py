"""`doorward migrate`: the schema brought up, or everything carried to another database."""

import asyncio
from dataclasses import replace

import click

from doorward.cli.desk import as_json, done, example, explained, fail, progress, read_settings, show
from doorward.moving_up import CannotMove, move, size_of
from doorward.settings import Settings
from doorward.storage.tables import TABLES, Interrupted
from doorward.stores import migrate as bring_up
from doorward.stores import place_of

_BEGIN_ANEW = "Nothing of it is kept: the target is as it was. The same command begins anew."


@click.command(
    epilog=example(
        "doorward migrate\n"
        "doorward migrate --from sqlite:///data/doorward.db --to postgresql://doorward@db.example.org/doorward"
    )
)
@click.option("--from", "source", metavar="URL", help="The database to carry everything from.")
@click.option("--to", "target", metavar="URL", help="The database to carry everything to; DATABASE_URL if left out.")
@as_json
def migrate(*, source: str | None, target: str | None, as_json: bool) -> None:
    """Bring the schema up; with --from, carry everything to another database.

    Stop the service before, and start it with the new DATABASE_URL and the same JWT_KEY after: every token goes on.
    All is done in one transaction and proven by counts and checksums. What is interrupted, even by kill -9 or a power
    cut, has changed nothing in either database; the same command begins anew.
    """
    settings = explained(read_settings)
    if source is None:
        if target is not None:
            raise click.UsageError("--to needs --from.")
        done(f"The schema has version {explained(lambda: bring_up(settings))}.")
        return
    here = replace(settings, database_url=source, redis_url="")
    there = replace(settings, database_url=target or settings.database_url, redis_url="")
    if explained(lambda: place_of(here) == place_of(there)):
        raise click.UsageError("--from and --to are the same database.")
    if not here.on_postgresql and not here.database_path.is_file():
        fail(f"There is no database {here.database_path}.")
    _carry(here, there, as_json=as_json)


def _carry(here: Settings, there: Settings, *, as_json: bool) -> None:
    explained(lambda: bring_up(here))
    explained(lambda: bring_up(there))
    source, target = place_of(here), place_of(there)
    try:
        # Every row is carried, and then looked at once more where it arrived.
        with progress("Carrying", lambda: 2 * asyncio.run(size_of(source, TABLES)), quiet=as_json) as step:
            sums = asyncio.run(move(source, target, step))
    except CannotMove as reason:
        fail(str(reason))
    except Interrupted as reason:
        fail(f"{reason} {_BEGIN_ANEW}")
    except KeyboardInterrupt:
        fail(f"Interrupted. {_BEGIN_ANEW}")
    show(
        (
            {"table": table, "rows": found.rows, "checksum": f"{found.digest:064x}"[:16]}
            for table, found in sums.items()
        ),
        as_json=as_json,
    )
    done(f"Everything is in {there.database_place}, and proven to be the same.")
