"""`doorward user import` and `doorward user export`: transfers a tenant's users between a file and the store."""

import os
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Any

import click

from doorward.cli.context import example, tenant_option
from doorward.cli.import_options import Options, import_options
from doorward.cli.import_report import Report, name_of
from doorward.cli.import_run import BATCH, Import, run_and_report, run_on_stores
from doorward.cli.program import STANDARD_OUTPUT
from doorward.cli.row_fitting import Part, RowFitter
from doorward.cli.rows import ENDINGS, UnreadableRow, read_rows
from doorward.core.audit.operator_events import operator_caller
from doorward.core.tenants.service import find_tenant
from doorward.core.users.transfer import RejectedRow, UserRow
from doorward.http.api.user_rows import write_lines
from doorward.services import build_user_transfer
from doorward.stores import Stores


@click.group()
def user() -> None:
    """Import and export a tenant's users, also while the service runs.

    Exit codes: 0 success, 1 the stores or the file cannot be read or written, 2 wrong usage, 3 some rows were rejected.
    """


@user.command("import", epilog=example("doorward user import users.csv --tenant shop@example.org --dry-run"))
@import_options
@click.option(
    "--refused",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="File for rejected rows, one line of JSON each; - for standard output.",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_users(file: Path, refused: Path | None, **given: Any) -> None:
    """Create users from FILE: .csv, .json (an array), or .ndjson, with the fields of POST /users/import.

    Existing users with the same login and sub are not changed, so an interrupted import is continued by importing the
    same file again. Cells of the CSV columns scope and metadata are JSON; those of emailVerified and disabled are true
    or false, in any case. An empty cell means no value.

    Exit codes: 0 every row was created or existed already, 1 the stores or the file cannot be read or written (created
    users stay), 2 wrong usage, 3 some rows were rejected.
    """
    ending = file.suffix.lower()
    if ending not in ENDINGS:
        raise click.BadParameter(f"its name has to end in {', '.join(ENDINGS)}", param_hint="FILE")
    options = Options.take(given)
    with ExitStack() as opened:
        report = Report(options, opened.enter_context(_open_output(refused, "w")) if refused else None)
        raw = opened.enter_context(file.open("rb"))
        bar = opened.enter_context(
            click.progressbar(length=file.stat().st_size, file=sys.stderr, hidden=not sys.stderr.isatty())
        )

        async def run(stores: Stores) -> None:
            importer = await Import.open(stores, options)
            rows = ((*_read(row, options.fitting), name_of(row)) for row in read_rows(raw, ending))
            while batch := list(islice(rows, BATCH)):
                outcomes = await importer.take([user for user, _, _ in batch])
                for (user, parts, named), outcome in zip(batch, outcomes, strict=True):
                    disabled = isinstance(user, UserRow) and user.disabled
                    report.add(report.rows + 1, outcome, parts, disabled=disabled, named=named)
                bar.update(raw.tell() - bar.pos)

        run_and_report(run, report)


def _read(row: Any, fitting: RowFitter) -> tuple[UserRow | RejectedRow, list[Part]]:
    if isinstance(row, UnreadableRow):
        sentence = (
            "The row or one of its cells is not valid JSON, or the number of its cells differs from that of the columns"
        )
        return RejectedRow("malformed_json", sentence), []
    return fitting.read(row)


@user.command("export", epilog=example("doorward user export users.ndjson --tenant shop@example.org --hashes"))
@tenant_option
@click.option("--hashes", is_flag=True, help="Include password hashes, so that the users can be imported again.")
@click.argument("file", default="-", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
def export_users(file: Path, tenant: str, *, hashes: bool) -> None:
    """Write the tenant's users as NDJSON to FILE, readable by its owner only, or to standard output (-).

    Exit codes: 0 success, 1 the stores cannot be read or the file cannot be written, 2 wrong usage.
    """

    async def run(stores: Stores) -> None:
        caller = operator_caller((await find_tenant(stores.accounts, tenant)).id)
        transfer = build_user_transfer(stores)
        count = 0
        with _open_output(file, "wb") as output:
            async for users in transfer.export_users(caller, hashes=hashes):
                output.write(write_lines(users, hashes=hashes))
                count += len(users)
                if file != STANDARD_OUTPUT and sys.stderr.isatty():
                    click.echo(f"\r{count} users ...", nl=False, err=True)
            output.flush()
        click.echo(f"\r{count} users.   " if sys.stderr.isatty() else f"{count} users.", err=True)

    run_on_stores(run)


def _open_output(path: Path, mode: str) -> AbstractContextManager[IO[Any]]:
    """Open a new file that only its owner can read, or standard output."""
    if path == STANDARD_OUTPUT:
        return nullcontext(sys.stdout.buffer if "b" in mode else sys.stdout)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(handle, 0o600)
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be written ({error.strerror})") from None
    return os.fdopen(handle, mode)
