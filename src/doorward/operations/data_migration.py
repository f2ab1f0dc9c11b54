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

Place = Path | Address

_BATCH = 500
# Sessions that are opened concurrently.
_TOGETHER = 50
# Short-lived rows: removed by a restore, so that it brings back no credential.
_ENDED = ("sessions", "epochs", "ended", "trusted_servers", "reset_codes")
_GONE = ("user.delete", "key.revoke", "tenant.delete")


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


async def count_rows(place: Place, tables: Sequence[str]) -> int:
    """Return the number of rows in these tables."""
    async with open_reader(place) as look:
        return sum([await look.count(table) for table in tables])


async def copy_tables(source: Place, target: Place, step: Progress) -> dict[str, TableChecksum]:
    """Replace the target's tables with those of the source, in one transaction, verify them, and return the checksums.

    `step` is called for each row twice: when it is copied, and when it is verified. Raises MigrationRefused for a
    target with tenants that the source does not have: it is another installation.
    """
    async with open_reader(source) as here, open_writer(target) as there:
        strangers = await _ids(there, "tenants") - await _ids(here, "tenants")
        if strangers:
            raise MigrationRefused(
                f"The target has {len(strangers)} tenants that the source has not; it is left as it is."
            )
        for table in reversed(TABLES):
            await there.clear(table)
        sums = {table: await copy_table(here, there, table, step) for table in TABLES}
        for table, expected in sums.items():
            if await checksum(there, table, step) != expected:
                raise MigrationRefused(
                    f"The table {table} did not arrive as it was sent; the target is left as it was."
                )
        return sums


async def copy_sessions(source: Place, here: SessionStore, there: SessionStore, now: int, step: Progress) -> int:
    """Open in `there` every live session of the source, whose sessions are `here`; return the number.

    Sessions of the same tenants in `there` are revoked first, so that no session returns that was copied before and
    revoked since. An interrupted run is completed by the next one.
    """
    carried = 0
    policies: dict[str, SessionPolicy] = {}
    async with open_reader(source) as look:
        # The session of a user that was imported without a tenant has none yet.
        for tenant_id in ("", *await _ids(look, "tenants")):
            await there.revoke_tenant(tenant_id)
            await there.revoke_users_of(tenant_id)
            await there.revoke_keys(tenant_id)
        columns = await look.columns("sessions")
        batch: list[dict[str, Any]] = []
        async for row in look.rows("sessions"):
            batch.append(dict(zip(columns, row, strict=True)))
            if len(batch) == _TOGETHER:
                carried += await _reopen_sessions(batch, here, there, policies, now)
                step(len(batch))
                batch = []
        carried += await _reopen_sessions(batch, here, there, policies, now)
        step(len(batch))
    return carried


async def _reopen_sessions(
    rows: list[dict[str, Any]], here: SessionStore, there: SessionStore, policies: dict[str, SessionPolicy], now: int
) -> int:
    claimed = [SessionRef(row["id"], row["user_id"] or row["tenant_id"], SessionKind(row["kind"])) for row in rows]
    found = await here.find_many(claimed) if claimed else []
    live = [
        (session, Origin(row["ip"], row["user_agent"]))
        for session, row in zip(found, rows, strict=True)
        if session is not None and not session.is_expired(now)
    ]
    for session, _ in live:
        policy = SessionPolicy(session.idle, session.lifetime)
        if session.user_id is not None and policies.get(session.tenant_id, NO_SESSION_POLICY) != policy:
            await there.set_policy(session.tenant_id, policy)
            policies[session.tenant_id] = policy
    await asyncio.gather(*(there.open(session, cap=None, origin=origin) for session, origin in live))
    return len(live)


