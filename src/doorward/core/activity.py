"""Seen now, written later, never resurrects."""

from doorward.core.model import Session
from doorward.core.ports import Accounts, Clock

_AT_MOST_EVERY = 60_000


class Activity:
    """Remembers when users were last seen and writes it down in batches, so that a question writes nothing.

    Whoever was not seen for a while is written at the next flush; whoever is seen all the time, once a minute.
    """

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        """Start with nobody seen."""
        self._accounts = accounts
        self._clock = clock
        self._new: dict[str, int] = {}
        self._later: dict[str, int] = {}
        self._written: dict[str, int] = {}
        self._tidied = clock()

    def saw(self, session: Session) -> None:
        """Remember that the session's user was active now."""
        user_id = session.user_id
        if user_id is not None:
            (self._later if user_id in self._written else self._new)[user_id] = self._clock()

    async def flush(self, *, everything: bool = False) -> None:
        """Write down who was seen and is due; on `StoreUnavailable` it stays remembered for the next time."""
        now = self._clock()
        if everything or now - self._tidied >= _AT_MOST_EVERY // 2:
            self._tidy(now, everything=everything)
        seen, self._new = self._new, {}
        if not seen:
            return
        # Counted as written before they are, so that who is seen meanwhile has to wait for the next minute too.
        self._written.update(dict.fromkeys(seen, now))
        try:
            await self._accounts.touch_users(seen)
        except BaseException:
            for user_id, at in seen.items():
                self._written.pop(user_id, None)
                self._new[user_id] = max(at, self._later.pop(user_id, 0), self._new.get(user_id, 0))
            raise

    def _tidy(self, now: int, *, everything: bool) -> None:
        self._tidied = now
        due = [user_id for user_id, at in self._written.items() if everything or now - at >= _AT_MOST_EVERY]
        for user_id in due:
            del self._written[user_id]
            seen = self._later.pop(user_id, None)
            if seen is not None:
                self._new[user_id] = seen
