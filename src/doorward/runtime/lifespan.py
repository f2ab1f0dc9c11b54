"""The lifespan of a process: start, periodic tasks, stop."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from doorward.core.errors import Refusal
from doorward.observability import logging as logs

log = logging.getLogger(__name__)

TaskFunction = Callable[[], Awaitable[None]]


class PeriodicTask(NamedTuple):
    """A function that is called repeatedly, `seconds` apart. `name` identifies it in the log."""

    name: str
    seconds: float
    run: TaskFunction


@dataclass(frozen=True, slots=True)
class Lifespan:
    """Start, periodic tasks and stop of a process. `state` is passed to connections (ASGI)."""

    on_start: TaskFunction
    tasks: Sequence[PeriodicTask]
    on_stop: TaskFunction
    state: Mapping[str, Any]

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[Mapping[str, Any]]:
        """Start, and stop when the server does (ASGI lifespan)."""
        await self.on_start()
        running = [asyncio.get_running_loop().create_task(_repeat(task)) for task in self.tasks]
        log.info("ready", extra={"pid": os.getpid()})
        try:
            yield self.state
        finally:
            for task in running:
                task.cancel()
            # Running tasks end before their stores are closed.
            await asyncio.gather(*running, return_exceptions=True)
            await self.on_stop()
            log.info("stopped", extra={"pid": os.getpid()})
            logs.flush()


async def _repeat(task: PeriodicTask) -> None:
    while True:
        await asyncio.sleep(task.seconds)
        await run_logged(task.run, task=task.name)


async def run_logged(function: TaskFunction, *, task: str) -> None:
    """Call a function and log its failure instead of raising it. `task` identifies it in the log."""
    try:
        await function()
    except Refusal as refusal:
        log.warning("periodic task postponed", extra={"task": task, "reason": refusal.code})
    except Exception:
        log.exception("periodic task failed", extra={"task": task})
