"""The life of a process: what is opened, what is done again and again, what is closed."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from doorward import logs
from doorward.core.errors import Refusal

log = logging.getLogger(__name__)

Doing = Callable[[], Awaitable[None]]


class Chore(NamedTuple):
    """Something to do again and again, with so many seconds in between."""

    seconds: float
    do: Doing


@dataclass(frozen=True, slots=True)
class Life:
    """How a process begins, what it does meanwhile, and how it ends. `state` is what connections are given (ASGI)."""

    begin: Doing
    chores: Sequence[Chore]
    end: Doing
    state: Mapping[str, Any]

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[Mapping[str, Any]]:
        """Begin, and end when the server does (ASGI lifespan)."""
        await self.begin()
        running = [asyncio.get_running_loop().create_task(_repeat(chore)) for chore in self.chores]
        log.info("ready", extra={"pid": os.getpid()})
        try:
            yield self.state
        finally:
            for task in running:
                task.cancel()
            # What is under way ends before its stores are closed.
            await asyncio.gather(*running, return_exceptions=True)
            await self.end()
            log.info("stopped", extra={"pid": os.getpid()})
            logs.write_what_waits()


async def _repeat(chore: Chore) -> None:
    while True:
        await asyncio.sleep(chore.seconds)
        await attempt(chore.do)


async def attempt(doing: Doing) -> None:
    """Do something whose failure must not end anything else; it is in the log."""
    try:
        await doing()
    except Refusal as refusal:
        log.warning("a chore has to wait", extra={"reason": refusal.code})
    except Exception:
        log.exception("a chore failed")
