"""Sessions."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from doorward.core.model import Origin, Session, SessionInfo, SessionKind
from doorward.core.ports.audit import Events


class SessionRef(NamedTuple):
    """What a credential says of its session before anything is believed: the session's id and its owner's.

    The owner is only where a store may look first. A session found is the one of this id, whoever owns it, or none.
    """

    session_id: str
    owner_id: str
    kind: SessionKind


class SessionPolicy(NamedTuple):
    """What a tenant demands of its users' sessions, in milliseconds; None: nothing.

    `version` is the tenant's own since it chose this, so that a store can tell a newer policy from an older one; 0 is
    unknown.
    """

    idle: int | None = None
    lifetime: int | None = None
    version: int = 0


class RevocationScope(NamedTuple):
    """Which sessions end: a user's, or, without one, the tenant's own; with `everything` its keys' and users' as well.

    `keep`, if it is one of them and live, goes on.
    """

    tenant_id: str
    user_id: str | None = None
    keep: Session | None = None
    include_users_and_keys: bool = False


NO_SESSION_POLICY = SessionPolicy()
UNKNOWN_ORIGIN = Origin()


class SessionStore(Protocol):
    """Sessions; the truth of revocation. What `open` returned is found; what was ended is never found again.

    Ending every session of an owner costs the same however many there are. `events` are kept before a change is
    acknowledged, in the same transaction where sessions and events lie in one database.
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
        """Keep a session. Of its owner's sessions at most `cap` stay, the oldest go, whatever runs in parallel.

        One that is dated more than `AHEAD` later than this one is of before the clock was set back, and goes first.
        A session that ended together with its tenant's others is evicted before any live one.

        `policy` is the tenant's, for a store that knows none yet; where it does know one, its own stays unless that
        is of an older version.
        """
        ...

    async def open_many(self, sessions: Sequence[Session]) -> None:
        """Keep sessions, each as `open` does without a cap, in few trips; on a fault any part of them may be kept."""
        ...

    async def claim(self, session: Session, tenant_id: str) -> Session | None:
        """Give a session of a user that is of no tenant yet to a tenant, whose policy counts for it from now on.

        Returns the session as it is kept now, if it is this tenant's; None where it is another's, or has ended.
        """
        ...

    async def find(self, ref: SessionRef) -> Session | None:
        """Return a session if it was opened and not ended. Expiry is the caller's to judge (`Session.is_over`)."""
        ...

    async def find_pair(self, tenant: SessionRef, user: SessionRef) -> tuple[Session | None, Session | None]:
        """Return a tenant's session or key and the session of one of its users, in one trip to the store."""
        ...

    async def find_many(self, refs: Sequence[SessionRef]) -> list[Session | None]:
        """Return each of these sessions, in one trip to the store."""
        ...

    async def list_user(self, tenant_id: str, user_id: str, *, limit: int) -> list[SessionInfo]:
        """Return up to `limit` of a user's sessions that were not ended, newest first."""
        ...

    async def rotate(self, session: Session, now: int) -> Session | None:
        """Count the session's generation up by one, at `now`; None where it is not that of `session` any more."""
        ...

    async def touch(self, seen: Sequence[tuple[Session, int]], *, now: int) -> None:
        """Move `seen_at` of these sessions forward; back only where it lies further ahead of `now` than `AHEAD`.

        What was ended stays ended.
        """
        ...

    async def revoke(self, session: Session, *, events: Events = ()) -> bool:
        """End one session; False where it had ended already. Of two callers at once, one gets True."""
        ...

    async def revoke_user(
        self, tenant_id: str, user_id: str, *, keep: Session | None = None, events: Events = ()
    ) -> None:
        """End every session of a user; `keep`, if it is one of them and live, goes on."""
        ...

    async def revoke_tenant(self, tenant_id: str, *, keep: Session | None = None, events: Events = ()) -> None:
        """End every session of the tenant itself, not those of its users, nor its API keys; `keep` as above."""
        ...

    async def revoke_users_of(self, tenant_id: str, *, events: Events = ()) -> None:
        """End every session of every user of the tenant."""
        ...

    async def revoke_keys(self, tenant_id: str, *, events: Events = ()) -> None:
        """End every session of the tenant's API keys."""
        ...

    async def erase_users(self, user_ids: Sequence[str]) -> None:
        """Remove all that is kept of the sessions of these users, who are gone and whose sessions have ended."""
        ...

    async def set_policy(self, tenant_id: str, policy: SessionPolicy) -> None:
        """Let a tenant's policy count from now on, for the sessions its users have and for new ones.

        In a store that is not the tenants' own, a policy of a newer version that counts already stays.
        """
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` sessions that have expired or were ended; return how many were removed.

        A store that removes some of them by itself has that much less to do here.
        """
        ...
