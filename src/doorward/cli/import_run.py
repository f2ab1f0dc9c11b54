"""Store access and batches of the commands that import users."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import click

from doorward.cli.context import sentence_of
from doorward.cli.import_options import Options
from doorward.cli.import_report import Report
from doorward.cli.program import discard_output
from doorward.cli.rows import UnreadableFile
from doorward.core.audit.operator_events import operator_caller
from doorward.core.errors import CannotStart, Refusal
from doorward.core.model import Caller
from doorward.core.tenants.service import UnknownTenant, find_tenant
from doorward.core.users.transfer import (
    LoginOwner,
    RejectedRow,
    RowResult,
    RowStatus,
    UserRow,
    UserTransferService,
)
from doorward.services import build_user_transfer
from doorward.settings import Settings
from doorward.stores import Stores, migrate, opened_stores

BATCH = 500
REFUSED = 3
"""Exit code of an import with rejected rows."""

_FAILED = 1

Result = TypeVar("Result")


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
