"""Repeated imports from backend-auth: removes users and revokes sessions that the source has removed since."""

from collections.abc import Sequence
from dataclasses import dataclass

from doorward.core.model import Session, SessionKind, Tenant, User
from doorward.core.normalization import canonical
from doorward.core.ports import Clock
from doorward.imports.backend_auth import records
from doorward.imports.backend_auth.options import PAGE, ImportSource, ImportTarget, operator_event, tenant_marker
from doorward.imports.backend_auth.report import FindingKind, ImportReport

_SESSIONS_PER_USER = 1_000


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Removes imported users and revokes imported sessions that the source does not have any more.

    Only tenants of the import with this `name` are examined, since users of another source are not at this one. Users
    that have changed here since their import stay. The sessions of a removed user are revoked, unless `keep_orphans` is
    set.
    """

    source: ImportSource
    target: ImportTarget
    clock: Clock
    report: ImportReport
    prefix: str
    name: str
    keep_orphans: bool = False

    async def run(self) -> None:
        """Examine the tenants of the import."""
        after = ""
        while tenants := await self.target.accounts.list_tenants(after=after, limit=PAGE):
            for tenant in tenants:
                if await self.target.imports.last(tenant_marker(self.name, tenant.id)) is not None:
                    await self._remove_users(tenant)
            after = canonical(tenants[-1].email)

    async def _remove_users(self, tenant: Tenant) -> None:
        accounts, sessions, after = self.target.accounts, self.target.sessions, ""
        while users := await accounts.list_users(tenant.id, after=after, limit=PAGE):
            values = await self.source.values([records.user_key(self.prefix, user) for user in users])
            for user, value in zip(users, values, strict=True):
                infos = await sessions.list_user(tenant.id, user.id, limit=_SESSIONS_PER_USER)
                await self._revoke_sessions(user, [info.session for info in infos])
                if value is None and records.is_untouched(user):
                    if not self.keep_orphans:
                        await sessions.revoke_user(tenant.id, user.id)
                    deleted = operator_event(self.clock(), tenant.id, "user.delete", user.id)
                    await accounts.delete_user(tenant.id, user.id, events=[deleted])
                    self.report.find(FindingKind.GONE, tenant.id, user.login)
            after = canonical(users[-1].login)

    async def _revoke_sessions(self, user: User, sessions: Sequence[Session]) -> None:
        imported = [session for session in sessions if session.kind == SessionKind.IMPORTED_USER]
        values = await self.source.values([records.session_key(self.prefix, session) for session in imported])
        for session, value in zip(imported, values, strict=True):
            if value is not None:
                continue
            revoked = operator_event(self.clock(), user.tenant_id, "session.revoke", user.id, session)
            if await self.target.sessions.revoke(session, events=[revoked]):
                self.report.find(FindingKind.GONE, session.tenant_id, session.id)
