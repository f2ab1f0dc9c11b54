"""`doorward migrate`: the schema brought up, or everything carried to another database."""

import asyncio
import sys
from dataclasses import replace

import click

from doorward.cli.desk import as_json, done, example, explained, fail, read_settings, show
from doorward.moving_up import CannotMove, move
from doorward.settings import Settings
from doorward.stores import migrate as bring_up
from doorward.stores import place_of


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
    All is done in one transaction and proven by counts and checksums; what is interrupted has changed nothing, and
    may be run again.
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
    carried = 0

    def step(rows: int) -> None:
        nonlocal carried
        carried += rows
        if sys.stderr.isatty():
            click.echo(f"\r{carried} rows", nl=False, err=True)

    try:
        sums = asyncio.run(move(place_of(here), place_of(there), step))
    except CannotMove as reason:
        fail(str(reason))
    show(
        (
            {"table": table, "rows": found.rows, "checksum": f"{found.digest:064x}"[:16]}
            for table, found in sums.items()
        ),
        as_json=as_json,
    )
    done(f"Everything is in {there.database_place}, and proven to be the same.")
