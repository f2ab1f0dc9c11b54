"""`doorward import kratos`, `supabase`, `keycloak`, `firebase` and `django`: import users from export files."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import click

from doorward.cli.context import example
from doorward.cli.import_options import Options, import_options
from doorward.cli.import_report import Report, name_of
from doorward.cli.import_run import BATCH, Import, run_and_report
from doorward.cli.row_fitting import Part
from doorward.cli.rows import UnreadableRow, read_export
from doorward.core.clock import system_clock
from doorward.core.users.transfer import RejectedRow, RowStatus, UserRow
from doorward.imports.others import django, firebase, keycloak, kratos, supabase
from doorward.imports.others.reading import UNREADABLE, ParsedUser, SkippedEntry, System, Unreadable
from doorward.stores import Stores

_IDENTIFYING_FIELDS = {
    "kratos": {"traits"},
    "supabase": {"encrypted_password"},
    "keycloak": {"username", "enabled"},
    "firebase": {"localId"},
    "django": {"model", "fields"},
}
"""Fields that identify the entries of each system."""
_SQL = (
    "SQL files are not supported. Export the table of users as CSV, in psql for example with: "
    r"\copy (SELECT * FROM auth.users) TO users.csv CSV HEADER"
)


class _Row(NamedTuple):
    """A user, or a rejected entry, with its number in the file."""

    number: int
    user: UserRow | RejectedRow
    parts: list[Part]
    not_kept: tuple[str, ...] = ()
    password: str | None = None
    named: Mapping[str, str | None] = {}


def _command(
    name: str,
    about: str,
    open_file: Callable[..., System],
    *,
    columns: Sequence[str] = (),
    options: Sequence[Callable[[Any], Any]] = (),
    needed: str = "",
) -> click.Command:
    """Return an import command.

    Args:
        name: Name of the command.
        about: First sentence of the help.
        open_file: Reader of the file's values; its keyword arguments are the values of `options`.
        columns: Columns of CSV files without a header line.
        options: Options of this command only.
        needed: Required options of the example, each after a space.
    """

    def run(file: Path, **own_options: Any) -> None:
        common = Options.take(own_options)
        _import_file(name, lambda values: open_file(values, **own_options), file, columns, common)

    command = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))(import_options(run))
    for option in options:
        command = option(command)
    return click.command(
        name,
        epilog=example(f"doorward import {name} FILE --tenant shop@example.org{needed} --dry-run"),
        help=f"{about}\n\nExisting users with the same login and sub are not changed. Exit codes: 0 success, 1 "
        "failure, 2 wrong usage, 3 some rows were rejected.",
    )(command)


def _hashing(_context: click.Context, _parameter: click.Parameter, path: Path) -> firebase.Hashing:
    try:
        return firebase.Hashing.parse(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise click.BadParameter(f"{error}") from None


COMMANDS = (
    _command("kratos", "Import identities of Ory Kratos from FILE, the output of its list API.", kratos.open_file),
    _command(
        "supabase",
        "Import auth.users of Supabase Auth from FILE, as CSV or JSON.",
        lambda values: supabase.open_file(values, clock=system_clock),
    ),
    _command(
        "keycloak",
        "Import the users of a Keycloak realm from FILE, the export of Keycloak.",
        keycloak.open_file,
        options=[click.option("--realm", help="The realm, if the file has several.")],
    ),
    _command(
        "firebase",
        "Import the users of Firebase from FILE, the output of auth:export.",
        firebase.open_file,
        columns=firebase.COLUMNS,
        needed=" --hash-parameters parameters.txt",
        options=[
            click.option(
                "--hash-parameters",
                "hashing",
                required=True,
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                callback=_hashing,
                help="File with the password hash parameters from the project's console.",
            )
        ],
    ),
    _command(
        "django",
        "Import the users of Django from FILE, the output of dumpdata, or their table as CSV.",
        django.open_file,
        options=[
            click.option("--model", default=django.MODEL, show_default=True, help="Model of the users."),
            click.option(
                "--login-field",
                default=django.LOGIN_FIELD,
                show_default=True,
                help="Field of the login: USERNAME_FIELD of the model.",
            ),
        ],
    ),
)


def _import_file(
    name: str, open_file: Callable[[Iterable[Any]], System], file: Path, columns: Sequence[str], options: Options
) -> None:
    if file.suffix.lower() == ".sql":
        raise click.BadParameter(_SQL, param_hint="FILE")
    report = Report(options)

    async def run(stores: Stores) -> None:
        importer = await Import.open(stores, options)
        with file.open("rb") as raw:
            system = open_file(list(read_export(raw, file.suffix.lower(), columns)))
        report.hint = _hint(name, system.entries)
        rows = _rows(system, report)
        while batch := list(islice(rows, BATCH)):
            outcomes = await importer.take([row.user for row in batch])
            for row, outcome in zip(batch, outcomes, strict=True):
                disabled = isinstance(row.user, UserRow) and row.user.disabled
                report.add(row.number, outcome, row.parts, password=row.password, disabled=disabled, named=row.named)
                if outcome.status is RowStatus.CREATED:
                    report.not_kept.update(row.not_kept)

    run_and_report(run, report)


def _hint(name: str, entries: Iterable[Any]) -> str:
    """Return a hint if the first entry's fields are those of another system, else ""."""
    first = next((entry for entry in entries if isinstance(entry, Mapping)), {})
    system = next((system for system, fields in _IDENTIFYING_FIELDS.items() if fields <= first.keys()), name)
    return "" if system == name else f"Is this a file of {system.capitalize()}? Try `doorward import {system}`."


def _rows(system: System, report: Report) -> Iterable[_Row]:
    """Yield users and rejected entries; count skipped entries in the report. Numbers count every entry."""
    for number, entry in enumerate(system.entries, start=1):
        try:
            if isinstance(entry, UnreadableRow):
                raise Unreadable(
                    "The row is not valid JSON, or the number of its cells differs from that of the columns"
                )
            parsed = entry if isinstance(entry, SkippedEntry) else system.read(entry)
            if isinstance(parsed, ParsedUser):
                # UnicodeEncodeError for lone surrogates, which are valid in JSON and in no store.
                json.dumps(parsed.row, ensure_ascii=False).encode()
        except UNREADABLE as error:
            sentence = (
                str(error) if isinstance(error, Unreadable) else "The entry does not have the format of this system"
            )
            yield _Row(number, RejectedRow("unreadable_entry", sentence), [], named=name_of(entry))
            continue
        if isinstance(parsed, SkippedEntry):
            report.leave_out(parsed.code)
            continue
        user, parts = report.options.fitting.read(parsed.row)
        yield _Row(number, user, parts, parsed.not_kept, parsed.password, name_of(parsed.row))
