"""Context of a command: settings, open stores and services; also output, prompts, shared options and exit codes."""

import asyncio
import json
import sys
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from doorward.core.errors import CannotStart, QuotaExceeded, Refusal, StoreUnavailable, ValidationFailed
from doorward.core.normalization import email_violations
from doorward.core.ports import Failures
from doorward.core.tenants.service import UnknownTenant
from doorward.core.users.transfer import UnverifiedTreatment
from doorward.http.api.services import Services
from doorward.observability import logging as logs
from doorward.operations.master_keys import KeyChangeRefused
from doorward.services import Wiring, build_services
from doorward.settings import Settings
from doorward.storage.transfer.tables import TableCopyInterrupted
from doorward.stores import Stores, migrate, opened_stores

DONE, FAILED, WRONG_USE, PROBLEM_FOUND = 0, 1, 2, 3
"""Exit codes: success; failure; wrong usage (of click); a check found a problem."""

Result = TypeVar("Result")
Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class CommandContext:
    """Settings, open stores, and the services on them."""

    settings: Settings
    stores: Stores
    services: Services


def run_with_context(work: Callable[[CommandContext], Awaitable[Result]], *, create: bool = False) -> Result:
    """Run `work` with the stores open and return its result; failures end the program with an error message.

    The schema is migrated first, as at the start of the service. With `create`, a missing database and master key are
    created; without it, they are failures.
    """

    def run() -> Result:
        settings = read_settings()
        migrate(settings, create=create)
        masters = {kid: key.encode() for kid, key in settings.with_master_key(create=create)}
        return asyncio.run(_with_services(settings, masters, work))

    return exit_on_error(run)


def read_settings() -> Settings:
    """Return the settings, and configure logging: only warnings and errors, in the configured format."""
    settings = Settings.read()
    logs.configure("error" if settings.log_level == "error" else "warning", settings.log_format)
    return settings


def exit_on_error(work: Callable[[], Result]) -> Result:
    """Call `work`; expected errors end the program with an error message instead of a traceback."""
    try:
        return work()
    except (CannotStart, KeyChangeRefused, UnknownTenant, TableCopyInterrupted) as reason:
        exit_with_error(str(reason))
    except ValidationFailed as refusal:
        exit_with_error("; ".join(fault.message for fault in refusal.field_errors))
    except Refusal as refusal:
        sentence = sentence_of(refusal)
        if isinstance(refusal, StoreUnavailable) and refusal.full:
            command = click.get_current_context().command_path
            sentence += (
                f". `{command}` was not carried out: what it was to change or to end is still in effect. Make room and "
                "run it again."
            )
        exit_with_error(sentence)


def sentence_of(refusal: Refusal) -> str:
    """Return the message of a refusal for an operator, without a period; it names the part that is full."""
    if isinstance(refusal, StoreUnavailable) and refusal.full:
        return f"{refusal.full[0].upper()}{refusal.full[1:]} is full"
    if isinstance(refusal, QuotaExceeded):
        return f"{refusal.sentence} (MAX_USERS_PER_TENANT)"
    return refusal.sentence


async def _with_services(
    settings: Settings, masters: dict[str, bytes], work: Callable[[CommandContext], Awaitable[Result]]
) -> Result:
    async with opened_stores(settings) as stores:
        services = build_services(settings, stores, masters, wiring=Wiring(for_operator=True))
        try:
            return await work(CommandContext(settings, stores, services))
        finally:
            services.passwords.close()


def exit_with_error(sentence: str, code: int = FAILED) -> NoReturn:
    """Print an error message on standard error and end the program with `code`."""
    click.secho(sentence, err=True, fg="red")
    sys.exit(code)


def print_done(sentence: str) -> None:
    """Print what was done on standard error, so that standard output holds results only."""
    click.echo(sentence, err=True)


