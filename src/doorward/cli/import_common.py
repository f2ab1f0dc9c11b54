"""Options, store access and report shared by the commands that import users."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, NoReturn, TypeVar

import click

from doorward.cli.context import UNVERIFIED, sentence_of, tenant_option
from doorward.cli.program import discard_output
from doorward.cli.row_fitting import NOT_WANTED, Part, RowFitter
from doorward.cli.rows import UnreadableFile
from doorward.core.audit.operator_events import operator_caller
from doorward.core.errors import CannotStart, QuotaExceeded, Refusal
from doorward.core.model import Caller
from doorward.core.passwords.formats import RAISED, STANDARD
from doorward.core.tenants.service import UnknownTenant, find_tenant
from doorward.core.users.transfer import (
    LOGIN_TAKEN,
    LoginOwner,
    RejectedRow,
    RowResult,
    RowStatus,
    UnverifiedTreatment,
    UserRow,
    UserTransferService,
)
from doorward.imports.others.reading import LEFT_OUT, PASSWORDS
from doorward.services import build_user_transfer
from doorward.settings import Settings
from doorward.stores import Stores, migrate, opened_stores

BATCH = 500
REFUSED = 3
"""Exit code of an import with rejected rows."""

MOST_NAMED = 1000
"""Rows that a report lists; further ones are only counted."""

_FAILED = 1
_NO_NAME: Mapping[str, str | None] = {"login": None}
_LOGINS = ("login", "username", "email")
_IDS = ("sub", "id", "localId", "pk")
_MAX_NAME_LENGTH = 256
_TREATMENTS = {
    UnverifiedTreatment.ADMIT: "can log in",
    UnverifiedTreatment.DISABLE: "disabled",
    UnverifiedTreatment.SKIP: "left out",
}

Result = TypeVar("Result")
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Options:
    """Options of all user imports."""

    tenant: str
    unconfirmed: UnverifiedTreatment
    fitting: RowFitter
    dry_run: bool
    as_json: bool

    @classmethod
    def take(cls, given: dict[str, Any]) -> "Options":
        """Remove these options from the parameters of click; the command's own remain."""
        bounds = RAISED if given.pop("costly_hashes") else STANDARD
        return cls(
            tenant=given.pop("tenant"),
            unconfirmed=UnverifiedTreatment(given.pop("unconfirmed")),
            fitting=RowFitter(given.pop("without_unfit"), given.pop("metadata"), bounds),
            dry_run=given.pop("dry_run"),
            as_json=given.pop("as_json"),
        )


def import_options(command: Command) -> Command:
    """Add the options of all user imports to a command."""
    for option in reversed(
        (
            tenant_option,
            click.option("--unconfirmed", **UNVERIFIED),
            click.option(
                "--without-unfit",
                is_flag=True,
                help="Import a user without its hash, company, scope or metadata if that part is invalid.",
            ),
            click.option(
                "--metadata",
                type=click.Choice(["all", "fit", "none"]),
                default="all",
                show_default=True,
                help="Metadata that is too large or too deep: reject the row, import what fits, or import none.",
            ),
            click.option(
                "--costly-hashes",
                is_flag=True,
                help="Accept hashes that take up to 1 GiB of memory, or about six seconds, at the first login.",
            ),
            click.option("--dry-run", is_flag=True, help="Import nothing; only report the result."),
            click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for scripts."),
        )
    ):
        command = option(command)
    return command


