"""`SessionStore` on a relational database: a session is valid while its row has the current epochs."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence

from doorward.core.errors import StoreUnavailable
from doorward.core.model import MAX_CLOCK_SKEW, OWNERS, Origin, Session, SessionInfo, SessionKind
from doorward.core.ports import NO_SESSION_POLICY, UNKNOWN_ORIGIN, Events, RevocationScope, SessionPolicy, SessionRef
from doorward.storage.relational.database import Database, Step, audit_steps

_TOUCH_BATCH = 500
_ERASE_BATCH = 50
_OPEN_BATCH = 250
_OPEN_TRIES = 3
_COLUMNS = (
    "id",
    "kind",
    "tenant_id",
    "user_id",
    "device_id",
    "key",
    "created_at",
    "expires_at",
    "seen_at",
    "generation",
    "refreshed_at",
    "permissions",
)


# Makes a Session of a row, whose columns have the order of its fields. `Session._make` takes three times as long.
_session = tuple.__new__


def _users_owner(user_id: str) -> str:
    return f"user:{user_id}"


def _tenants_owner(tenant_id: str) -> str:
    return f"tenant:{tenant_id}"


def _keys_owner(tenant_id: str) -> str:
    return f"keys:{tenant_id}"


def _users_realm(tenant_id: str) -> str:
    return f"users:{tenant_id}"


def _owner_and_realm(session: Session) -> tuple[str, str]:
    kind = OWNERS[SessionKind(session.kind)]
    if kind == SessionKind.TENANT:
        return _tenants_owner(session.tenant_id), _tenants_owner(session.tenant_id)
    if kind == SessionKind.KEY:
        return _keys_owner(session.tenant_id), _keys_owner(session.tenant_id)
    return _users_owner(session.user_id or ""), _users_realm(session.tenant_id)


def _row(session: Session) -> dict[str, object]:
    return {name: value for name, value in session._asdict().items() if name in _COLUMNS}


def revocation_steps(scope: RevocationScope) -> list[Step]:
    """Return the steps that revoke the sessions of a scope."""
    if scope.user_id is not None:
        return _revocation_step(_users_owner(scope.user_id), scope.keep)
    steps = _revocation_step(_tenants_owner(scope.tenant_id), scope.keep)
    if scope.include_users_and_keys:
        steps += _revocation_step(_keys_owner(scope.tenant_id), None)
        steps.append(Step("renew_epoch", {"owner": _users_realm(scope.tenant_id), "fresh": _new_epoch()}))
    return steps


def _revocation_step(owner: str, keep: Session | None) -> list[Step]:
    values: Mapping[str, object] = {"owner": owner, "fresh": _new_epoch()}
    steps = [Step("end_owner", {"owner": owner})]
    if keep is not None:
        steps = [
            Step("lock_epoch", values),
            Step("keep_session", {**values, "id": keep.id}),
            Step("renew_epoch", values),
        ]
        if OWNERS[SessionKind(keep.kind)] == SessionKind.TENANT:
            steps.insert(2, Step("keep_realm", {**values, "id": keep.id}))
    return [*steps, Step("note_ended", {"owner": owner})]


def policy_steps(tenant_id: str, policy: SessionPolicy) -> Step:
    """Return the step that sets the session policy of a tenant's users."""
    return Step("demand", {"owner": _users_realm(tenant_id), "fresh": _new_epoch(), **policy._asdict()})


def _new_epoch() -> int:
    return secrets.randbits(63)