@contextmanager
def progress(label: str, size: Callable[[], int], *, quiet: bool = False) -> Iterator[Callable[[int], object]]:
    """Show a progress bar on a terminal, up to `size`; the block calls the yielded function with the size of each step.

    Without a terminal, and with `quiet`, nothing is shown and `size` is not called.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=size(), label=label, file=sys.stderr) as bar:
        yield bar.update


def print_rows(rows: Iterable[Row], *, as_json: bool) -> None:
    """Print rows as a table, or as one JSON object per line."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    kept = [{name: _cell(value) for name, value in row.items()} for row in rows]
    if not kept:
        print_done("None.")
        return
    widths = {name: max([len(name), *(len(row[name]) for row in kept)]) for name in kept[0]}
    click.secho("  ".join(name.upper().ljust(width) for name, width in widths.items()).rstrip(), bold=True)
    for row in kept:
        click.echo("  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip())


def print_row(row: Row, *, as_json: bool) -> None:
    """Print one object, with one property per line, or as JSON."""
    if as_json:
        click.echo(json.dumps(row))
        return
    width = max(map(len, row))
    for name, value in row.items():
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {_cell(value)}")


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    # Text of tenants must not control the terminal.
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(value))


def format_time(milliseconds: int | None) -> str | None:
    """Return a time as ISO 8601 in UTC."""
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def failures_row(failures: Failures) -> Row:
    """Return the consecutive wrong passwords of an account, when it may try again, and if it is locked."""
    return {
        "wrong_passwords": failures.in_a_row,
        "waits_until": format_time(failures.blocked_until or None),
        "locked": failures.locked,
    }


def read_secret(prompt: str, file: str | None, *, absent: str = "") -> str:
    """Return a secret from a file, from standard input that is not a terminal, or from a prompt that asks twice.

    Never from an argument: other users of a machine can read the arguments of a process. From a file, the first line is
    taken, without a byte order mark; a control character in it ends the program, since it cannot be typed. `absent` is
    the error message when no file is given and standard input is empty.
    """
    if file is not None and file != "-":
        try:
            secret = _first_line(Path(file).read_bytes())
        except OSError as error:
            exit_with_error(f"{file} cannot be read ({error.strerror}).")
        except UnicodeDecodeError:
            exit_with_error(f"{file} is not UTF-8 text.")
    elif file == "-" or not sys.stdin.isatty():
        try:
            secret = _first_line(sys.stdin.buffer.readline())
        except UnicodeDecodeError:
            exit_with_error("Standard input is not UTF-8 text.")
    else:
        secret = str(click.prompt(prompt, hide_input=True, confirmation_prompt=True, err=True))
    if not secret:
        if absent and file is None:
            exit_with_error(absent)
        exit_with_error(f"The {prompt.lower()} is empty.")
    if any(unicodedata.category(letter) in {"Cc", "Cs"} or letter == "\ufeff" for letter in secret):
        exit_with_error(f"The {prompt.lower()} has a control character in it.")
    return secret


def _first_line(content: bytes) -> str:
    return content.partition(b"\n")[0].removesuffix(b"\r").decode("utf-8-sig")


def confirm(question: str, *, yes: bool) -> None:
    """Ask the operator, and end the program if the answer is no; without a terminal, `--yes` is required."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask at: say --yes.")
    if not click.confirm(question, err=True):
        exit_with_error("Nothing was done.")


def email(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the e-mail address of a tenant if it is valid (a click callback)."""
    if email_violations(value):
        raise click.BadParameter("not an e-mail address.")
    return value


TENANT: Mapping[str, Any] = {"required": True, "metavar": "TENANT", "help": "The tenant: its id or e-mail address."}
"""Option of commands that act on one tenant."""

UNVERIFIED: Mapping[str, Any] = {
    "type": click.Choice([one.value for one in UnverifiedTreatment]),
    "default": UnverifiedTreatment.DISABLE.value,
    "show_default": True,
    "help": "New users whose e-mail address was never verified: let them in, disable them, or leave them out.",
}
"""Option of commands that import users."""


as_json = click.option("--json", "as_json", is_flag=True, help="As JSON, one object a line, for scripts.")
yes = click.option("--yes", is_flag=True, help="Do not ask.")
password_file = click.option(
    "--password-file", metavar="FILE", help="File whose first line is the password; - is standard input."
)
tenant_option = click.option("--tenant", **TENANT)


def example(text: str) -> str:
    """Return examples for the end of a help page, without rewrapping."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in text.strip().splitlines())
