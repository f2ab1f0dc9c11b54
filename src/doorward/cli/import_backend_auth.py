"""`doorward import` and its command `backend-auth` for accounts and sessions of the predecessor."""

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
    """Import accounts and sessions of another system."""


for command in import_others.COMMANDS:
    imports.add_command(command)


@imports.command(
    "backend-auth", epilog=example("doorward import backend-auth --redis-url redis://127.0.0.1:6379 --dry-run")
)
@click.option(
    "--redis-url",
    envvar="LEGACY_REDIS_URL",
    required=True,
    help="Its Redis: redis://host:port/database. If it contains a password, use LEGACY_REDIS_URL instead.",
)
@click.option("--dry-run", is_flag=True, help="Import into a temporary database, and only report.")
@click.option(
    "--since-last",
    "catch_up",
    is_flag=True,
    help="Import changes since the last run: shortly before the switch.",
)
@click.option(
    "--orphans",
    type=click.Choice(["keep", "drop"]),
    default="drop",
    show_default=True,
    help="Sessions of deleted users: drop skips them, keep imports each for the first tenant that verifies it.",
)
@click.option(
    "--prefix",
    default="",
    help="Prefix of its keys. Default: none, and auth_ and jincor_auth_ of its older versions.",
)
@click.option("--name", default="backend-auth", help="Name of the source, if several are imported into one Doorward.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON, for scripts.")
def backend_auth(*, redis_url: str, dry_run: bool, orphans: str, as_json: bool, **options: Any) -> None:
    """Import the tenants, users and sessions of the predecessor without logging users out.

    It only reads the predecessor's Redis. It can be repeated: rows that were imported already are not changed.
    """
    try:
        settings = _settings()
        import_options = ImportOptions(lifetime=settings.jwt_key_exp, keep_orphans=orphans == "keep", **options)
        with tempfile.TemporaryDirectory() if dry_run else nullcontext() as folder:
            if folder:
                settings = replace(settings, data_dir=folder, database_url="", redis_url="")
            migrate(settings, create=dry_run)
            report = asyncio.run(_run(settings, redis_url, import_options))
    except CannotStart as reason:
        click.secho(f"doorward cannot import. {reason}", err=True, fg="red")
        sys.exit(1)
    except Refusal as refusal:
        click.secho(
            f"doorward cannot continue. {sentence_of(refusal)}. Imported rows stay; run the same command again.",
            err=True,
            fg="red",
        )
        sys.exit(1)
    if as_json:
        click.echo(json.dumps({"dryRun": dry_run, **report.as_json()}, indent=2))
    else:
        _print_report(report, dry_run=dry_run)


def _settings() -> Settings:
    settings = Settings.read()
    if not settings.legacy_jwt_key:
        raise CannotStart("LEGACY_JWT_KEY is missing: imported sessions are verified with the predecessor's JWT_KEY.")
    return settings


async def _run(settings: Settings, url: str, import_options: ImportOptions) -> ImportReport:
    # redis-py is an optional dependency and slow to import; only this command needs it.
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
            return await Importer(source, target, system_clock, import_options, advance).run()


def _print_report(report: ImportReport, *, dry_run: bool) -> None:
    if dry_run:
        click.secho("Dry run: nothing was imported.", bold=True)
    for subject, count in sorted(report.counts.items()):
        click.echo(f"{count:>10}  {subject}")
    for kind, count in report.findings.items():
        click.secho(f"\n{count:>10}  {kind.name.lower()}: {kind.value}", bold=True)
        named = [finding for finding in report.named if finding.kind is kind]
        for finding in named:
            click.echo(f"            {finding.name!r}{f' of tenant {finding.tenant}' if finding.tenant else ''}")
        if count > len(named):
            click.echo(f"            and {count - len(named)} more")