class RelationalSessionStore:
    """`SessionStore` in the tables `sessions` and `epochs`."""

    def __init__(self, database: Database) -> None:
        """Store sessions in `database`."""
        self._db = database

    async def open(
        self,
        session: Session,
        *,
        cap: int | None,
        policy: SessionPolicy = NO_SESSION_POLICY,
        origin: Origin = UNKNOWN_ORIGIN,
        events: Events = (),
    ) -> None:
        """See `SessionStore.open`."""
        owner, realm = _owner_and_realm(session)
        steps = [
            Step("lock_epoch", {"owner": owner, "fresh": _new_epoch()}),
            Step("draw_epoch", {"owner": realm, "fresh": _new_epoch(), **policy._asdict()}),
            Step("open_session", {**_row(session), **origin._asdict(), "owner": owner, "realm": realm}, vital=True),
        ]
        if cap is not None:
            latest = session.created_at + MAX_CLOCK_SKEW
            steps.append(Step("evict_sessions", {"owner": owner, "cap": cap, "latest": latest}))
        for _ in range(_OPEN_TRIES):
            # If the realm is revoked between two statements, no session opens; the next try has the new epoch.
            if (await self._db.write(*steps, *audit_steps(events)))[2]:
                return
        raise StoreUnavailable

    async def open_many(self, sessions: Sequence[Session]) -> None:
        """See `SessionStore.open_many`."""
        # Concurrently, so that SQLite writes the batches in one transaction.
        await asyncio.gather(
            *(self._open_batch(sessions[start : start + _OPEN_BATCH]) for start in range(0, len(sessions), _OPEN_BATCH))
        )

    async def _open_batch(self, sessions: Sequence[Session]) -> None:
        places = [_owner_and_realm(session) for session in sessions]
        # Sorted, so that two processes lock the same owners in the same order.
        owners = [
            Step("lock_epoch", {"owner": owner, "fresh": _new_epoch()})
            for owner in sorted({owner for owner, _ in places})
        ]
        realms = [
            Step("draw_epoch", {"owner": realm, "fresh": _new_epoch(), **NO_SESSION_POLICY._asdict()})
            for realm in sorted({realm for _, realm in places})
        ]
        openings = [
            Step("open_session", {**_row(session), **UNKNOWN_ORIGIN._asdict(), "owner": owner, "realm": realm})
            for session, (owner, realm) in zip(sessions, places, strict=True)
        ]
        results = await self._db.write(*owners, *realms, *openings)
        for session, rows in zip(sessions, results[-len(openings) :], strict=True):
            if not rows:
                await self.open(session, cap=None)

    async def claim(self, session: Session, tenant_id: str) -> Session | None:
        """See `SessionStore.claim`."""
        realm = _users_realm(tenant_id)
        await self._db.write(
            Step("draw_epoch", {"owner": realm, "fresh": _new_epoch(), **NO_SESSION_POLICY._asdict()}),
            Step("adopt_session", {"id": session.id, "tenant_id": tenant_id, "realm": realm}),
        )
        rows = await self._db.look_up("find_sessions", (session.id,))
        return next((found for row in rows if (found := Session._make(row)).tenant_id == tenant_id), None)

    async def find(self, ref: SessionRef) -> Session | None:
        """See `SessionStore.find`."""
        rows = await self._db.look_up("find_sessions", (ref.session_id,))
        return Session._make(rows[0]) if rows else None

    async def find_pair(self, tenant: SessionRef, user: SessionRef) -> tuple[Session | None, Session | None]:
        """See `SessionStore.find_pair`."""
        tenant_session = user_session = None
        tenant_key, user_key = tenant.session_id, user.session_id
        for row in await self._db.look_up("find_sessions", (tenant_key, user_key)):
            if row[0] == tenant_key:
                tenant_session = _session(Session, row)
            if row[0] == user_key:
                user_session = _session(Session, row)
        return tenant_session, user_session

    async def find_many(self, refs: Sequence[SessionRef]) -> list[Session | None]:
        """See `SessionStore.find_many`."""
        rows = await self._db.look_up("find_sessions", [ref.session_id for ref in refs])
        sessions = {row[0]: Session._make(row) for row in rows}
        return [sessions.get(ref.session_id) for ref in refs]

    async def list_user(self, tenant_id: str, user_id: str, *, limit: int) -> list[SessionInfo]:
        """See `SessionStore.list_user`."""
        values = {"tenant_id": tenant_id, "owner": _users_owner(user_id), "limit": limit}
        rows = await self._db.scan("list_sessions", values)
        found = [SessionInfo(Session._make(row[:-2]), Origin._make(row[-2:])) for row in rows]
        return [device for device in found if device.session.tenant_id == tenant_id]

    async def rotate(self, session: Session, now: int) -> Session | None:
        """See `SessionStore.rotate`."""
        values = {"id": session.id, "generation": session.generation, "now": now}
        [rows] = await self._db.write(Step("rotate_session", values))
        return session._replace(generation=session.generation + 1, refreshed_at=now, seen_at=now) if rows else None

    async def touch(self, seen: Sequence[tuple[Session, int]], *, now: int) -> None:
        """See `SessionStore.touch`."""
        # Sorted, so that two processes lock the same sessions in the same order.
        places, latest = sorted((session.id, at) for session, at in seen), now + MAX_CLOCK_SKEW
        steps = [Step("touch_session", {"id": key, "seen": at, "latest": latest}) for key, at in places]
        for start in range(0, len(steps), _TOUCH_BATCH):
            await self._db.write(*steps[start : start + _TOUCH_BATCH])

    async def revoke(self, session: Session, *, events: Events = ()) -> bool:
        """See `SessionStore.revoke`."""
        rows, *_ = await self._db.write(Step("close_session", {"id": session.id}, vital=True), *audit_steps(events))
        return bool(rows)

    async def revoke_user(
        self,
        tenant_id: str,  # noqa: ARG002 - part of the port
        user_id: str,
        *,
        keep: Session | None = None,
        events: Events = (),
    ) -> None:
        """See `SessionStore.revoke_user`."""
        await self._revoke(_users_owner(user_id), keep, events)

    async def revoke_tenant(self, tenant_id: str, *, keep: Session | None = None, events: Events = ()) -> None:
        """See `SessionStore.revoke_tenant`."""
        await self._revoke(_tenants_owner(tenant_id), keep, events)

    async def revoke_users_of(self, tenant_id: str, *, events: Events = ()) -> None:
        """See `SessionStore.revoke_users_of`."""
        # The row stays, since it has the tenant's policy.
        values = {"owner": _users_realm(tenant_id), "fresh": _new_epoch()}
        await self._db.write(Step("renew_epoch", values), *audit_steps(events))

    async def revoke_keys(self, tenant_id: str, *, events: Events = ()) -> None:
        """See `SessionStore.revoke_keys`."""
        await self._revoke(_keys_owner(tenant_id), None, events)

    async def _revoke(self, owner: str, keep: Session | None, events: Events) -> None:
        await self._db.write(*_revocation_step(owner, keep), *audit_steps(events))

    async def erase_users(self, user_ids: Sequence[str]) -> None:
        """See `SessionStore.erase_users`."""
        # Sorted, so that two processes lock the same rows in the same order.
        owners = [{"owner": _users_owner(user_id)} for user_id in sorted(user_ids)]
        steps = [Step(statement, owner) for owner in owners for statement in ("end_owner", "forget_sessions")]
        for start in range(0, len(steps), 2 * _ERASE_BATCH):
            await self._db.write(*steps[start : start + 2 * _ERASE_BATCH])

    async def set_policy(self, tenant_id: str, policy: SessionPolicy) -> None:
        """See `SessionStore.set_policy`."""
        await self._db.write(policy_steps(tenant_id, policy))

    async def sweep(self, now: int, *, limit: int) -> int:
        """See `SessionStore.sweep`."""
        expired, ended = await self._db.write(
            Step("sweep_expired_sessions", {"now": now, "limit": limit}),
            Step("sweep_ended_sessions", {"limit": limit}),
        )
        if len(ended) < limit:
            await self._db.write(Step("forget_ended", {}))
        return len(expired) + len(ended)
