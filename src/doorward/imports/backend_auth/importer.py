"""Importer of tenants, users and sessions from backend-auth, the predecessor, batch by batch.

Users stay logged in. Of an account that exists here already, only the last activity is updated. A complete run records
its start. A row that is older than the last complete run, and does not exist here, was revoked or deleted here since,
and is not imported again. So a run can be repeated at any time, and later runs only add new rows.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import TypeVar

from doorward.core.errors import CannotStart, QuotaExceeded, StoreUnavailable
from doorward.core.model import Session, SessionKind, Tenant, User
from doorward.core.ports import Clock, SessionRef
from doorward.core.tokens.legacy import KEY_PREFIXES
from doorward.imports.backend_auth import records
from doorward.imports.backend_auth.catch_up import CatchUp
from doorward.imports.backend_auth.options import (
    ImportOptions,
    ImportSource,
    ImportTarget,
    batches,
    operator_event,
    tenant_marker,
)
from doorward.imports.backend_auth.records import Row, Unreadable, tenant_prefix
from doorward.imports.backend_auth.report import FindingKind, ImportReport

Value = TypeVar("Value")

SLACK = 60_000
"""Milliseconds by which the source's clock may be behind this machine's."""

_WRITE_BATCH = 250
_CONCURRENT_WRITES = 8
_RETRY_PAUSES = (0.2, 1.0, 3.0)
_CACHED_TENANTS = 10_000


@dataclass(slots=True)
class Importer:
    """One run of the import.

    `progress` is called with numbers of examined keys; `report` collects counts and findings.
    """

    source: ImportSource
    target: ImportTarget
    clock: Clock
    options: ImportOptions = field(default_factory=ImportOptions)
    progress: Callable[[int], object] = lambda _: None
    report: ImportReport = field(default_factory=ImportReport)
    _prefix: str = ""
    _tenants: set[str] = field(default_factory=set)
    _seen_before: int | None = None

    async def run(self) -> ImportReport:
        """Import everything; CannotStart if there is nothing to import. A failed run can be repeated."""
        started_at = self.clock()
        self._prefix = await self._find_prefix()
        last = await self.target.imports.last(self._name)
        self._seen_before = None if last is None else last - SLACK
        tenants, everything = self._pattern(tenant_prefix(self._prefix)), self._pattern(self._prefix)
        async for keys in self.source.keys(tenants):
            await self._import_tenants(await self.source.rows(keys))
        async for keys in self.source.keys(everything):
            names = [key for key in keys if not self._is_tenant(key)]
            values = await self.source.values(names)
            rows = [Row(key, value, None) for key, value in zip(names, values, strict=True) if value is not None]
            await self._import_users([row for row in rows if not records.is_session(row.value)])
            self.progress(len(keys))
        async for keys in self.source.keys(everything):
            rows = await self.source.rows([key for key in keys if self._may_be_new(key)])
            await self._import_sessions([row for row in rows if records.is_session(row.value)])
            self.progress(len(keys))
        if self.options.catch_up and last is not None:
            await CatchUp(
                self.source, self.target, self.clock, self.report, self._prefix, self._name, self.options.keep_orphans
            ).run()
        await self.target.imports.record(self._name, started_at)
        return self.report

    async def _find_prefix(self) -> str:
        """Return the prefix of the source's keys; CannotStart unless exactly one prefix has tenants."""
        known = (self.options.prefix,) if self.options.prefix else KEY_PREFIXES
        found = [prefix for prefix in known if await self._has_keys(self._pattern(tenant_prefix(prefix)))]
        if not found:
            missing = " or ".join(tenant_prefix(prefix) for prefix in known)
            raise CannotStart(
                f"There is nothing to import: no key begins with {missing} in this database. "
                "Set another prefix with --prefix."
            )
        if len(found) > 1:
            raise CannotStart(
                f"This database has keys of two versions, which begin with {' and '.join(found)}. Choose the prefix of "
                "the running version with --prefix."
            )
        return found[0]

    async def _has_keys(self, pattern: str) -> bool:
        async for keys in self.source.keys(pattern):
            if keys:
                return True
        return False

    @property
    def _name(self) -> str:
        """The name under which runs are recorded; keys with another prefix count as another source."""
        return self.options.name if self._prefix == KEY_PREFIXES[0] else f"{self.options.name}:{self._prefix}"

    def _is_tenant(self, key: str) -> bool:
        return key.startswith(tenant_prefix(self._prefix))

    @staticmethod
    def _pattern(prefix: str) -> str:
        """Return the pattern of keys with this prefix."""
        return re.sub(r"([\\*?\[\]^-])", r"\\\1", prefix) + "*"

    async def _import_tenants(self, rows: Iterable[Row]) -> None:
        now = self.clock()
        for row in rows:
            self.report.count("tenants read")
            try:
                read = records.read_tenant(row, now)
            except Unreadable:
                self.report.find(FindingKind.UNREADABLE, "", row.key)
                continue
            tenant = read.account
            assert isinstance(tenant, Tenant)  # noqa: S101 - read_tenant returns tenants
            if await self.target.accounts.tenant_by_id(tenant.id) is not None:
                self.report.count("tenants known")
            elif await self._store_tenant(tenant):
                for finding in read.findings:
                    self.report.find(finding, tenant.id, tenant.email)

    async def _store_tenant(self, tenant: Tenant) -> bool:
        """Store a tenant that does not exist here; return False if it was imported before and deleted since."""
        name = tenant_marker(self._name, tenant.id)
        if await self.target.imports.last(name) is not None:
            self.report.find(FindingKind.HELD_BACK, tenant.id, tenant.email)
            return False
        events = [operator_event(self.clock(), tenant.id, "tenant.import")]
        if not await self.target.accounts.add_tenant(tenant, events=events):
            self.report.find(FindingKind.TENANT_CONFLICT, tenant.id, tenant.email)
            placeholder = replace(tenant, email=records.placeholder_tenant(tenant.id))
            if not await self.target.accounts.add_tenant(placeholder, events=events):
                return False
        await self.target.imports.record(name, self.clock())
        self.report.count("tenants added")
        self._cache_tenant(tenant.id)
        return True

    def _cache_tenant(self, tenant_id: str) -> None:
        if len(self._tenants) >= _CACHED_TENANTS:
            self._tenants.clear()
        self._tenants.add(tenant_id)

    async def _has_tenant(self, tenant_id: str) -> bool:
        """Return whether the tenant exists; one whose record is missing at the source gets a placeholder."""
        if tenant_id in self._tenants:
            return True
        if await self.target.accounts.tenant_by_id(tenant_id) is None:
            placeholder = records.lost_tenant(tenant_id, self.clock())
            if not await self._store_tenant(placeholder):
                return False
            self.report.find(FindingKind.LOST_TENANT, tenant_id, placeholder.email)
        self._cache_tenant(tenant_id)
        return True

    async def _import_users(self, rows: Sequence[Row]) -> None:
        read: dict[str, tuple[User, tuple[FindingKind, ...]]] = {}
        for row in rows:
            self.report.count("users read")
            try:
                user, remarks = records.read_user(row, self._prefix)
            except Unreadable:
                self.report.find(FindingKind.UNREADABLE, "", row.key)
                continue
            assert isinstance(user, User)  # noqa: S101 - read_user returns users
            read[user.id] = user, remarks
        known = await self._tenants_of(list(read))
        if known:
            self.report.count("users known", len(known))
            seen = {user_id: read[user_id][0].last_activity for user_id in known}
            await self.target.accounts.touch_users(seen, now=self.clock())
        new = sorted((user for user, _ in read.values() if user.id not in known), key=lambda user: user.tenant_id)
        groups = [
            (tenant_id, part)
            for tenant_id, users in groupby(new, key=lambda user: user.tenant_id)
            if await self._has_tenant(tenant_id)
            for part in batches(list(users), _WRITE_BATCH)
        ]
        # Several groups at a time, so that a database that batches waiting writes stores them in one transaction.
        for group in batches(groups, _CONCURRENT_WRITES):
            for stored in await asyncio.gather(*(self._store_users(tenant_id, users) for tenant_id, users in group)):
                for user in stored:
                    self.report.count("users added")
                    for finding in read[user.id][1]:
                        self.report.find(finding, user.tenant_id, user.login)

    async def _store_users(self, tenant_id: str, users: Sequence[User]) -> list[User]:
        """Store the new users among a tenant's users, and return them."""
        candidates: list[User] = []
        for user in users:
            if await self._was_seen(user):
                await self._explain(user)
            else:
                candidates.append(user)
        if not candidates:
            return []
        events = [operator_event(self.clock(), tenant_id, "users.import")]
        try:
            added = await _write_with_retries(lambda: self.target.accounts.add_users(candidates, events=events))
        except QuotaExceeded:
            # The run fails: as a finding of a complete run, the next run would treat the missing users as deleted.
            raise CannotStart(
                f"The users of tenant {tenant_id} exceed MAX_USERS_PER_TENANT: raise it and run the same import again; "
                "imported rows stay."
            ) from None
        stored = [user for user, is_new in zip(candidates, added, strict=True) if is_new]
        stored += [
            user for user, is_new in zip(candidates, added, strict=True) if not is_new and await self._explain(user)
        ]
        for group in batches([user for user in stored if not user.registration_date], _CONCURRENT_WRITES):
            await asyncio.gather(*(self._record_user(user) for user in group))
        return stored

    async def _explain(self, user: User) -> bool:
        """Report why a user was not stored, or replace the user whose login it has at the source; return if stored."""
        accounts = self.target.accounts
        existing = await accounts.user_by_login(user.tenant_id, user.login)
        if existing is not None and existing.id == user.id:
            # An earlier attempt stored it, and its response was lost.
            return True
        if existing is None:
            self.report.find(FindingKind.HELD_BACK, user.tenant_id, user.login)
            return False
        if existing.login != user.login or not records.is_untouched(existing) or await self._was_seen(user):
            self.report.find(FindingKind.LOGIN_CONFLICT, user.tenant_id, user.login)
            return False
        # The source has one record per login, so the other user was deleted. Its sessions stay valid at the source.
        if not self.options.keep_orphans:
            await self.target.sessions.revoke_user(existing.tenant_id, existing.id)
        await accounts.delete_user(
            existing.tenant_id,
            existing.id,
            events=[operator_event(self.clock(), existing.tenant_id, "user.delete", existing.id)],
        )
        self.report.find(FindingKind.REPLACED, user.tenant_id, user.login)
        return await accounts.add_user(
            user, events=[operator_event(self.clock(), user.tenant_id, "users.import", user.id)]
        )

    async def _import_sessions(self, rows: Sequence[Row]) -> None:
        read: list[Session] = []
        now = self.clock()
        for row in rows:
            self.report.count("sessions read")
            try:
                read.append(records.read_session(row, self._prefix, now))
            except Unreadable:
                self.report.find(FindingKind.UNREADABLE, "", row.key)
        found = [
            session
            for part in batches([_session_ref(session) for session in read])
            for session in await self.target.sessions.find_many(part)
        ]
        self.report.count("sessions known", sum(session is not None for session in found))
        new = [session for session, known in zip(read, found, strict=True) if known is None]
        owners = await self._tenants_of([session.user_id for session in new if session.user_id])
        opened: dict[str, Session] = {}
        for session in new:
            prepared = await self._prepare(session, owners)
            if prepared is not None:
                opened[prepared.id] = prepared
        for part in batches(list(opened.values()), _CONCURRENT_WRITES * _WRITE_BATCH):
            await _write_with_retries(partial(self.target.sessions.open_many, part))
        self.report.count("sessions added", len(opened))

    async def _prepare(self, session: Session, owners: Mapping[str, str]) -> Session | None:
        """Return a session as it is to be stored, or None if it is not imported."""
        if self._is_old(session.created_at):
            self.report.find(FindingKind.HELD_BACK, session.tenant_id, session.id)
            return None
        if session.user_id is None:
            return session if await self._has_tenant(session.tenant_id) else None
        if session.expires_at is None:
            self.report.find(FindingKind.ENDLESS, session.tenant_id, session.id)
            session = session._replace(expires_at=session.created_at + self.options.lifetime * 1000)
        owner = owners.get(session.user_id or "")
        if owner is not None:
            return session._replace(tenant_id=owner)
        self.report.find(
            FindingKind.ORPHAN if self.options.keep_orphans else FindingKind.ORPHAN_DROPPED, "", session.id
        )
        return session if self.options.keep_orphans else None

    async def _tenants_of(self, user_ids: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in batches(user_ids):
            found |= await self.target.accounts.tenants_of(part)
        return found

    async def _was_seen(self, user: User) -> bool:
        """Return whether an earlier complete run has seen this user; users without a date are looked up."""
        if user.registration_date or self._seen_before is None:
            return self._is_old(user.registration_date)
        return await self.target.imports.last(self._user_marker(user)) is not None

    async def _record_user(self, user: User) -> None:
        await _write_with_retries(lambda: self.target.imports.record(self._user_marker(user), self.clock()))

    def _user_marker(self, user: User) -> str:
        """Return the name under which an imported user without a date is recorded."""
        return f"{self._name}/{user.id}"

    def _is_old(self, at: int) -> bool:
        return self._seen_before is not None and at < self._seen_before

    def _may_be_new(self, key: str) -> bool:
        if self._is_tenant(key):
            return False
        began = records.session_start(key)
        return began is not None and not (self.options.catch_up and self._is_old(began))


async def _write_with_retries(write: Callable[[], Awaitable[Value]]) -> Value:
    """Run an idempotent write, and retry it if the store is unavailable."""
    for pause in _RETRY_PAUSES:
        try:
            return await write()
        except StoreUnavailable:
            await asyncio.sleep(pause)
    return await write()


def _session_ref(session: Session) -> SessionRef:
    return SessionRef(session.id, session.user_id or session.tenant_id, SessionKind(session.kind))
