"""Shared parts of the commands that import users: options, the stores, and the report."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, NoReturn, TypeVar

import click

from doorward.cli.context import UNVERIFIED, sentence_of, tenant_option
from doorward.cli.program import lose
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
"""Exit code of an import of which rows were refused."""

MOST_NAMED = 1000
"""Rows that a report names; more are counted."""

_FAILED = 1
_NAMELESS: Mapping[str, str | None] = {"login": None}
_LOGINS = ("login", "username", "email")
_IDS = ("sub", "id", "localId", "pk")
_LONGEST_NAME = 256
_TREATMENTS = {
    UnverifiedTreatment.ADMIT: "can log in",
    UnverifiedTreatment.DISABLE: "disabled",
    UnverifiedTreatment.SKIP: "left out",
}

Result = TypeVar("Result")
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Options:
    """Options that all imports of users have."""

    tenant: str
    unconfirmed: UnverifiedTreatment
    fitting: RowFitter
    dry_run: bool
    as_json: bool

    @classmethod
    def take(cls, given: dict[str, Any]) -> "Options":
        """Take the options out of what click gives; a command's own stay in it."""
        bounds = RAISED if given.pop("costly_hashes") else STANDARD
        return cls(
            tenant=given.pop("tenant"),
            unconfirmed=UnverifiedTreatment(given.pop("unconfirmed")),
            fitting=RowFitter(given.pop("without_unfit"), given.pop("metadata"), bounds),
            dry_run=given.pop("dry_run"),
            as_json=given.pop("as_json"),
        )


def import_options(command: Command) -> Command:
    """Add the options that all imports of users have to a command."""
    for option in reversed(
        (
            tenant_option,
            click.option("--unconfirmed", **UNVERIFIED),
            click.option(
                "--without-unfit",
                is_flag=True,
                help="Import a user without its hash, company, scope or metadata, where that part cannot be kept.",
            ),
            click.option(
                "--metadata",
                type=click.Choice(["all", "fit", "none"]),
                default="all",
                show_default=True,
                help="Metadata that is too large or too deep: refuse the row, import what fits of it, or import none.",
            ),
            click.option(
                "--costly-hashes",
                is_flag=True,
                help="Accept hashes that take up to 1 GiB of memory, or about six seconds, at the first login.",
            ),
            click.option("--dry-run", is_flag=True, help="Only report what would happen."),
            click.option("--json", "as_json", is_flag=True, help="Report as JSON, for scripts."),
        )
    ):
        command = option(command)
    return command


@dataclass
class Report:
    """Result of an import: every row is created, exists, is refused or left out, with its reason.

    `refused_file` gets a line of JSON for each refused row.
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
    """Warning for a file of which every row is refused."""

    @property
    def rows(self) -> int:
        """Number of rows so far."""
        return self.counts.total()

    def leave_out(self, code: str) -> None:
        """Count a row that is no user to import, for a reason of LEFT_OUT."""
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
        named: Mapping[str, str | None] = _NAMELESS,
    ) -> None:
        """Count the outcome of a row, with the parts that were left out.

        `password` is why it has no password (PASSWORDS), `disabled` whether the file has its user as disabled, and
        `named` the file's own name for it (`name_of`), which stands in where the login is none.
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
        """Print the report, and warnings about a file that is most likely not the one that was meant."""
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
            click.echo(f"{count:>6} with {_printable(name)}, which is not kept.")
        _list(
            [
                f"row {one['row']}, {_shown(one)}: {_printable(one['part'])} left out ({one['code']})"
                for one in self.parts
            ],
            self.parts_left_out,
        )
        _list(
            [f"row {one['row']}, {_shown(one)}: {_explained(one)}" for one in self.refusals],
            self.counts[RowStatus.REFUSED],
        )

    def _meaning(self, code: str) -> str:
        if code == "unconfirmed":
            treatment = self.options.unconfirmed
            return f"e-mail address never verified: {_TREATMENTS[treatment]} (--unconfirmed {treatment})"
        if code == "disabled":
            return "disabled, as they were there"
        if code == "without_password":
            return "without a password"
        return PASSWORDS[code]


def _list(lines: list[str], count: int) -> None:
    for line in lines:
        click.echo(f"  {line}")
    if count > len(lines):
        click.echo(f"  and {count - len(lines)} more")


def _shown(row: Mapping[str, Any]) -> str:
    """Return the name of a row in a form that cannot steer the terminal."""
    name = row["login"] if row["login"] is not None else row.get("sub")
    return "without a login" if name is None else repr(name)


def _explained(refusal: Mapping[str, Any]) -> str:
    if refusal["code"] == LOGIN_TAKEN:
        return f"The login is taken by user {refusal['takenBy']!r}, who has another sub"
    if refusal["code"] == QuotaExceeded.code:
        return sentence_of(QuotaExceeded())
    return str(refusal["error"])


def name_of(row: Any) -> Mapping[str, str | None]:
    """Return the login of a row, or of an entry of another system, as it stands there; its id as `sub` without one."""
    login, sub = _first(row, _LOGINS), _first(row, _IDS)
    return {"login": None, "sub": sub} if login is None and sub is not None else {"login": login}


def _first(row: Any, names: Sequence[str]) -> str | None:
    places = [row, row.get("fields"), row.get("traits")] if isinstance(row, Mapping) else []
    found = (place[name] for place in places if isinstance(place, Mapping) for name in names if name in place)
    value = next(found, None)
    return str(value)[:_LONGEST_NAME] if isinstance(value, str | int) and value != "" else None


def _printable(text: str) -> str:
    """Return a name of the file in a form that cannot steer the terminal."""
    return repr(text)[1:-1]


@dataclass
class Import:
    """Import of the rows of a file, batch by batch, for the operator."""

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
        """Keep a batch, or with `--dry-run` return what would become of it."""
        options = self.options
        return await self.transfer.import_users(
            self.caller,
            batch,
            unconfirmed=options.unconfirmed,
            bounds=options.fitting.bounds,
            dry_run=options.dry_run,
            # A dry run keeps the logins of earlier batches here, since the store has none of them.
            rehearsed=self._logins if options.dry_run else None,
        )


def run_on_stores(work: Callable[[Stores], Coroutine[Any, Any, Result]]) -> Result:
    """Run `work` with the stores that the settings name; end with a sentence where that is impossible."""

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
        lose(sys.stdout)
        _fail(f"The file or the output cannot be read or written ({error.strerror or error}).")
    except KeyboardInterrupt:
        _fail("Stopped. What was created stays; the same command continues.")


def run_and_report(work: Callable[[Stores], Coroutine[Any, Any, None]], report: Report) -> None:
    """Run an import that fills `report`, show that, and exit with REFUSED where rows were refused.

    An import that ends half-way shows its report too: what was created stays.
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
