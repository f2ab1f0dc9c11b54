"""Checks of stores that many callers share."""

import asyncio
from collections.abc import Awaitable, Callable

Check = Callable[[], Awaitable[object]]

_SECONDS = 1.0


class SharedCheck:
    """A check that runs at most once a second. Callers in between share its result, or wait for it together."""

    def __init__(self, check: Check) -> None:
        """Run `check` when it is called for."""
        self._check = check
        self._made: asyncio.Task[object] | None = None
        self._holds_until = 0.0

    async def __call__(self) -> None:
        """Return if the check passes; raise what it raises."""
        loop = asyncio.get_running_loop()
        if self._made is None or (self._made.done() and loop.time() >= self._holds_until):
            self._holds_until = loop.time() + _SECONDS
            self._made = loop.create_task(self._run())
            # Reads the exception, in case every caller has given up by then.
            self._made.add_done_callback(lambda made: made.cancelled() or made.exception())
        # A caller that gives up does not cancel the check of the others.
        await asyncio.shield(self._made)

    async def _run(self) -> object:
        return await self._check()
