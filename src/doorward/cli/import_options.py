"""Options shared by the commands that import users."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from doorward.cli.context import UNVERIFIED, tenant_option
from doorward.cli.row_fitting import RowFitter
from doorward.core.passwords.formats import RAISED, STANDARD
from doorward.core.users.transfer import UnverifiedTreatment

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
