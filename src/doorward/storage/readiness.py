"""Readiness checks of stores, shared by concurrent callers."""

import asyncio
from collections.abc import Awaitable, Callable

Check = Callable[[], Awaitable[object]]

_SECONDS = 1.0


class SharedCheck:
    """Check that runs at most once a second. Callers in between get the same result, or wait for it."""

    def __init__(self, check: Check) -> None:
        """Wrap `check`."""
        self._check = check
        self._task: asyncio.Task[object] | None = None
        self._valid_until = 0.0

    async def __call__(self) -> None:
        """Return if the check passes; raise its exception if not."""
        loop = asyncio.get_running_loop()
        if self._task is None or (self._task.done() and loop.time() >= self._valid_until):
            self._valid_until = loop.time() + _SECONDS
            self._task = loop.create_task(self._run())
            # Retrieves the exception, in case every caller is gone by then.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        # A cancelled caller does not cancel the check of the others.
        await asyncio.shield(self._task)

    async def _run(self) -> object:
        return await self._check()
