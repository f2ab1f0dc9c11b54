"""Waits for hashing slots are bounded, whatever the estimates, and no slot is lost."""

import asyncio

import pytest

from doorward.core.errors import Overloaded
from doorward.core.fair_queue import FairSemaphore


async def sit(slots: FairSemaphore, group: str, until: asyncio.Event) -> None:
    async with slots.acquire(group, 0.001):
        await until.wait()


async def test_OV1_who_has_waited_too_long_is_refused_although_the_estimate_let_it_in() -> None:
    slots = FairSemaphore(1, max_wait=0.05)
    slow = asyncio.Event()
    first = asyncio.create_task(sit(slots, "a", slow))
    await asyncio.sleep(0)
    late = [asyncio.create_task(sit(slots, group, slow)) for group in "aabb"]
    for waiting in late:
        with pytest.raises(Overloaded) as refusal:
            await asyncio.wait_for(waiting, 5)
        assert refusal.value.retry_after == 1
    assert slots.waiting == 0
    slow.set()
    await first
    await asyncio.wait_for(sit(slots, "c", slow), 5)


@pytest.mark.parametrize("served_first", [False, True], ids=["while waiting", "in the moment it is served"])
async def test_OV1_who_goes_away_takes_no_slot_along(*, served_first: bool) -> None:
    slots = FairSemaphore(1, max_wait=5)
    first_over, never = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(sit(slots, "a", first_over))
    await asyncio.sleep(0)
    leaver = asyncio.create_task(sit(slots, "a", never))
    await asyncio.sleep(0)
    if served_first:
        first_over.set()
        await first
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert slots.waiting == 0
    first_over.set()
    await first
    await asyncio.wait_for(sit(slots, "b", first_over), 5)
