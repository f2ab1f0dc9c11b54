"""Copies of whole databases: backup, restore, migration from SQLite to PostgreSQL."""

import asyncio
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from doorward.core.model import Origin, SessionKind
from doorward.core.ports import NO_SESSION_POLICY, SessionPolicy, SessionRef, SessionStore
from doorward.storage.postgres.address import Address
from doorward.storage.relational.statements import newest_version
from doorward.storage.transfer import backup_file
from doorward.storage.transfer.backup_file import NotABackup, Reader, Writer
from doorward.storage.transfer.table_copy import Progress, TableChecksum, checksum, copy_table
from doorward.storage.transfer.tables import TABLES, Row, TableReader, TableWriter, open_reader, open_writer

Database = Path | Address

_BATCH = 500
# Sessions opened concurrently.
_CONCURRENT_OPENS = 50
# Tables of short-lived rows. A restore clears them, so that it brings back no credential.
_CLEARED_TABLES = ("sessions", "epochs", "ended", "trusted_servers", "reset_codes")
_DELETING_ACTIONS = ("user.delete", "key.revoke", "tenant.delete")


class MigrationRefused(Exception):
    """Nothing was copied; the message is the reason."""


class RestoreResult(NamedTuple):
    """The result of a restore: the time of the backup, every tenant before and after, and what stayed deleted."""

    taken_at: int
    tenants: frozenset[str]
    stayed_deleted: int


class BackupFile(NamedTuple):
    """The file of a new backup; an existing file stays unless `overwrite` is set."""

    path: Path
    overwrite: bool = False


async def count_rows(database: Database, tables: Sequence[str]) -> int:
    """Return the number of rows in these tables."""
    async with open_reader(database) as reader:
        return sum([await reader.count(table) for table in tables])


async def copy_tables(source: Database, target: Database, step: Progress) -> dict[str, TableChecksum]:
    """Replace the target's tables with those of the source in one transaction; return the verified checksums.

    `step` is called for each row twice: when it is copied, and when it is verified. Raises MigrationRefused for a
    target with tenants that the source does not have: it is another installation.
    """
    async with open_reader(source) as reader, open_writer(target) as writer:
        foreign_tenants = await _ids(writer, "tenants") - await _ids(reader, "tenants")
        if foreign_tenants:
            raise MigrationRefused(
                f"The target has {len(foreign_tenants)} tenants that the source does not have, and is unchanged; "
                "copy to an empty database."
            )
        for table in reversed(TABLES):
            await writer.clear(table)
        sums = {table: await copy_table(reader, writer, table, step) for table in TABLES}
        for table, expected in sums.items():
            if await checksum(writer, table, step) != expected:
                raise MigrationRefused(
                    f"The copy of the table {table} differs from the source; the target is unchanged, try again."
                )
        return sums


async def copy_sessions(
    source: Database, from_store: SessionStore, to_store: SessionStore, now: int, step: Progress
) -> int:
    """Open in `to_store` every live session of the source, whose sessions are in `from_store`; return the number.

    Sessions of the same tenants in `to_store` are revoked first, so that no session returns that was copied before and
    revoked since. An interrupted run is completed by the next one.
    """
    copied = 0
    policies: dict[str, SessionPolicy] = {}
    async with open_reader(source) as reader:
        # The session of a user that was imported without a tenant has none yet.
        for tenant_id in ("", *await _ids(reader, "tenants")):
            await to_store.revoke_tenant(tenant_id)
            await to_store.revoke_users_of(tenant_id)
            await to_store.revoke_keys(tenant_id)
        columns = await reader.columns("sessions")
        batch: list[dict[str, Any]] = []
        async for row in reader.rows("sessions"):
            batch.append(dict(zip(columns, row, strict=True)))
            if len(batch) == _CONCURRENT_OPENS:
                copied += await _reopen_sessions(batch, from_store, to_store, policies, now)
                step(len(batch))
                batch = []
        copied += await _reopen_sessions(batch, from_store, to_store, policies, now)
        step(len(batch))
    return copied


async def _reopen_sessions(
    rows: list[dict[str, Any]],
    from_store: SessionStore,
    to_store: SessionStore,
    policies: dict[str, SessionPolicy],
    now: int,
) -> int:
    refs = [SessionRef(row["id"], row["user_id"] or row["tenant_id"], SessionKind(row["kind"])) for row in rows]
    sessions = await from_store.find_many(refs) if refs else []
    live = [
        (session, Origin(row["ip"], row["user_agent"]))
        for session, row in zip(sessions, rows, strict=True)
        if session is not None and not session.is_expired(now)
    ]
    for session, _ in live:
        policy = SessionPolicy(session.idle, session.lifetime)
        if session.user_id is not None and policies.get(session.tenant_id, NO_SESSION_POLICY) != policy:
            await to_store.set_policy(session.tenant_id, policy)
            policies[session.tenant_id] = policy
    await asyncio.gather(*(to_store.open(session, cap=None, origin=origin) for session, origin in live))
    return len(live)