@dataclass
class Report:
    """Result of an import: counts of rows that were created, existed, were rejected or left out, with the reasons.

    A line of JSON for each rejected row is written to `refused_file`.
    """

    options: Options
    refused_file: IO[str] | None = None
    counts: Counter[RowStatus] = field(default_factory=Counter)
    reasons: Counter[tuple[RowStatus, str]] = field(default_factory=Counter)
    not_kept: Counter[str] = field(default_factory=Counter)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    parts_left_out: int = 0
    hint: str = ""
    """Warning for a file whose rows were all rejected."""

    @property
    def rows(self) -> int:
        """Number of rows so far."""
        return self.counts.total()

    def leave_out(self, code: str) -> None:
        """Count an entry that is not a user to import; `code` is a reason of LEFT_OUT."""
        self.counts[RowStatus.SKIPPED] += 1
        self.reasons[RowStatus.SKIPPED, code] += 1

    def add(
        self,
        number: int,
        outcome: RowResult,
        parts: list[Part],
        *,
        password: str | None = None,
        disabled: bool = False,
        named: Mapping[str, str | None] = _NO_NAME,
    ) -> None:
        """Count the outcome of a row and the parts that were left out.

        Args:
            number: Number of the row in the file.
            outcome: Result of the import.
            parts: The parts that were left out.
            password: The reason why the user has no password, a key of PASSWORDS.
            disabled: Whether the user is disabled in the file.
            named: The file's own name of the row (`name_of`), used if the outcome has no login.
        """
        self.counts[outcome.status] += 1
        row = {"row": number, **(named if outcome.login is None else {"login": outcome.login})}
        if outcome.rejected is not None:
            self._refuse(row, outcome.rejected)
        if outcome.status is RowStatus.SKIPPED:
            self.reasons[RowStatus.SKIPPED, "unconfirmed"] += 1
        if outcome.status is RowStatus.CREATED:
            self.reasons[RowStatus.CREATED, "unconfirmed"] += outcome.unconfirmed
            self.reasons[RowStatus.CREATED, "without_password"] += outcome.without_password
            self.reasons[RowStatus.CREATED, "disabled"] += disabled
            if password:
                self.reasons[RowStatus.CREATED, password] += 1
            self.not_kept.update(part.name for part in parts if part.code == NOT_WANTED)
            unfit = [part for part in parts if part.code != NOT_WANTED]
            self.parts_left_out += len(unfit)
            for part in unfit[: MOST_NAMED - len(self.parts)]:
                self.parts.append({**row, "part": part.name, "code": part.code})

    def _refuse(self, row: dict[str, Any], unfit: RejectedRow) -> None:
        self.reasons[RowStatus.REFUSED, unfit.code] += 1
        taken_by = {} if unfit.taken_by is None else {"takenBy": unfit.taken_by}
        refusal = {**row, "code": unfit.code, "error": unfit.sentence, **taken_by}
        if len(self.refusals) < MOST_NAMED:
            self.refusals.append(refusal)
        if self.refused_file is not None:
            self.refused_file.write(json.dumps(refusal) + "\n")

    def show(self) -> None:
        """Print the report, and warnings about a file that is probably the wrong one."""
        if self.options.as_json:
            click.echo(json.dumps(self._as_json()))
        else:
            self._print()
        for warning in self._warnings():
            click.secho(f"Warning: {warning}", err=True, fg="yellow")

    def _warnings(self) -> list[str]:
        created = self.counts[RowStatus.CREATED]
        if not self.rows:
            return ["The file has no entries: is it complete?"]
        if self.counts[RowStatus.SKIPPED] == self.rows:
            return ["Every row was left out. Is it the right file, with the right columns?"]
        if created and self.reasons[RowStatus.CREATED, "without_password"] == created:
            return ["No user that was created has a password. Does the file have the hashes?"]
        if self.hint and self.counts[RowStatus.REFUSED] == self.rows:
            return [self.hint]
        return []

    def _as_json(self) -> dict[str, Any]:
        reasons: dict[str, dict[str, int]] = {str(status): {} for status in RowStatus if status is not RowStatus.EXISTS}
        for (status, code), count in sorted(self.reasons.items()):
            if count:
                reasons[str(status)][code] = count
        return {
            "rows": self.rows,
            **{str(status): self.counts[status] for status in RowStatus},
            "unconfirmed": sum(count for (_, code), count in self.reasons.items() if code == "unconfirmed"),
            "withoutPassword": self.reasons[RowStatus.CREATED, "without_password"],
            "reasons": reasons,
            "notKept": dict(sorted(self.not_kept.items())),
            "dryRun": self.options.dry_run,
            "refusals": self.refusals,
            "partsLeftOut": self.parts,
            "warnings": self._warnings(),
        }

    def _print(self) -> None:
        would = " would be" if self.options.dry_run else ""
        counts = [
            f"{self.counts[status]} {status}" for status in (RowStatus.CREATED, RowStatus.EXISTS, RowStatus.REFUSED)
        ]
        if self.counts[RowStatus.SKIPPED]:
            counts.append(f"{self.counts[RowStatus.SKIPPED]} left out")
        click.echo(f"{self.rows} rows:{would} {', '.join(counts)}.")
        created = {
            code: count for (status, code), count in self.reasons.items() if status is RowStatus.CREATED and count
        }
        for code, count in sorted(created.items()):
            click.echo(f"{count:>6} created, {self._meaning(code)}.")
        for (status, code), count in sorted(self.reasons.items()):
            if status is RowStatus.SKIPPED:
                click.echo(f"{count:>6} left out: {LEFT_OUT[code]}.")
        for (status, code), count in sorted(self.reasons.items()):
            if status is RowStatus.REFUSED:
                click.echo(f"{count:>6} refused: {code}.")
        for name, count in sorted(self.not_kept.items()):
            click.echo(f"{count:>6} with {_printable(name)}, which is not imported.")
        _list(
            [
                f"row {part['row']}, {_row_name(part)}: {_printable(part['part'])} left out ({part['code']})"
                for part in self.parts
            ],
            self.parts_left_out,
        )
        _list(
            [f"row {row['row']}, {_row_name(row)}: {_explain(row)}" for row in self.refusals],
            self.counts[RowStatus.REFUSED],
        )

    def _meaning(self, code: str) -> str:
        if code == "unconfirmed":
            treatment = self.options.unconfirmed
            return f"e-mail address never verified: {_TREATMENTS[treatment]} (--unconfirmed {treatment})"
        if code == "disabled":
            return "disabled, as in the source system"
        if code == "without_password":
            return "without a password"
        return PASSWORDS[code]


