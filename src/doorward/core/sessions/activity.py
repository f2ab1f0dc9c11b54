"""Last activity of sessions: recorded in memory, written in batches, without restoring revoked sessions."""

import asyncio

from doorward.core.model import MAX_CLOCK_SKEW, Session, SessionKind
from doorward.core.ports import AccountStore, ApiKeyStore, Clock, SessionStore

_MIN_INTERVAL = 60_000
_MAX_REMEMBERED = 10_000


class ActivityRecorder:
    """Records when sessions were last used and writes it in batches, so that a verification writes nothing.

    A session is written at most once a minute, whichever worker sees it, because the session contains when it was last
    written; one with an idle timeout, four times within that. A use in between is written when it is due, unless too
    many are in memory: then `seen_at` is at worst a minute old. The use of a session whose idle time is half over is
    urgent, because another worker might reject the next one.
    """

    def __init__(self, accounts: AccountStore, sessions: SessionStore, keys: ApiKeyStore, clock: Clock) -> None:
        """Start without any recorded use."""
        self._accounts = accounts
        self._sessions = sessions
        self._keys = keys
        self._clock = clock
        self._due: dict[str, tuple[Session, int]] = {}
        self._later: dict[str, tuple[Session, int]] = {}
        self._writing: dict[str, tuple[Session, int]] = {}
        self._flushing = asyncio.Lock()
        self._urgent = asyncio.Event()

    def record(self, session: Session) -> None:
        """Record a use of the session now."""
        now = self._clock()
        if session.id in self._writing:
            # The store has this only once it is written.
            session = session._replace(seen_at=self._writing[session.id][1])
        if _is_due(session, now):
            self._due[session.id] = (session, now)
            if session.idle is not None and now - session.seen_at >= session.idle // 2:
                self._urgent.set()
        elif len(self._later) < _MAX_REMEMBERED:
            self._later[session.id] = (session, now)

    def last_seen(self, session_id: str) -> int:
        """Return the last use of the session that the store may not have yet; 0 for none."""
        uses = (recorded.get(session_id) for recorded in (self._due, self._later, self._writing))
        return max((at for _, at in filter(None, uses)), default=0)

    async def flush_urgent(self) -> None:
        """Wait for an urgent use, and write the uses that are due."""
        await self._urgent.wait()
        await self.flush()

    async def flush(self, *, everything: bool = False) -> None:
        """Write the uses that are due; after `StoreUnavailable` they stay in memory for the next time."""
        async with self._flushing:
            self._urgent.clear()
            await self._flush(everything=everything)

    async def _flush(self, *, everything: bool) -> None:
        now = self._clock()
        for session_id, (session, at) in list(self._later.items()):
            if everything or session_id in self._due or _is_due(session, now):
                del self._later[session_id]
                self._put(session, at)
        seen, self._due = self._due, {}
        if not seen:
            return
        self._writing = seen
        try:
            await self._write(list(seen.values()), now)
        except BaseException:
            for session, at in seen.values():
                self._put(session, at)
            raise
        finally:
            self._writing = {}

    def _put(self, session: Session, at: int) -> None:
        _, known = self._due.get(session.id, (session, 0))
        self._due[session.id] = (session, max(at, known))

    async def _write(self, seen: list[tuple[Session, int]], now: int) -> None:
        users: dict[str, int] = {}
        keys: dict[str, int] = {}
        for session, at in seen:
            if session.user_id is not None:
                users[session.user_id] = max(at, users.get(session.user_id, 0))
            elif session.kind == SessionKind.KEY:
                keys[session.id] = at
        if users:
            await self._accounts.touch_users(users, now=now)
        if keys:
            await self._keys.touch(keys, now=now)
        # Last: a session with a recent `seen_at` is not written again for a while.
        await self._sessions.touch(seen, now=now)


def _is_due(session: Session, now: int) -> bool:
    if session.seen_at > now + MAX_CLOCK_SKEW:
        # Last used before the clock was set back: until this is written, the session is never idle.
        return True
    return now - session.seen_at >= (_MIN_INTERVAL if session.idle is None else min(_MIN_INTERVAL, session.idle // 4))
