"""What ended or was removed at the source since the last run ends and is removed here."""

from collections.abc import Sequence
from dataclasses import dataclass

from doorward.core.model import Session, SessionKind, Tenant, User
from doorward.core.normalization import canonical
from doorward.core.ports import Clock
from doorward.imports.backend_auth import records
from doorward.imports.backend_auth.options import PAGE, ImportSource, ImportTarget, operator_event, tenant_marker
from doorward.imports.backend_auth.report import FindingKind, ImportReport

_SESSIONS_OF_A_USER = 1_000


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Removes users, and ends users' sessions, that came from the source, are as they came, and are gone there.

    Only tenants of the import of this `name` are looked at: users of another source are not at this one. The sessions
    of a removed user end with it, unless `keep_orphans` lets them go on.
    """

    source: ImportSource
    target: ImportTarget
    clock: Clock
    report: ImportReport
    prefix: str
    name: str
    keep_orphans: bool = False

    async def run(self) -> None:
        """Go through the tenants of the import."""
        after = ""
        while tenants := await self.target.accounts.list_tenants(after=after, limit=PAGE):
            for tenant in tenants:
                if await self.target.imports.last(tenant_marker(self.name, tenant.id)) is not None:
                    await self._users(tenant)
            after = canonical(tenants[-1].email)

    async def _users(self, tenant: Tenant) -> None:
        accounts, sessions, after = self.target.accounts, self.target.sessions, ""
        while users := await accounts.list_users(tenant.id, after=after, limit=PAGE):
            there = await self.source.values([records.user_key(self.prefix, user) for user in users])
            for user, value in zip(users, there, strict=True):
                devices = await sessions.list_user(tenant.id, user.id, limit=_SESSIONS_OF_A_USER)
                await self._sessions(user, [device.session for device in devices])
                if value is None and records.is_untouched(user):
                    if not self.keep_orphans:
                        await sessions.revoke_user(tenant.id, user.id)
                    deleted = operator_event(self.clock(), tenant.id, "user.delete", user.id)
                    await accounts.delete_user(tenant.id, user.id, events=[deleted])
                    self.report.find(FindingKind.GONE, tenant.id, user.login)
            after = canonical(users[-1].login)

    async def _sessions(self, user: User, sessions: Sequence[Session]) -> None:
        imported = [session for session in sessions if session.kind == SessionKind.IMPORTED_USER]
        there = await self.source.values([records.session_key(self.prefix, session) for session in imported])
        for session, value in zip(imported, there, strict=True):
            if value is not None:
                continue
            closed = operator_event(self.clock(), user.tenant_id, "session.revoke", user.id, session)
            if await self.target.sessions.revoke(session, events=[closed]):
                self.report.find(FindingKind.GONE, session.tenant_id, session.id)
