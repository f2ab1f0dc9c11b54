"""Shared checks of stores."""

import asyncio

import pytest

from doorward.core.errors import StoreUnavailable
from doorward.storage.readiness import SharedCheck

pytestmark = pytest.mark.one_setup


class Store:
    """A store that counts its checks, and that may refuse them or keep them waiting."""

    def __init__(self) -> None:
        self.checks = 0
        self.is_full = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def check(self) -> None:
        self.checks += 1
        await self.answers.wait()
        if self.is_full:
            raise StoreUnavailable(retry_after=1)


async def test_F15_many_callers_share_one_check() -> None:
    store = Store()
    check = SharedCheck(store.check)
    await asyncio.gather(*(check() for _ in range(100)))
    await check()
    assert store.checks == 1


async def test_F15_each_caller_learns_that_a_store_refuses_writes() -> None:
    store = Store()
    store.is_full = True
    check = SharedCheck(store.check)
    results = await asyncio.gather(*(check() for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    assert store.checks == 1


async def test_F15_a_result_holds_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    check = SharedCheck(store.check)
    await check()
    store.is_full = True
    await check()
    loop = asyncio.get_running_loop()
    later = loop.time() + 1.1
    monkeypatch.setattr(loop, "time", lambda: later)
    with pytest.raises(StoreUnavailable):
        await check()
    assert store.checks == 2


async def test_F15_a_caller_that_gives_up_leaves_the_check_to_the_others() -> None:
    store = Store()
    store.answers.clear()
    check = SharedCheck(store.check)
    impatient, patient = asyncio.create_task(check()), asyncio.create_task(check())
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    store.answers.set()
    await patient
    assert store.checks == 1