async def write_backup_file(
    source: Database, target: BackupFile, *, schema: int, taken_at: int, passphrase: str | None, step: Progress
) -> int:
    """Write a backup of the source while it is in use; return the number of rows.

    The file gets its name when it is complete and on disk; raises FileExistsError where another file has the name and
    may not be overwritten. `step` is called for each batch of rows.
    """
    path = target.path
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            writer = Writer(file, schema=schema, taken_at=taken_at, passphrase=passphrase)
            count = await write_backup(source, writer, step)
            file.flush()
            os.fsync(file.fileno())
        if target.overwrite:
            draft.replace(path)
        else:
            _replace_file(draft, path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    return count


async def write_backup(source: Database, writer: Writer, step: Progress) -> int:
    """Write a backup of the source to an open file; return the number of rows."""
    count = 0
    async with open_reader(source) as reader:
        for table in backup_file.TABLES:
            columns = await reader.columns(table)
            batch: list[Row] = []
            async for row in reader.rows(table):
                batch.append(row)
                count += 1
                if len(batch) == _BATCH:
                    writer.add(table, columns, batch)
                    step(len(batch))
                    batch = []
            writer.add(table, columns, batch)
            step(len(batch))
    writer.end()
    return count


def _replace_file(draft: Path, path: Path) -> None:
    """Rename a file; raises FileExistsError where a file has the name."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no links.
        if path.exists():
            raise FileExistsError from None
        draft.replace(path)


async def restore(target: Database, path: Path, *, passphrase: str | None, step: Progress) -> RestoreResult:
    """Replace all data with a backup, in one transaction. Rows deleted since the backup stay deleted.

    All sessions are revoked, also those of API keys, which the caller opens again. Of each audit chain the longer
    version stays, and its deletions and revocations are applied again. `step` is called with the number of bytes read.
    Raises NotABackup.
    """
    with path.open("rb") as file:
        reader = Reader(file)
        newest = newest_version()
        if reader.header.schema > newest:
            raise NotABackup(
                f"The backup has schema version {reader.header.schema}, this program knows {newest}; use a newer one."
            )
        async with open_writer(target) as writer:
            before = await _ids(writer, "tenants")
            chains = await _audit_chains(writer)
            deleted = await _deleted_ids(writer)
            for table in (*_CLEARED_TABLES, "api_keys", "users", "departed", "tenants"):
                await writer.clear(table)
            row_filter = _RestoreFilter(writer, chains, deleted)
            read = 0
            for table, columns, rows in reader.frames(passphrase):
                await writer.add(table, columns, await row_filter.apply(table, columns, rows))
                step(file.tell() - read)
                read = file.tell()
            step(file.tell() - read)
            after = await _ids(writer, "tenants")
        return RestoreResult(reader.header.taken_at, frozenset(before | after), row_filter.stayed_deleted)


class _RestoreFilter:
    """Removes rows of a backup that newer data of the target supersedes."""

    def __init__(self, writer: TableWriter, chains: dict[str, int], deleted: set[str]) -> None:
        self._writer = writer
        self._chains = chains
        self._deleted = deleted
        self._replaced_chains: set[str] = set()
        self.stayed_deleted = 0

    async def apply(self, table: str, columns: list[str], rows: list[Row]) -> list[Row]:
        if table == "audit_chains":
            return [row for row in rows if await self._is_longer(dict(zip(columns, row, strict=True)))]
        if table == "audit":
            tenant = columns.index("tenant_id")
            return [row for row in rows if row[tenant] in self._replaced_chains]
        id_columns = [columns.index(name) for name in ("id", "tenant_id") if name in columns]
        restored = [row for row in rows if not self._deleted.intersection(row[column] for column in id_columns)]
        self.stayed_deleted += len(rows) - len(restored)
        return restored

    async def _is_longer(self, chain: dict[str, object]) -> bool:
        tenant_id, number = str(chain["tenant_id"]), chain["number"]
        if tenant_id in self._deleted or (isinstance(number, int) and self._chains.get(tenant_id, -1) >= number):
            return False
        await self._writer.remove_chain(tenant_id)
        self._replaced_chains.add(tenant_id)
        return True


async def _ids(reader: TableReader, table: str) -> set[str]:
    column = (await reader.columns(table)).index("id")
    return {row[column] async for row in reader.rows(table)}


async def _audit_chains(reader: TableReader) -> dict[str, int]:
    columns = await reader.columns("audit_chains")
    tenant, number = columns.index("tenant_id"), columns.index("number")
    return {row[tenant]: row[number] async for row in reader.rows("audit_chains")}


async def _deleted_ids(reader: TableReader) -> set[str]:
    """Return the ids of tenants, users and API keys that are deleted according to the target's audit log."""
    column = (await reader.columns("audit")).index("entry")
    deleted = {row[0] async for row in reader.rows("departed")}
    async for row in reader.rows("audit"):
        if any(action in row[column] for action in _DELETING_ACTIONS):
            entry = msgspec.json.decode(row[column])
            if entry.get("action") in _DELETING_ACTIONS and entry.get("outcome") == "success":
                deleted.add(entry.get("subject", ""))
    return deleted
