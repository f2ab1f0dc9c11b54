"""`doorward user import` and `doorward user export`: a tenant's users, straight from file to store and back."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

import click

from doorward.cli.desk import UNCONFIRMED, example, tenant_option, unconfirmed_note
from doorward.cli.program import STANDARD_OUTPUT, lose
from doorward.cli.rows import ENDINGS, UnreadableFile, UnreadableRow, read_rows
from doorward.core.clock import system_clock
from doorward.core.errors import CannotStart, Refusal
from doorward.core.operations import NoSuchTenant, find_tenant, operator
from doorward.core.user_transfer import Newcomer, Outcome, Status, Unconfirmed, Unfit, UserTransfer
from doorward.http.rows import read_row, write_lines
from doorward.settings import Settings
from doorward.stores import Stores, choose, migrate

_BATCH = 500
_FAILED = 1
_REFUSED = 3

Result = TypeVar("Result")


@click.group()
def user() -> None:
    """Move a tenant's users in and out, while the service runs or while it does not.

    Exit codes: 0 done, 1 the stores or the file cannot be read or written, 2 wrong use, 3 done but for the rows that
    were refused.
    """


@dataclass
class _Report:
    """What became of the rows so far."""

    dry_run: bool
    unconfirmed: Unconfirmed
    refused_file: IO[str] | None
    counts: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    never_verified: int = 0

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    def add(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self.counts[outcome.status] += 1
            self.never_verified += outcome.unconfirmed
            if outcome.unfit is not None and self.refused_file is not None:
                told = {"row": self.rows, "login": outcome.login, "code": outcome.unfit.code}
                self.refused_file.write(json.dumps({**told, "error": outcome.unfit.sentence}) + "\n")

    def show(self, *, as_json: bool) -> None:
        counts: dict[str, Any] = {str(status): count for status, count in self.counts.items()}
        if as_json:
            found = {"rows": self.rows, **counts, "unconfirmed": self.never_verified}
            click.echo(json.dumps({**found, "dryRun": self.dry_run}))
            return
        would = " would be" if self.dry_run else ""
        if not counts[Status.SKIPPED]:
            del counts[Status.SKIPPED]
        click.echo(f"{self.rows} rows:{would} {', '.join(f'{count} {status}' for status, count in counts.items())}.")
        if self.never_verified:
            click.echo(unconfirmed_note(self.never_verified, self.unconfirmed))


@user.command("import", epilog=example("doorward user import users.csv --tenant shop@example.org --dry-run"))
@tenant_option
@click.option("--unconfirmed", **UNCONFIRMED)
@click.option("--dry-run", is_flag=True, help="Only tell what would happen.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON, for scripts.")
@click.option(
    "--refused",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write a line of JSON here for each refused row; - is standard output.",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def take(file: Path, tenant: str, unconfirmed: str, refused: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Create users from FILE: .csv, .json (an array), or .ndjson, with the fields of POST /users/import.

    A login that exists is left as it is, so an import that was interrupted is continued by giving the same file again.
    Cells of the CSV columns scope and metadata are JSON, those of emailVerified and disabled are true or false, in any
    case; an empty cell is no value.

    Exit codes: 0 every row was created or existed already, 1 the stores or the file cannot be read or written (what was
    created stays), 2 wrong use, 3 some rows were refused.
    """
    ending = file.suffix.lower()
    if ending not in ENDINGS:
        raise click.BadParameter(f"its name has to end in {', '.join(ENDINGS)}", param_hint="FILE")
    with ExitStack() as opened:
        treatment = Unconfirmed(unconfirmed)
        refused_file = opened.enter_context(_open_output(refused, "w")) if refused else None
        report = _Report(dry_run, treatment, refused_file)
        raw = opened.enter_context(file.open("rb"))
        bar = opened.enter_context(
            click.progressbar(length=file.stat().st_size, file=sys.stderr, hidden=not sys.stderr.isatty())
        )

        async def run(stores: Stores) -> None:
            caller = operator((await find_tenant(stores.accounts, tenant)).id)
            transfer = UserTransfer(stores.accounts, stores.audit, system_clock)
            rows = map(_read, read_rows(raw, ending))
            while batch := list(islice(rows, _BATCH)):
                report.add(await transfer.take(caller, batch, unconfirmed=treatment, dry_run=dry_run))
                bar.update(raw.tell() - bar.pos)

        try:
            _run(run)
        finally:
            # Also when it ends half-way: what was created stays.
            if sys.exc_info()[0] is None or report.rows:
                report.show(as_json=as_json)
    if report.counts[Status.REFUSED]:
        sys.exit(_REFUSED)


def _read(row: Any) -> Newcomer | Unfit:
    if isinstance(row, UnreadableRow):
        return Unfit("malformed_json", "The row, or one of its JSON cells, is not valid JSON")
    return read_row(row)


@user.command("export", epilog=example("doorward user export users.ndjson --tenant shop@example.org --hashes"))
@tenant_option
@click.option("--hashes", is_flag=True, help="With the hashes of their passwords, so that they can be imported again.")
@click.argument("file", default="-", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
def hand_out(file: Path, tenant: str, *, hashes: bool) -> None:
    """Write the tenant's users as lines of JSON to FILE, readable by its owner only, or to standard output (-).

    Exit codes: 0 done, 1 the stores cannot be read or the file cannot be written, 2 wrong use.
    """

    async def run(stores: Stores) -> None:
        caller = operator((await find_tenant(stores.accounts, tenant)).id)
        transfer = UserTransfer(stores.accounts, stores.audit, system_clock)
        count = 0
        with _open_output(file, "wb") as output:
            async for users in transfer.hand_out(caller, hashes=hashes):
                output.write(write_lines(users, hashes=hashes))
                count += len(users)
                if file != STANDARD_OUTPUT and sys.stderr.isatty():
                    click.echo(f"\r{count} users ...", nl=False, err=True)
            output.flush()
        click.echo(f"\r{count} users.   " if sys.stderr.isatty() else f"{count} users.", err=True)

    _run(run)


def _open_output(path: Path, mode: str) -> AbstractContextManager[IO[Any]]:
    """Return a new file that only its owner can read, or standard output."""
    if path == STANDARD_OUTPUT:
        return nullcontext(sys.stdout.buffer if "b" in mode else sys.stdout)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(handle, 0o600)
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be written ({error.strerror})") from None
    return os.fdopen(handle, mode)


def _run(work: Callable[[Stores], Coroutine[Any, Any, Result]]) -> Result:
    """Do something with the stores that the settings name; end with a sentence where that is impossible."""

    async def run(settings: Settings) -> Result:
        async with _opened(settings) as stores:
            return await work(stores)

    try:
        settings = Settings.read()
        migrate(settings, create=False)
        return asyncio.run(run(settings))
    except (CannotStart, NoSuchTenant) as reason:
        _fail(str(reason))
    except Refusal as refusal:
        _fail(f"{type(refusal).sentence}.")
    except UnreadableFile as reason:
        _fail(f"{reason}.")
    except OSError as error:
        lose(sys.stdout)
        _fail(f"The file or the output cannot be read or written ({error.strerror or error}).")
    except KeyboardInterrupt:
        _fail("Stopped. What was created stays; the same command continues.")


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Stores]:
    stores = choose(settings)
    await stores.open()
    try:
        yield stores
    finally:
        await stores.close()


def _fail(sentence: str) -> NoReturn:
    click.secho(sentence, err=True, fg="red")
    sys.exit(_FAILED)
