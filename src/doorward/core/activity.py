"""Seen now, written later, never resurrects."""

from doorward.core.model import Session
from doorward.core.ports import Accounts, Clock


class Activity:
    """Remembers when users were last seen and writes it down in batches, so that a question writes nothing."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        """Start with nobody seen."""
        self._accounts = accounts
        self._clock = clock
        self._seen: dict[str, int] = {}

    def saw(self, session: Session) -> None:
        """Remember that the session's user was active now."""
        if session.user_id is not None:
            self._seen[session.user_id] = self._clock()

    async def flush(self) -> None:
        """Write down who was seen since the last time; on `StoreUnavailable` it stays remembered for the next."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            await self._accounts.touch_users(seen)
        except BaseException:
            self._seen = {**seen, **self._seen}
            raise
