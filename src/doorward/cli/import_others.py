"""`doorward import kratos` and its kin: users of other systems, from the files that those write."""

import asyncio
import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import click

from doorward.cli.desk import TENANT, UNCONFIRMED, example, unconfirmed_note
from doorward.core.clock import system_clock
from doorward.core.errors import CannotStart, Refusal
from doorward.core.operations import NoSuchTenant, find_tenant, operator
from doorward.core.user_transfer import Newcomer, Outcome, Unconfirmed, Unfit, UserTransfer
from doorward.http.rows import read_row
from doorward.moving import others
from doorward.moving.others import UNREADABLE, FirebaseHashing, Reader
from doorward.settings import Settings
from doorward.stores import choose, migrate

_BATCH = 500
_REFUSED = 3
_NO_USER = Unfit("unreadable_entry", "The entry is none that this system writes")


class _Wanted(NamedTuple):
    """Options of an import."""

    tenant: str
    unconfirmed: Unconfirmed
    dry_run: bool
    as_json: bool


def _command(name: str, reader_for: Callable[..., Reader], about: str, *options: Any) -> click.Command:
    """Return a command; `reader_for` is given the entries of the file and the values of `options`."""

    def run(file: Path, tenant: str, unconfirmed: str, *, dry_run: bool, as_json: bool, **more: Any) -> None:
        wanted = _Wanted(tenant, Unconfirmed(unconfirmed), dry_run, as_json)
        _bring_in(lambda entries: reader_for(entries, **more), file, wanted)

    return click.Command(
        name,
        epilog=example(f"doorward import {name} FILE --tenant shop@example.org --dry-run"),
        callback=run,
        help=f"{about}\n\nLogins that exist are left as they are. Exit codes: 0 done, 1 not possible, 2 wrong use, "
        "3 done but for the rows that were refused.",
        params=[
            click.Argument(["file"], type=click.Path(exists=True, dir_okay=False, path_type=Path)),
            click.Option(["--tenant"], **TENANT),
            click.Option(["--unconfirmed"], **UNCONFIRMED),
            click.Option(["--dry-run"], is_flag=True, help="Only tell what would happen."),
            click.Option(["--json", "as_json"], is_flag=True, help="Report as JSON, for scripts."),
            *options,
        ],
    )


def _firebase(_entries: Iterable[Any], parameters: Path) -> Reader:
    try:
        return FirebaseHashing.read(parameters.read_text(encoding="utf-8")).reader()
    except ValueError as error:
        raise click.BadParameter(f"{error}", param_hint="--hash-parameters") from None


_PARAMETERS = click.Option(
    ["--hash-parameters", "parameters"],
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the password hash parameters that the project's console shows.",
)

COMMANDS = (
    _command("kratos", lambda _: others.kratos, "Bring in identities of Ory Kratos, from FILE as its API lists them."),
    _command("supabase", lambda _: others.supabase, "Bring in auth.users of Supabase Auth, from FILE as CSV or JSON."),
    _command(
        "keycloak", lambda _: others.keycloak, "Bring in the users of a Keycloak realm, from FILE as it exports them."
    ),
    _command("firebase", _firebase, "Bring in the users of Firebase, from FILE as auth:export writes it.", _PARAMETERS),
    _command("django", others.django_with, "Bring in auth_user of Django, from FILE as CSV or as dumpdata writes it."),
)


def _bring_in(reader_for: Callable[[list[Any]], Reader], file: Path, wanted: _Wanted) -> None:
    try:
        entries = _entries(file)
        rows = list(_read(reader_for(entries), entries))
        settings = Settings.read()
        migrate(settings, create=False)
        outcomes = asyncio.run(_take(settings, rows, wanted))
    except (CannotStart, NoSuchTenant, Refusal) as reason:
        why = reason.sentence if isinstance(reason, Refusal) else str(reason)
        click.secho(f"doorward cannot import. {why.rstrip('.')}.", err=True, fg="red")
        sys.exit(1)
    _tell(outcomes, wanted)
    if any(outcome.unfit for outcome in outcomes):
        sys.exit(_REFUSED)


def _entries(file: Path) -> list[Any]:
    """Return the users of a file: CSV, a JSON list, an object with the list in `users`, or JSON line by line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".csv":
            return list(csv.DictReader(text.splitlines(keepends=True), strict=True))
        try:
            found = json.loads(text)
        except ValueError:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError, csv.Error):
        raise CannotStart(f"{file} is neither CSV nor JSON.") from None
    entries = found.get("users", [found]) if isinstance(found, dict) else found
    return entries if isinstance(entries, list) else [entries]


def _read(reader: Reader, entries: Iterable[Any]) -> Iterable[Newcomer | Unfit]:
    for entry in entries:
        try:
            row = reader(entry)
        except UNREADABLE:
            yield _NO_USER
            continue
        if row is not None:
            yield read_row(row)


async def _take(settings: Settings, rows: list[Newcomer | Unfit], wanted: _Wanted) -> list[Outcome]:
    stores = choose(settings)
    await stores.open()
    try:
        caller = operator((await find_tenant(stores.accounts, wanted.tenant)).id)
        transfer = UserTransfer(stores.accounts, stores.audit, system_clock)
        outcomes: list[Outcome] = []
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            outcomes += await transfer.take(caller, part, unconfirmed=wanted.unconfirmed, dry_run=wanted.dry_run)
        return outcomes
    finally:
        await stores.close()


def _tell(outcomes: list[Outcome], wanted: _Wanted) -> None:
    counts = Counter(str(outcome.status) for outcome in outcomes)
    refused = [
        {"row": number, "login": outcome.login, "code": outcome.unfit.code, "error": outcome.unfit.sentence}
        for number, outcome in enumerate(outcomes, start=1)
        if outcome.unfit
    ]
    unconfirmed = sum(outcome.unconfirmed for outcome in outcomes)
    if wanted.as_json:
        found = {"rows": len(outcomes), **counts, "unconfirmed": unconfirmed}
        click.echo(json.dumps({**found, "dryRun": wanted.dry_run, "refusals": refused}))
        return
    would = "would be " if wanted.dry_run else ""
    click.echo(f"{len(outcomes)} users: " + ", ".join(f"{count} {would}{what}" for what, count in counts.items()))
    if unconfirmed:
        click.echo(unconfirmed_note(unconfirmed, wanted.unconfirmed))
    for one in refused:
        click.echo(f"  {one['row']}. {one['login']!r}: {one['error']}")
