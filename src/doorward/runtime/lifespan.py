"""The life of a process: what is opened, what is done again and again, what is closed."""

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
    """Something to do again and again, with so many seconds in between."""

    seconds: float
    run: TaskFunction


@dataclass(frozen=True, slots=True)
class Lifespan:
    """How a process begins, what it does meanwhile, and how it ends. `state` is what connections are given (ASGI)."""

    on_start: TaskFunction
    tasks: Sequence[PeriodicTask]
    on_stop: TaskFunction
    state: Mapping[str, Any]

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[Mapping[str, Any]]:
        """Begin, and end when the server does (ASGI lifespan)."""
        await self.on_start()
        running = [asyncio.get_running_loop().create_task(_repeat(chore)) for chore in self.tasks]
        log.info("ready", extra={"pid": os.getpid()})
        try:
            yield self.state
        finally:
            for task in running:
                task.cancel()
            # What is under way ends before its stores are closed.
            await asyncio.gather(*running, return_exceptions=True)
            await self.on_stop()
            log.info("stopped", extra={"pid": os.getpid()})
            logs.flush()


async def _repeat(chore: PeriodicTask) -> None:
    while True:
        await asyncio.sleep(chore.seconds)
        await run_logged(chore.run)


async def run_logged(doing: TaskFunction) -> None:
    """Do something whose failure must not end anything else; it is in the log."""
    try:
        await doing()
    except Refusal as refusal:
        log.warning("a chore has to wait", extra={"reason": refusal.code})
    except Exception:
        log.exception("a chore failed")
