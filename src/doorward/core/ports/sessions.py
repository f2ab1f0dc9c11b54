"""Store of sessions.

Each owner has an epoch, a random number. A session counts only while its owner's epoch is the one it was opened in, so
replacing the epoch revokes all sessions of the owner.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from doorward.core.model import Origin, Session, SessionInfo, SessionKind
from doorward.core.ports.audit import Events


class SessionRef(NamedTuple):
    """The session that a credential claims, before it is verified: the ids of session and owner.

    A store looks under the owner first. A session that is found has this id, but may have another owner.
    """

    session_id: str
    owner_id: str
    kind: SessionKind


class SessionPolicy(NamedTuple):
    """A tenant's policy for its users' sessions, in milliseconds; None for no limit.

    `version` is the version of the tenant when it chose the policy, so that a store can compare the age of
    policies; 0 is unknown.
    """

    idle: int | None = None
    lifetime: int | None = None
    version: int = 0


class RevocationScope(NamedTuple):
    """Sessions to revoke: a user's, or, without a user, the tenant's own.

    With `include_users_and_keys`, those of its users and API keys too. `keep`, if it is one of them and live, stays
    valid.
    """

    tenant_id: str
    user_id: str | None = None
    keep: Session | None = None
    include_users_and_keys: bool = False


NO_SESSION_POLICY = SessionPolicy()
UNKNOWN_ORIGIN = Origin()


class SessionStore(Protocol):
    """Sessions: the source of truth for revocation.

    `open` makes a session findable, a revoked one is never found again.

    Revoking every session of an owner costs the same however many there are. `events` are stored before a change is
    acknowledged, in the same transaction where sessions and events are in one database.
    """

    async def open(
        self,
        session: Session,
        *,
        cap: int | None,
        policy: SessionPolicy = NO_SESSION_POLICY,
        origin: Origin = UNKNOWN_ORIGIN,
        events: Events = (),
    ) -> None:
        """Store a session. At most `cap` sessions of its owner stay, the oldest are evicted, also under concurrency.

        A session dated more than `MAX_CLOCK_SKEW` later than this one is from before the clock was set back, and is
        evicted first. A session that was revoked together with others of its tenant is evicted before any live one.

        `policy` is the tenant's, for a store that has none yet; a store that has one replaces it only where that is of
        an older version.
        """
        ...

    async def open_many(self, sessions: Sequence[Session]) -> None:
        """Store sessions in few trips, each as `open` does without a cap.

        After an error, any part of them may be stored.
        """
        ...

    async def claim(self, session: Session, tenant_id: str) -> Session | None:
        """Assign an imported session of a user without a tenant to a tenant, whose policy applies to it from now on.

        Returns the session as stored if it belongs to this tenant; None where it belongs to another, or was revoked.
        """
        ...

    async def find(self, ref: SessionRef) -> Session | None:
        """Return a session that was opened and not revoked. The caller checks its expiry (`Session.is_expired`)."""
        ...

    async def find_pair(self, tenant: SessionRef, user: SessionRef) -> tuple[Session | None, Session | None]:
        """Return a tenant's session or API key and the session of one of its users, in one trip to the store."""
        ...

    async def find_many(self, refs: Sequence[SessionRef]) -> list[Session | None]:
        """Return each of these sessions, in one trip to the store."""
        ...

    async def list_user(self, tenant_id: str, user_id: str, *, limit: int) -> list[SessionInfo]:
        """Return up to `limit` of a user's sessions that were not revoked, newest first."""
        ...

    async def rotate(self, session: Session, now: int) -> Session | None:
        """Increment the session's generation, at `now`.

        Returns None where the stored generation differs from that of `session`.
        """
        ...

    async def touch(self, seen: Sequence[tuple[Session, int]], *, now: int) -> None:
        """Move `seen_at` of these sessions forward; back only where it is more than `MAX_CLOCK_SKEW` ahead of `now`.

        Revoked sessions stay revoked.
        """
        ...

    async def revoke(self, session: Session, *, events: Events = ()) -> bool:
        """Revoke one session; return False where it was revoked already. Of two concurrent callers, one gets True."""
        ...

    async def revoke_user(
        self, tenant_id: str, user_id: str, *, keep: Session | None = None, events: Events = ()
    ) -> None:
        """Revoke every session of a user; `keep`, if it is one of them and live, stays valid."""
        ...

    async def revoke_tenant(self, tenant_id: str, *, keep: Session | None = None, events: Events = ()) -> None:
        """Revoke every session of the tenant itself, not of its users or API keys; `keep` as above."""
        ...

    async def revoke_users_of(self, tenant_id: str, *, events: Events = ()) -> None:
        """Revoke every session of every user of the tenant."""
        ...

    async def revoke_keys(self, tenant_id: str, *, events: Events = ()) -> None:
        """Revoke every session of the tenant's API keys."""
        ...

    async def erase_users(self, user_ids: Sequence[str]) -> None:
        """Remove all data of the sessions of these users, who were deleted and whose sessions were revoked."""
        ...

    async def set_policy(self, tenant_id: str, policy: SessionPolicy) -> None:
        """Apply a tenant's policy from now on, to its users' sessions and to new ones.

        In a store that is separate from that of the tenants, a policy of a newer version stays.
        """
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` sessions that have expired or were revoked; return the number.

        A store that removes some of them by itself has less to do here.
        """
        ...
