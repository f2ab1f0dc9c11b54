"""`doorward backup` and `doorward restore`."""

import asyncio
import sys
from pathlib import Path

import click

from doorward.cli.context import (
    CommandContext,
    confirm,
    example,
    exit_on_error,
    exit_with_error,
    format_time,
    print_done,
    progress,
    read_secret,
    read_settings,
    run_with_context,
    yes,
)
from doorward.cli.program import STANDARD_OUTPUT
from doorward.core.audit.operator_events import restored_event
from doorward.core.clock import system_clock
from doorward.operations.data_migration import BackupFile, RestoreResult, count_rows, write_backup, write_backup_file
from doorward.operations.data_migration import restore as put_back
from doorward.storage.transfer.backup_file import TABLES, NotABackup, Reader, Writer
from doorward.storage.transfer.tables import TableCopyInterrupted
from doorward.stores import database_of, migrate

_SHORTEST_PASSPHRASE = 12
_ENCRYPTED = "This backup is encrypted: give --passphrase-file."

passphrase_file = click.option(
    "--passphrase-file", metavar="FILE", help="File whose first line is the passphrase; - is standard input."
)


@click.command(
    epilog=example(
        "doorward backup /backups/doorward.bak\n"
        "doorward backup doorward.bak --encrypt\n"
        "doorward backup - --passphrase-file /run/secrets/backup | ssh vault 'cat > doorward.bak'"
    )
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--encrypt", is_flag=True, help="Encrypt it under a passphrase, which is asked for.")
@passphrase_file
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def backup(*, file: Path, encrypt: bool, passphrase_file: str | None, force: bool) -> None:
    """Write a backup of tenants, users, API keys and audit trails, also while the service runs.

    There are no sessions and no master keys in it, and a restore needs none. A FILE that exists is left as it is,
    unless --force is given; then it is replaced when the new backup is complete. - is standard output: then only exit
    code 0 says that the backup is complete.
    """
    to_output = file == STANDARD_OUTPUT
    if to_output and sys.stdout.isatty():
        raise click.UsageError("Standard output is a terminal; redirect it into a file or a program.")
    if not force and not to_output and file.exists():
        exit_with_error(f"{file} exists; choose another name, or replace it with --force.")
    passphrase = read_secret("Passphrase", passphrase_file) if encrypt or passphrase_file else None
    if passphrase is not None and len(passphrase) < _SHORTEST_PASSPHRASE:
        click.secho(
            f"The passphrase has fewer than {_SHORTEST_PASSPHRASE} characters. A thief of the file can guess it.",
            err=True,
            fg="yellow",
        )
    settings = exit_on_error(read_settings)
    schema = exit_on_error(lambda: migrate(settings, create=False))
    now = system_clock()
    place = exit_on_error(lambda: database_of(settings))
    if isinstance(place, Path) and not to_output and file.exists() and file.samefile(place):
        exit_with_error(f"{file} is the database itself; choose another name.")
    try:
        with progress("Backing up", lambda: asyncio.run(count_rows(place, TABLES))) as step:
            if to_output:
                writer = Writer(sys.stdout.buffer, schema=schema, taken_at=now, passphrase=passphrase)
                rows = asyncio.run(write_backup(place, writer, step))
                sys.stdout.flush()
            else:
                target = BackupFile(file, overwrite=force)
                work = write_backup_file(place, target, schema=schema, taken_at=now, passphrase=passphrase, step=step)
                rows = asyncio.run(work)
    except FileExistsError:
        exit_with_error(f"{file} was created by another program meanwhile; it is left as it is.")
    except OSError as error:
        if to_output:
            raise
        exit_with_error(f"{file} cannot be written ({error.strerror}).")
    except TableCopyInterrupted as reason:
        left = "What was written is no backup" if to_output else f"There is no {file}"
        exit_with_error(f"{reason} {left}; start the same command again.")
    print_done(f"{'The backup' if to_output else file} holds {rows} rows as they were at {format_time(now)}.")


@click.command(epilog=example("doorward restore /backups/doorward.bak\ndoorward restore doorward.bak --yes"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@passphrase_file
@yes
def restore(*, file: Path, passphrase_file: str | None, yes: bool) -> None:
    """Put a backup in place of what there is: whole, or not at all.

    Every session ends. Tenants and users that were deleted since the backup, and API keys that were revoked, stay so,
    as far as the audit trail of the present database tells of them.
    """
    settings = exit_on_error(read_settings)
    try:
        with file.open("rb") as opened:
            header = Reader(opened)
        passphrase = read_secret("Passphrase", passphrase_file, absent=_ENCRYPTED) if header.encrypted else None
        confirm(f"Replace what is in {settings.database_place} by the backup {file}?", yes=yes)
        exit_on_error(lambda: migrate(settings))
        place = exit_on_error(lambda: database_of(settings))
        with progress("Restoring", lambda: file.stat().st_size) as step:
            found = asyncio.run(put_back(place, file, passphrase=passphrase, step=step))
    except NotABackup as reason:
        exit_with_error(str(reason))
    except TableCopyInterrupted as reason:
        exit_with_error(f"{reason} Nothing was restored: the database is as it was.")
    run_with_context(lambda context: _settle(context, found), create=True)
    print_done(
        f"Restored as of {format_time(found.taken_at)}. Every session has ended; {found.stayed_deleted} tenants, users "
        "and API keys that were deleted since stayed deleted."
    )


async def _settle(context: CommandContext, found: RestoreResult) -> None:
    """End the sessions that lie outside the database, and let the API keys live again."""
    sessions = context.stores.sessions
    for tenant_id in found.tenants:
        await sessions.revoke_tenant(tenant_id)
        await sessions.revoke_keys(tenant_id)
        await sessions.revoke_users_of(tenant_id)
    async for tenant in context.services.tenants.list_all():
        if not tenant.disabled:
            for key in await context.stores.api_keys.list_of_tenant(tenant.id):
                await sessions.open(key.session, cap=None)
    await context.services.audit.record(restored_event(system_clock(), found.taken_at))
