"""`doorward import`: bring accounts and sessions in from another system."""

import asyncio
import json
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import click

from doorward.cli import import_others
from doorward.cli.context import example, progress, sentence_of
from doorward.core.clock import system_clock
from doorward.core.errors import CannotStart, Refusal
from doorward.imports.backend_auth.importer import Importer
from doorward.imports.backend_auth.options import ImportOptions, ImportTarget
from doorward.imports.backend_auth.report import ImportReport
from doorward.settings import Settings
from doorward.stores import migrate, opened_stores


@click.group("import", epilog=example("doorward import kratos identities.json --tenant shop@example.org"))
def imports() -> None:
    """Bring accounts and sessions in from another system."""


for command in import_others.COMMANDS:
    imports.add_command(command)


@imports.command(
    "backend-auth", epilog=example("doorward import backend-auth --redis-url redis://127.0.0.1:6379 --dry-run")
)
@click.option(
    "--redis-url",
    envvar="LEGACY_REDIS_URL",
    required=True,
    help="Where its data is: redis://host:port/database. With a password in it, give it as LEGACY_REDIS_URL instead.",
)
@click.option("--dry-run", is_flag=True, help="Import into a database that is thrown away, and only report.")
@click.option(
    "--since-last",
    "catch_up",
    is_flag=True,
    help="Catch up with what has changed there since the last run: briefly before the switch.",
)
@click.option(
    "--orphans",
    type=click.Choice(["keep", "drop"]),
    default="drop",
    show_default=True,
    help="Sessions whose user was deleted there: drop ends them, keep lets them go on for the tenant that asks first.",
)
@click.option(
    "--prefix",
    default="",
    help="What its keys begin with. Without it, auth_ and jincor_auth_, of its older versions, are looked for.",
)
@click.option("--name", default="backend-auth", help="Tells several of them apart that are brought into one Doorward.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON, for scripts.")
def backend_auth(*, redis_url: str, dry_run: bool, orphans: str, as_json: bool, **chosen: Any) -> None:
    """Bring in the tenants, users and sessions of the predecessor, without logging anybody out.

    Reads its Redis and changes nothing there. Can be repeated: what is here already stays as it is.
    """
    try:
        settings = _settings()
        choices = ImportOptions(lifetime=settings.jwt_key_exp, keep_orphans=orphans == "keep", **chosen)
        with tempfile.TemporaryDirectory() if dry_run else nullcontext() as folder:
            if folder:
                settings = replace(settings, data_dir=folder, database_url="", redis_url="")
            migrate(settings, create=dry_run)
            report = asyncio.run(_run(settings, redis_url, choices))
    except CannotStart as reason:
        click.secho(f"doorward cannot import. {reason}", err=True, fg="red")
        sys.exit(1)
    except Refusal as refusal:
        click.secho(
            f"doorward cannot go on. {sentence_of(refusal)}. What is done is done; start it again.", err=True, fg="red"
        )
        sys.exit(1)
    if as_json:
        click.echo(json.dumps({"dryRun": dry_run, **report.as_json()}, indent=2))
    else:
        _print_report(report, dry_run=dry_run)


def _settings() -> Settings:
    settings = Settings.read()
    if not settings.legacy_jwt_key:
        raise CannotStart("LEGACY_JWT_KEY is missing: without the predecessor's JWT_KEY no imported session lives.")
    return settings


async def _run(settings: Settings, url: str, choices: ImportOptions) -> ImportReport:
    # redis-py is an optional dependency, and slow to import: no other command needs it.
    try:
        from doorward.imports.backend_auth.redis_source import RedisSource  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise CannotStart("redis-py is not installed. Install doorward[backend-auth].") from error

    async with RedisSource(url) as source, opened_stores(settings) as stores:
        keys = await source.size()
        # Every key is read twice: for users, and for sessions.
        with progress("Importing", lambda: 2 * keys) as advance:
            target = ImportTarget(stores.accounts, stores.sessions, stores.imports)
            return await Importer(source, target, system_clock, choices, advance).run()


def _print_report(report: ImportReport, *, dry_run: bool) -> None:
    if dry_run:
        click.secho("A dry run: nothing was imported.", bold=True)
    for what, count in sorted(report.counts.items()):
        click.echo(f"{count:>10}  {what}")
    for sort, count in report.findings.items():
        click.secho(f"\n{count:>10}  {sort.name.lower()}: {sort.value}", bold=True)
        named = [one for one in report.named if one.kind is sort]
        for one in named:
            click.echo(f"            {one.name!r}{f' of tenant {one.tenant}' if one.tenant else ''}")
        if count > len(named):
            click.echo(f"            and {count - len(named)} more")
