"""Writes down what the predecessor keeps, batch by batch: nobody is logged out, nothing that ended here comes back.

Of an account that is known here already, what is known here wins, except that its last activity moves forward. A run
remembers when it began, once it is complete. What is older than the last complete run, and yet not here, was ended or
deleted here since, and stays so. So a run can be repeated at any time, and one after the first adds only what is new.
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

_WRITTEN_TOGETHER = 250
_AT_ONCE = 8
_PAUSES = (0.2, 1.0, 3.0)
_TENANTS_REMEMBERED = 10_000


@dataclass(slots=True)
class Importer:
    """One run. `progress` is told how many keys were looked at, `report` what happened."""

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
        """Import everything; CannotStart where there is nothing to import. A run that fails can simply be repeated."""
        begun = self.clock()
        self._prefix = await self._find_prefix()
        last = await self.target.imports.last(self._name)
        self._seen_before = None if last is None else last - SLACK
        tenants, everything = self._pattern(tenant_prefix(self._prefix)), self._pattern(self._prefix)
        async for keys in self.source.keys(tenants):
            await self._take_tenants(await self.source.rows(keys))
        async for keys in self.source.keys(everything):
            names = [key for key in keys if not self._is_tenant(key)]
            values = await self.source.values(names)
            rows = [Row(key, value, None) for key, value in zip(names, values, strict=True) if value is not None]
            await self._take_users([row for row in rows if not records.is_session(row.value)])
            self.progress(len(keys))
        async for keys in self.source.keys(everything):
            rows = await self.source.rows([key for key in keys if self._may_be_new(key)])
            await self._take_sessions([row for row in rows if records.is_session(row.value)])
            self.progress(len(keys))
        if self.options.catch_up and last is not None:
            await CatchUp(
                self.source, self.target, self.clock, self.report, self._prefix, self._name, self.options.keep_orphans
            ).run()
        await self.target.imports.record(self._name, begun)
        return self.report

    async def _find_prefix(self) -> str:
        """Return the prefix of the source's keys; CannotStart unless there are tenants under exactly one."""
        known = (self.options.prefix,) if self.options.prefix else KEY_PREFIXES
        found = [prefix for prefix in known if await self._has_keys(self._pattern(tenant_prefix(prefix)))]
        if not found:
            missing = " or ".join(tenant_prefix(prefix) for prefix in known)
            raise CannotStart(
                f"There is nothing to import: no key begins with {missing} in this database. "
                "--prefix names another beginning of the keys."
            )
        if len(found) > 1:
            raise CannotStart(
                f"This database has keys of two versions, which begin with {' and '.join(found)}. The version that "
                "serves now uses one of them: choose it with --prefix."
            )
        return found[0]

    async def _has_keys(self, pattern: str) -> bool:
        async for keys in self.source.keys(pattern):
            if keys:
                return True
        return False

    @property
    def _name(self) -> str:
        """The name under which runs are remembered; keys of another prefix are another source."""
        return self.options.name if self._prefix == KEY_PREFIXES[0] else f"{self.options.name}:{self._prefix}"

    def _is_tenant(self, key: str) -> bool:
        return key.startswith(tenant_prefix(self._prefix))

    @staticmethod
    def _pattern(beginning: str) -> str:
        """Return the pattern of keys with this beginning."""
        return re.sub(r"([\\*?\[\]^-])", r"\\\1", beginning) + "*"

    async def _take_tenants(self, rows: Iterable[Row]) -> None:
        now = self.clock()
        for row in rows:
            self.report.count("tenants read")
            try:
                read = records.read_tenant(row, now)
            except Unreadable:
                self.report.find(FindingKind.UNREADABLE, "", row.key)
                continue
            tenant = read.account
            assert isinstance(tenant, Tenant)  # noqa: S101 - read_tenant reads no other
            if await self.target.accounts.tenant_by_id(tenant.id) is not None:
                self.report.count("tenants known")
            elif await self._keep_tenant(tenant):
                for remark in read.remarks:
                    self.report.find(remark, tenant.id, tenant.email)

    async def _keep_tenant(self, tenant: Tenant) -> bool:
        """Keep a tenant that is not here; False where it was, and was deleted."""
        name = tenant_marker(self._name, tenant.id)
        if await self.target.imports.last(name) is not None:
            self.report.find(FindingKind.HELD_BACK, tenant.id, tenant.email)
            return False
        events = [operator_event(self.clock(), tenant.id, "tenant.import")]
        if not await self.target.accounts.add_tenant(tenant, events=events):
            self.report.find(FindingKind.TENANT_CONFLICT, tenant.id, tenant.email)
            other = replace(tenant, email=records.placeholder_tenant(tenant.id))
            if not await self.target.accounts.add_tenant(other, events=events):
                return False
        await self.target.imports.record(name, self.clock())
        self.report.count("tenants added")
        self._remember_tenant(tenant.id)
        return True

    def _remember_tenant(self, tenant_id: str) -> None:
        if len(self._tenants) >= _TENANTS_REMEMBERED:
            self._tenants.clear()
        self._tenants.add(tenant_id)

    async def _has_tenant(self, tenant_id: str) -> bool:
        """Tell whether there is such a tenant; one whose record is lost at the source is made up for."""
        if tenant_id in self._tenants:
            return True
        if await self.target.accounts.tenant_by_id(tenant_id) is None:
            lost = records.lost_tenant(tenant_id, self.clock())
            if not await self._keep_tenant(lost):
                return False
            self.report.find(FindingKind.LOST_TENANT, tenant_id, lost.email)
        self._remember_tenant(tenant_id)
        return True

    async def _take_users(self, rows: Sequence[Row]) -> None:
        read: dict[str, tuple[User, tuple[FindingKind, ...]]] = {}
        for row in rows:
            self.report.count("users read")
            try:
                user, remarks = records.read_user(row, self._prefix)
            except Unreadable:
                self.report.find(FindingKind.UNREADABLE, "", row.key)
                continue
            assert isinstance(user, User)  # noqa: S101 - read_user reads no other
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
            for part in batches(list(users), _WRITTEN_TOGETHER)
        ]
        # Some at once, so that a database that gathers what is waiting writes it in one transaction.
        for some in batches(groups, _AT_ONCE):
            for kept in await asyncio.gather(*(self._keep_users(tenant_id, users) for tenant_id, users in some)):
                for user in kept:
                    self.report.count("users added")
                    for remark in read[user.id][1]:
                        self.report.find(remark, user.tenant_id, user.login)

    async def _keep_users(self, tenant_id: str, users: Sequence[User]) -> list[User]:
        """Keep those of a tenant's users that are new; return them."""
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
            # Not a finding of a complete run: the next run would take the missing users for deleted ones.
            raise CannotStart(
                f"MAX_USERS_PER_TENANT has no room for the users of tenant {tenant_id}: raise it and run the same "
                "import again; what was imported stays."
            ) from None
        kept = [user for user, is_new in zip(candidates, added, strict=True) if is_new]
        kept += [
            user for user, is_new in zip(candidates, added, strict=True) if not is_new and await self._explain(user)
        ]
        for some in batches([user for user in kept if not user.registration_date], _AT_ONCE):
            await asyncio.gather(*(self._remember_user(user) for user in some))
        return kept

    async def _explain(self, user: User) -> bool:
        """Say why a user was not kept, or keep it in the place of the one that it has replaced at the source."""
        accounts = self.target.accounts
        there = await accounts.user_by_login(user.tenant_id, user.login)
        if there is not None and there.id == user.id:
            # It was kept at a try whose answer did not arrive.
            return True
        if there is None:
            self.report.find(FindingKind.HELD_BACK, user.tenant_id, user.login)
            return False
        if there.login != user.login or not records.is_untouched(there) or await self._was_seen(user):
            self.report.find(FindingKind.LOGIN_CONFLICT, user.tenant_id, user.login)
            return False
        # The source keeps one record to a login, so the other one is gone. Its sessions go on there.
        if not self.options.keep_orphans:
            await self.target.sessions.revoke_user(there.tenant_id, there.id)
        await accounts.delete_user(
            there.tenant_id, there.id, events=[operator_event(self.clock(), there.tenant_id, "user.delete", there.id)]
        )
        self.report.find(FindingKind.REPLACED, user.tenant_id, user.login)
        return await accounts.add_user(
            user, events=[operator_event(self.clock(), user.tenant_id, "users.import", user.id)]
        )

    async def _take_sessions(self, rows: Sequence[Row]) -> None:
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
        owners = await self._tenants_of([one.user_id for one in new if one.user_id])
        opened: dict[str, Session] = {}
        for session in new:
            placed = await self._place(session, owners)
            if placed is not None:
                opened[placed.id] = placed
        for part in batches(list(opened.values()), _AT_ONCE * _WRITTEN_TOGETHER):
            await _write_with_retries(partial(self.target.sessions.open_many, part))
        self.report.count("sessions added", len(opened))

    async def _place(self, session: Session, owners: Mapping[str, str]) -> Session | None:
        """Return a session as it is to be kept, None where it is not."""
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
        """Tell whether an earlier, complete run must have seen this user; one without a date is looked up."""
        if user.registration_date or self._seen_before is None:
            return self._is_old(user.registration_date)
        return await self.target.imports.last(self._note(user)) is not None

    async def _remember_user(self, user: User) -> None:
        await _write_with_retries(lambda: self.target.imports.record(self._note(user), self.clock()))

    def _note(self, user: User) -> str:
        """Return the name under which an imported user without a date is remembered."""
        return f"{self._name}/{user.id}"

    def _is_old(self, at: int) -> bool:
        return self._seen_before is not None and at < self._seen_before

    def _may_be_new(self, key: str) -> bool:
        if self._is_tenant(key):
            return False
        began = records.session_start(key)
        return began is not None and not (self.options.catch_up and self._is_old(began))


async def _write_with_retries(write: Callable[[], Awaitable[Value]]) -> Value:
    """Do what can be done twice, again where the store did not answer in time."""
    for pause in _PAUSES:
        try:
            return await write()
        except StoreUnavailable:
            await asyncio.sleep(pause)
    return await write()


def _session_ref(session: Session) -> SessionRef:
    return SessionRef(session.id, session.user_id or session.tenant_id, SessionKind(session.kind))