async def write_backup_file(
    source: Place, target: BackupFile, *, schema: int, taken_at: int, passphrase: str | None, step: Progress
) -> int:
    """Write a backup of the source while it is in use; return the number of rows.

    The file gets its name when it is complete and on disk; raises FileExistsError for another file that must stay.
    `step` is called for each batch of rows.
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


async def write_backup(source: Place, writer: Writer, step: Progress) -> int:
    """Write a backup of the source to an open file; return the number of rows."""
    count = 0
    async with open_reader(source) as here:
        for table in backup_file.TABLES:
            columns = await here.columns(table)
            batch: list[Row] = []
            async for row in here.rows(table):
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
    """Rename a file; raises FileExistsError where the name is taken."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no links.
        if path.exists():
            raise FileExistsError from None
        draft.replace(path)


async def restore(target: Place, path: Path, *, passphrase: str | None, step: Progress) -> RestoreResult:
    """Replace all data with a backup, in one transaction. What was deleted since stays deleted.

    All sessions are revoked, also those of API keys, which are to be opened again. The longer one of each audit chain
    stays, and the deletions and revocations in it are applied again. `step` is called with the number of bytes read.
    Raises NotABackup.
    """
    with path.open("rb") as file:
        reader = Reader(file)
        known = newest_version()
        if reader.header.schema > known:
            raise NotABackup(f"The backup has schema version {reader.header.schema}, this program knows {known}.")
        async with open_writer(target) as there:
            before = await _ids(there, "tenants")
            trails = await _audit_chains(there)
            gone = await _deleted_ids(there)
            for table in (*_ENDED, "api_keys", "users", "departed", "tenants"):
                await there.clear(table)
            sieve = _RestoreFilter(there, trails, gone)
            read = 0
            for table, columns, rows in reader.frames(passphrase):
                await there.add(table, columns, await sieve.apply(table, columns, rows))
                step(file.tell() - read)
                read = file.tell()
            step(file.tell() - read)
            after = await _ids(there, "tenants")
        return RestoreResult(reader.header.taken_at, frozenset(before | after), sieve.stopped)


class _RestoreFilter:
    """Removes rows of a backup that newer data of the target supersedes."""

    def __init__(self, there: TableWriter, trails: dict[str, int], gone: set[str]) -> None:
        self._there = there
        self._trails = trails
        self._gone = gone
        self._taken: set[str] = set()
        self.stopped = 0

    async def apply(self, table: str, columns: list[str], rows: list[Row]) -> list[Row]:
        if table == "audit_chains":
            return [row for row in rows if await self._is_longer(dict(zip(columns, row, strict=True)))]
        if table == "audit":
            place = columns.index("tenant_id")
            return [row for row in rows if row[place] in self._taken]
        places = [columns.index(name) for name in ("id", "tenant_id") if name in columns]
        left = [row for row in rows if not self._gone.intersection(row[place] for place in places)]
        self.stopped += len(rows) - len(left)
        return left

    async def _is_longer(self, chain: dict[str, object]) -> bool:
        tenant_id, number = str(chain["tenant_id"]), chain["number"]
        if tenant_id in self._gone or (isinstance(number, int) and self._trails.get(tenant_id, -1) >= number):
            return False
        await self._there.remove_chain(tenant_id)
        self._taken.add(tenant_id)
        return True


async def _ids(look: TableReader, table: str) -> set[str]:
    place = (await look.columns(table)).index("id")
    return {row[place] async for row in look.rows(table)}


async def _audit_chains(look: TableReader) -> dict[str, int]:
    columns = await look.columns("audit_chains")
    tenant, number = columns.index("tenant_id"), columns.index("number")
    return {row[tenant]: row[number] async for row in look.rows("audit_chains")}


async def _deleted_ids(look: TableReader) -> set[str]:
    """Return the ids of tenants, users and API keys that are deleted according to the target's audit log."""
    place = (await look.columns("audit")).index("entry")
    gone = {row[0] async for row in look.rows("departed")}
    async for row in look.rows("audit"):
        if any(action in row[place] for action in _GONE):
            told = msgspec.json.decode(row[place])
            if told.get("action") in _GONE and told.get("outcome") == "success":
                gone.add(told.get("subject", ""))
    return gone
