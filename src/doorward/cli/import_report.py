"""Report of the commands that import users."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import click

from doorward.cli.context import sentence_of
from doorward.cli.import_options import Options
from doorward.cli.row_fitting import NOT_WANTED, Part
from doorward.core.errors import QuotaExceeded
from doorward.core.users.transfer import (
    LOGIN_TAKEN,
    RejectedRow,
    RowResult,
    RowStatus,
    UnverifiedTreatment,
)
from doorward.imports.others.reading import LEFT_OUT, PASSWORDS

MOST_NAMED = 1000
"""Rows that a report lists; further ones are only counted."""

_NO_NAME: Mapping[str, str | None] = {"login": None}
_LOGINS = ("login", "username", "email")
_IDS = ("sub", "id", "localId", "pk")
_MAX_NAME_LENGTH = 256
_TREATMENTS = {
    UnverifiedTreatment.ADMIT: "can log in",
    UnverifiedTreatment.DISABLE: "disabled",
    UnverifiedTreatment.SKIP: "left out",
}


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