def _list(lines: list[str], count: int) -> None:
    for line in lines:
        click.echo(f"  {line}")
    if count > len(lines):
        click.echo(f"  and {count - len(lines)} more")


def _row_name(row: Mapping[str, Any]) -> str:
    """Return the name of a row, escaped for the terminal."""
    name = row["login"] if row["login"] is not None else row.get("sub")
    return "without a login" if name is None else repr(name)


def _explain(refusal: Mapping[str, Any]) -> str:
    if refusal["code"] == LOGIN_TAKEN:
        return f"The login is taken by user {refusal['takenBy']!r}, who has another sub"
    if refusal["code"] == QuotaExceeded.code:
        return sentence_of(QuotaExceeded())
    return str(refusal["error"])


def name_of(row: Any) -> Mapping[str, str | None]:
    """Return the login of a row or of another system's entry, unchanged; without a login, its id as `sub`."""
    login, sub = _first(row, _LOGINS), _first(row, _IDS)
    return {"login": None, "sub": sub} if login is None and sub is not None else {"login": login}


def _first(row: Any, names: Sequence[str]) -> str | None:
    objects = [row, row.get("fields"), row.get("traits")] if isinstance(row, Mapping) else []
    values = (fields[name] for fields in objects if isinstance(fields, Mapping) for name in names if name in fields)
    value = next(values, None)
    return str(value)[:_MAX_NAME_LENGTH] if isinstance(value, str | int) and value != "" else None


def _printable(text: str) -> str:
    """Return a name from the file, escaped for the terminal."""
    return repr(text)[1:-1]


@dataclass
class Import:
    """Import of rows into a tenant by the operator, batch by batch."""

    transfer: UserTransferService
    caller: Caller
    options: Options
    _logins: dict[str, LoginOwner] = field(default_factory=dict)

    @classmethod
    async def open(cls, stores: Stores, options: Options) -> "Import":
        """Return the import into the tenant that the options name; raises UnknownTenant."""
        tenant = await find_tenant(stores.accounts, options.tenant)
        return cls(build_user_transfer(stores), operator_caller(tenant.id), options)

    async def take(self, batch: list[UserRow | RejectedRow]) -> list[RowResult]:
        """Import a batch and return the results; with `--dry-run`, store nothing."""
        options = self.options
        return await self.transfer.import_users(
            self.caller,
            batch,
            unconfirmed=options.unconfirmed,
            bounds=options.fitting.bounds,
            dry_run=options.dry_run,
            # A dry run remembers the logins of earlier batches here, since none of them are in the store.
            rehearsed=self._logins if options.dry_run else None,
        )


def run_on_stores(work: Callable[[Stores], Coroutine[Any, Any, Result]]) -> Result:
    """Run `work` with the stores that the settings name; exit with a message if that is not possible."""

    async def run(settings: Settings) -> Result:
        async with opened_stores(settings) as stores:
            return await work(stores)

    try:
        settings = Settings.read()
        migrate(settings, create=False)
        return asyncio.run(run(settings))
    except (CannotStart, UnknownTenant) as reason:
        _fail(str(reason))
    except Refusal as refusal:
        _fail(f"{sentence_of(refusal)}.")
    except UnreadableFile as reason:
        _fail(f"{reason}.")
    except OSError as error:
        discard_output(sys.stdout)
        _fail(f"The file or the output cannot be read or written ({error.strerror or error}).")
    except KeyboardInterrupt:
        _fail("Stopped. Created users stay; run the same command again to continue.")


def run_and_report(work: Callable[[Stores], Coroutine[Any, Any, None]], report: Report) -> None:
    """Run an import that fills `report`, print the report, and exit with REFUSED if rows were rejected.

    The report of an interrupted import is printed as well, since created users stay.
    """
    try:
        run_on_stores(work)
    finally:
        if sys.exc_info()[0] is None or report.rows:
            report.show()
    if report.counts[RowStatus.REFUSED]:
        sys.exit(REFUSED)


def _fail(sentence: str) -> NoReturn:
    click.secho(sentence, err=True, fg="red")
    sys.exit(_FAILED)
