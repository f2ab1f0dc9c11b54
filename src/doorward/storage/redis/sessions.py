"""`SessionStore` on Redis: a session is valid while its key exists and has the current epochs.

Every revocation is stored in the `RevocationStore` before it is done, so that it can be replayed to a server that lost
it.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from doorward.core.model import MAX_CLOCK_SKEW, OWNERS, Origin, Session, SessionInfo, SessionKind
from doorward.core.ports import (
    NO_SESSION_POLICY,
    UNKNOWN_ORIGIN,
    ApiKeyStore,
    AuditStore,
    Clock,
    Events,
    Revocation,
    RevocationStore,
    SessionPolicy,
    SessionRef,
)
from doorward.storage.redis.client import Redis
from doorward.storage.redis.records import (
    Epoch,
    KeyNames,
    StoredSession,
    encode_policy,
    format_time,
    keys_of,
    names_of,
    new_epoch,
    pack,
    policy_version_of,
    realm_of,
)
from doorward.storage.redis.revoker import SessionRevoker
from doorward.storage.redis.scripts import Command, load_scripts

_SCRIPTS = load_scripts("sessions.lua")
_SLACK = 60_000
_POLICY_TTL = 86_400_000
_BATCH = 500
_OPEN_BATCH = 50
_NO_END = 1 << 50
_NO_REALM = b"-"


class DurableStores(NamedTuple):
    """Stores in the database that Redis sessions need: revocations, API keys (to restore their sessions), audit log."""

    revocations: RevocationStore
    keys: ApiKeyStore
    audit: AuditStore
    clock: Clock


class RedisSessionStore:
    """`SessionStore` on Redis."""

    def __init__(self, redis: Redis, durable: DurableStores) -> None:
        """Store sessions in `redis`; `durable` has what must not be lost."""
        self._redis = redis
        self._revocations = durable.revocations
        self._keys = durable.keys
        self._audit = durable.audit
        self._clock = durable.clock
        self._revoker = SessionRevoker(redis, durable.revocations, durable.clock)

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
        until = format_time(session.expires_at)
        ttl = "" if session.expires_at is None else max(0, session.expires_at - session.created_at) + _SLACK
        realm = b""
        if _is_user_session(session):
            draw = _SCRIPTS["draw_realm"].on(
                _realm_keys(session.tenant_id, policy),
                *(new_epoch(self._clock()), until, ttl, encode_policy(policy), policy.version, _POLICY_TTL),
            )
            [value] = await self._redis.run(draw)
            realm = Epoch.read(value).name
        names = names_of(session)
        head, rest = pack(session, origin)
        key = names.session(session.id)
        # Sessions of users are indexed to be listed and counted; others only if Redis does not expire them.
        indexed = session.created_at if _is_user_session(session) or session.expires_at is None else ""
        latest = f"({session.created_at + MAX_CLOCK_SKEW}"
        arguments = (realm, rest, session.id, indexed, "" if cap is None else cap, names.sessions, latest)
        step = _SCRIPTS["open"].on(
            [names.epoch, key, names.index_key], new_epoch(self._clock()), until, ttl, head, *arguments
        )
        [evicted] = await self._redis.run(step)
        for victim in [StoredSession.read(value).session for value in evicted]:
            await self._revocations.record(_revocation_of(victim))
        await self._record(events)

    async def open_many(self, sessions: Sequence[Session]) -> None:
        """See `SessionStore.open_many`."""
        for start in range(0, len(sessions), _OPEN_BATCH):
            await asyncio.gather(*(self.open(session, cap=None) for session in sessions[start : start + _OPEN_BATCH]))

    async def claim(self, session: Session, tenant_id: str) -> Session | None:
        """See `SessionStore.claim`."""
        found = await self.find(_user_session_ref(session))
        if found is not None and not found.tenant_id:
            # Of two concurrent tenants, the first to set the mark wins; it has the slot of the session.
            names = names_of(session)
            mark = names.epoch + b":adopted:" + session.id.encode()
            until = max(1, (session.expires_at or _NO_END) - self._clock()) + _SLACK
            await self._redis.run(Command(mark, ("SET", mark, tenant_id, "NX", "PX", until)))
            [winner] = await self._redis.get([mark])
            if winner == tenant_id.encode():
                await self.open(session._replace(tenant_id=tenant_id), cap=None)
            found = await self.find(_user_session_ref(session))
        return found if found is not None and found.tenant_id == tenant_id else None

    async def find(self, ref: SessionRef) -> Session | None:
        """See `SessionStore.find`."""
        [session] = await self._find([ref])
        return session

    async def find_pair(self, tenant: SessionRef, user: SessionRef) -> tuple[Session | None, Session | None]:
        """See `SessionStore.find_pair`."""
        names = KeyNames.for_ref(tenant)
        realm = names.users
        keys = (names.session(tenant.session_id), names.epoch, *keys_of(user), realm)
        own, epoch, users, users_epoch, demanded = await self._redis.get(keys)
        if own is not None and users is not None:
            theirs, subject = StoredSession.read(own), StoredSession.read(users)
            caller = theirs.if_current(epoch, None) if theirs.matches(tenant) else None
            if caller is not None and subject.realm == realm:
                return caller, subject.if_current(users_epoch, demanded) if subject.matches(user) else None
        tenant_session, user_session = await self._find([tenant, user])
        return tenant_session, user_session

    async def find_many(self, refs: Sequence[SessionRef]) -> list[Session | None]:
        """See `SessionStore.find_many`."""
        return await self._find(refs)

    async def _find(self, refs: Sequence[SessionRef]) -> list[Session | None]:
        keys: list[bytes] = []
        for ref in refs:
            keys += keys_of(ref)
        values = await self._redis.get(keys)
        stored = [StoredSession.read(value) if value is not None else None for value in values[::2]]
        realm_keys = list({record.realm for record in stored if record and record.realm})
        realms = dict(zip(realm_keys, await self._redis.get(realm_keys), strict=True))
        sessions: list[Session | None] = []
        for ref, record, epoch in zip(refs, stored, values[1::2], strict=True):
            session = record.if_current(epoch, realms.get(record.realm)) if record and record.matches(ref) else None
            if session is None and ref.kind == SessionKind.KEY:
                session = await self._restore(ref)
            sessions.append(session)
        return sessions

    async def _restore(self, ref: SessionRef) -> Session | None:
        """Open the session of an API key again if Redis has lost it and the key was not deleted."""
        key = await self._keys.find(ref.owner_id, ref.session_id)
        if key is None:
            return None
        session = key.session
        await self.open(session, cap=None)
        # A process that deletes a key revokes its session afterwards. So one of the two sees the other.
        if await self._keys.find(key.tenant_id, key.id) is None:
            await self.revoke(session)
            return None
        return session

    async def list_user(self, tenant_id: str, user_id: str, *, limit: int) -> list[SessionInfo]:
        """See `SessionStore.list_user`."""
        names, realm = KeyNames.of(SessionKind.USER, user_id), realm_of(tenant_id)
        found: list[SessionInfo] = []
        start = 0
        while len(found) < limit:
            page = Command(names.index_key, ("ZREVRANGE", names.index_key, start, start + _BATCH - 1))
            [ids] = await self._redis.run(page)
            epoch, demanded, *values = await self._redis.get([names.epoch, realm, *(names.sessions + i for i in ids)])
            for stored in [StoredSession.read(value) for value in values if value is not None]:
                session = stored.if_current(epoch, demanded)
                if session is not None and session.tenant_id == tenant_id:
                    found.append(stored.info(session))
            if len(ids) < _BATCH:
                break
            start += _BATCH
        return found[:limit]

    async def rotate(self, session: Session, now: int) -> Session | None:
        """See `SessionStore.rotate`."""
        names, after = names_of(session), session.generation + 1
        keys = [names.session(session.id), names.epoch]
        realm = await self._realm(session)
        step = _SCRIPTS["rotate"].on(keys, realm, f"{session.generation:010}", f"{after:010}", format_time(now))
        [rotated] = await self._redis.run(step, revoking=True)
        return session._replace(generation=after, refreshed_at=now, seen_at=now) if rotated else None

    async def touch(self, seen: Sequence[tuple[Session, int]], *, now: int) -> None:
        """See `SessionStore.touch`."""
        latest = format_time(now + MAX_CLOCK_SKEW)
        steps = [_SCRIPTS["touch"].on([names_of(s).session(s.id)], format_time(at), latest) for s, at in seen]
        for start in range(0, len(steps), _BATCH):
            await self._redis.run(*steps[start : start + _BATCH])

    async def revoke(self, session: Session, *, events: Events = ()) -> bool:
        """See `SessionStore.revoke`."""
        names = names_of(session)
        await self._revocations.record(_revocation_of(session))
        keys = [names.session(session.id), names.epoch, names.index_key]
        step = _SCRIPTS["close"].on(keys, await self._realm(session), session.id)
        [closed] = await self._redis.run(step, revoking=True)
        if closed:
            await self._record(events)
        return bool(closed)

    async def revoke_user(
        self,
        tenant_id: str,  # noqa: ARG002 - keys of sessions have the user's id
        user_id: str,
        *,
        keep: Session | None = None,
        events: Events = (),
    ) -> None:
        """See `SessionStore.revoke_user`."""
        await self._revoker.revoke(KeyNames.of(SessionKind.USER, user_id), keep)
        await self._record(events)

    async def revoke_tenant(self, tenant_id: str, *, keep: Session | None = None, events: Events = ()) -> None:
        """See `SessionStore.revoke_tenant`."""
        await self._revoker.revoke(KeyNames.of(SessionKind.TENANT, tenant_id), keep)
        await self._record(events)

    async def revoke_users_of(self, tenant_id: str, *, events: Events = ()) -> None:
        """See `SessionStore.revoke_users_of`."""
        await self._revoker.renew(realm_of(tenant_id))
        await self._record(events)

    async def revoke_keys(self, tenant_id: str, *, events: Events = ()) -> None:
        """See `SessionStore.revoke_keys`."""
        await self._revoker.revoke(KeyNames.of(SessionKind.KEY, tenant_id), None)
        await self._record(events)

    async def erase_users(self, user_ids: Sequence[str]) -> None:
        """See `SessionStore.erase_users`."""
        for start in range(0, len(user_ids), _BATCH):
            await self._revoker.erase(
                [KeyNames.of(SessionKind.USER, user_id) for user_id in user_ids[start : start + _BATCH]]
            )

    async def set_policy(self, tenant_id: str, policy: SessionPolicy) -> None:
        """See `SessionStore.set_policy`."""
        arguments = new_epoch(self._clock()), encode_policy(policy), policy.version, _POLICY_TTL
        await self._redis.run(_SCRIPTS["demand"].on(_realm_keys(tenant_id, policy), *arguments), revoking=True)

    async def sweep(self, now: int, *, limit: int) -> int:  # noqa: ARG002 - Redis expires sessions itself
        """See `SessionStore.sweep`."""
        return await self._revoker.sweep(limit)

    async def _realm(self, session: Session) -> bytes:
        """Return the current epoch of a session's realm; empty where the realm is the owner."""
        if not _is_user_session(session):
            return b""
        [value] = await self._redis.get([realm_of(session.tenant_id)])
        return Epoch.read(value).name if value is not None else _NO_REALM

    async def _record(self, events: Events) -> None:
        if events:
            await self._audit.record(*events)


def _is_user_session(session: Session) -> bool:
    return OWNERS[SessionKind(session.kind)] == SessionKind.USER


def _realm_keys(tenant_id: str, policy: SessionPolicy) -> list[bytes]:
    realm = realm_of(tenant_id)
    return [realm, policy_version_of(tenant_id)] if policy.version else [realm]


def _user_session_ref(session: Session) -> SessionRef:
    return SessionRef(session.id, session.user_id or "", SessionKind(session.kind))


def _revocation_of(session: Session) -> Revocation:
    return Revocation(names_of(session).session(session.id).decode(), session.id, session.expires_at)
