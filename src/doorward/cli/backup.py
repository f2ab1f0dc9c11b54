"""`doorward backup` and `doorward restore`: writes and restores backup files."""

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
from doorward.operations.data_migration import restore as restore_backup
from doorward.storage.transfer.backup_file import TABLES, NotABackup, Reader, Writer
from doorward.storage.transfer.tables import TableCopyInterrupted
from doorward.stores import database_of, migrate

_MIN_PASSPHRASE = 12
_ENCRYPTED = "This backup is encrypted: give --passphrase-file."

passphrase_file = click.option(
    "--passphrase-file", metavar="FILE", help="File with the passphrase in its first line; - for standard input."
)


@click.command(
    epilog=example(
        "doorward backup /backups/doorward.bak\n"
        "doorward backup doorward.bak --encrypt\n"
        "doorward backup - --passphrase-file /run/secrets/backup | ssh vault 'cat > doorward.bak'"
    )
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--encrypt", is_flag=True, help="Encrypt the backup with a passphrase, which is prompted for.")
@passphrase_file
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def backup(*, file: Path, encrypt: bool, passphrase_file: str | None, force: bool) -> None:
    """Write a backup of tenants, users, API keys and audit logs, also while the service runs.

    It contains no sessions and no master keys, and a restore needs none. An existing FILE is not changed without
    --force; with it, FILE is replaced when the new backup is complete. With - for standard output, the backup is
    complete only if the exit code is 0.
    """
    to_output = file == STANDARD_OUTPUT
    if to_output and sys.stdout.isatty():
        raise click.UsageError("Standard output is a terminal; redirect it into a file or a program.")
    if not force and not to_output and file.exists():
        exit_with_error(f"{file} exists; choose another name, or replace it with --force.")
    passphrase = read_secret("Passphrase", passphrase_file) if encrypt or passphrase_file else None
    if passphrase is not None and len(passphrase) < _MIN_PASSPHRASE:
        click.secho(
            f"The passphrase has fewer than {_MIN_PASSPHRASE} characters. An attacker who has the file can guess it.",
            err=True,
            fg="yellow",
        )
    settings = exit_on_error(read_settings)
    schema = exit_on_error(lambda: migrate(settings, create=False))
    now = system_clock()
    database = exit_on_error(lambda: database_of(settings))
    if isinstance(database, Path) and not to_output and file.exists() and file.samefile(database):
        exit_with_error(f"{file} is the database itself; choose another name.")
    try:
        with progress("Backing up", lambda: asyncio.run(count_rows(database, TABLES))) as step:
            if to_output:
                writer = Writer(sys.stdout.buffer, schema=schema, taken_at=now, passphrase=passphrase)
                rows = asyncio.run(write_backup(database, writer, step))
                sys.stdout.flush()
            else:
                target = BackupFile(file, overwrite=force)
                work = write_backup_file(
                    database, target, schema=schema, taken_at=now, passphrase=passphrase, step=step
                )
                rows = asyncio.run(work)
    except FileExistsError:
        exit_with_error(f"{file} was created by another program meanwhile, and was not changed.")
    except OSError as error:
        if to_output:
            raise
        exit_with_error(f"{file} cannot be written ({error.strerror}).")
    except TableCopyInterrupted as reason:
        result = "The output is not a backup" if to_output else f"{file} was not written"
        exit_with_error(f"{reason} {result}; run the same command again.")
    print_done(f"{'The backup' if to_output else file} contains {rows} rows as of {format_time(now)}.")


@click.command(epilog=example("doorward restore /backups/doorward.bak\ndoorward restore doorward.bak --yes"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@passphrase_file
@yes
def restore(*, file: Path, passphrase_file: str | None, yes: bool) -> None:
    """Replace the data by a backup, in one transaction.

    Every session is revoked. Tenants and users that were deleted since the backup stay deleted, and API keys that were
    revoked stay revoked, as far as the audit log of the current database records them.
    """
    settings = exit_on_error(read_settings)
    try:
        with file.open("rb") as opened:
            header = Reader(opened)
        passphrase = read_secret("Passphrase", passphrase_file, absent=_ENCRYPTED) if header.encrypted else None
        confirm(f"Replace the data in {settings.database_place} by the backup {file}?", yes=yes)
        exit_on_error(lambda: migrate(settings))
        database = exit_on_error(lambda: database_of(settings))
        with progress("Restoring", lambda: file.stat().st_size) as step:
            result = asyncio.run(restore_backup(database, file, passphrase=passphrase, step=step))
    except NotABackup as reason:
        exit_with_error(str(reason))
    except TableCopyInterrupted as reason:
        exit_with_error(f"{reason} Nothing was restored: the database is unchanged.")
    run_with_context(lambda context: _restore_sessions(context, result), create=True)
    print_done(
        f"Restored as of {format_time(result.taken_at)}. Every session is revoked; {result.stayed_deleted} tenants, "
        "users and API keys that were deleted since then stayed deleted."
    )


async def _restore_sessions(context: CommandContext, result: RestoreResult) -> None:
    """Revoke the sessions that are not in the database, and restore the sessions of API keys."""
    sessions = context.stores.sessions
    for tenant_id in result.tenants:
        await sessions.revoke_tenant(tenant_id)
        await sessions.revoke_keys(tenant_id)
        await sessions.revoke_users_of(tenant_id)
    async for tenant in context.services.tenants.list_all():
        if not tenant.disabled:
            for key in await context.stores.api_keys.list_of_tenant(tenant.id):
                await sessions.open(key.session, cap=None)
    await context.services.audit.record(restored_event(system_clock(), result.taken_at))
