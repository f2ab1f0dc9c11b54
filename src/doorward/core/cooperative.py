"""Iteration in small steps that lets other tasks of the event loop run in between."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def iterate_cooperatively(items: Iterable[Item], at_once: int = 50) -> AsyncIterator[Item]:
    """Yield the items; after every `at_once` of them other tasks may run."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % at_once == 0:
            await asyncio.sleep(0)
