"""Eager execution of coroutines (`eager_task.run_eagerly`)."""

import asyncio
import contextlib
import gc
from typing import TypeVar

import pytest

from doorward.http.connection.eager_task import PendingResult, run_eagerly

Result = TypeVar("Result")


async def outcome(pending: PendingResult[Result] | None) -> Result:
    assert pending is not None
    there: asyncio.Future[PendingResult[Result]] = asyncio.get_running_loop().create_future()
    pending.add_done_callback(there.set_result)
    return (await there).result()


async def test_a_result_that_needs_no_waiting_is_there_at_once() -> None:
    async def answer() -> int:
        return 42

    assert run_eagerly(answer(), asyncio.get_running_loop()) == (42, None)


async def test_awaiting_what_is_ready_is_no_waiting() -> None:
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    ready.set_result(7)

    async def inner() -> int:
        return await ready

    async def answer() -> int:
        return await inner() + 1

    assert run_eagerly(answer(), asyncio.get_running_loop()) == (8, None)


async def test_what_goes_wrong_before_the_first_wait_is_raised_here_and_now() -> None:
    async def fail() -> int:
        raise LookupError("at once")

    with pytest.raises(LookupError, match="at once"):
        run_eagerly(fail(), asyncio.get_running_loop())


async def test_what_goes_wrong_after_the_first_wait_is_the_outcome_of_the_task() -> None:
    async def fail() -> int:
        await asyncio.sleep(0)
        raise LookupError("later")

    result, task = run_eagerly(fail(), asyncio.get_running_loop())
    assert result is None
    with pytest.raises(LookupError, match="later"):
        await outcome(task)


async def test_several_waits_of_different_kinds_go_on_in_order() -> None:
    loop = asyncio.get_running_loop()
    first: asyncio.Future[str] = loop.create_future()
    second: asyncio.Future[str] = loop.create_future()

    async def answer() -> list[str]:
        heard = [await first]
        await asyncio.sleep(0)
        heard.append(await second)
        await asyncio.sleep(0.001)
        heard += await asyncio.gather(asyncio.sleep(0, "third"), asyncio.sleep(0, "fourth"))
        return heard

    _, task = run_eagerly(answer(), loop)
    assert task is not None
    loop.call_soon(first.set_result, "first")
    await asyncio.sleep(0)
    second.set_result("second")
    assert await outcome(task) == ["first", "second", "third", "fourth"]


async def test_what_was_waited_for_may_be_ready_before_the_task_first_runs() -> None:
    loop = asyncio.get_running_loop()
    waited: asyncio.Future[str] = loop.create_future()

    async def answer() -> str:
        return await waited

    _, task = run_eagerly(answer(), loop)
    waited.set_result("in between")
    assert await outcome(task) == "in between"


async def test_an_exception_waited_for_arrives_where_it_is_awaited() -> None:
    loop = asyncio.get_running_loop()
    waited: asyncio.Future[str] = loop.create_future()

    async def answer() -> str:
        try:
            return await waited
        except LookupError:
            await asyncio.sleep(0)
            return "recovered"

    _, task = run_eagerly(answer(), loop)
    waited.set_exception(LookupError())
    assert await outcome(task) == "recovered"


@pytest.mark.parametrize("steps", [1, 2, 5])
async def test_cancelling_the_task_cancels_what_it_waits_for_and_lets_it_clean_up(steps: int) -> None:
    loop = asyncio.get_running_loop()
    waited: asyncio.Future[str] = loop.create_future()
    seen: list[str] = []

    async def answer() -> str:
        try:
            return await waited
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    _, task = run_eagerly(answer(), loop)
    assert task is not None
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outcome(task)
    assert seen == ["cancelled", "cleaned up"]
    assert waited.cancelled()


async def test_a_coroutine_cancelled_before_its_task_ever_ran_still_cleans_up() -> None:
    loop = asyncio.get_running_loop()
    seen: list[str] = []

    async def answer() -> None:
        try:
            await loop.create_future()
        finally:
            seen.append("cleaned up")

    _, task = run_eagerly(answer(), loop)
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outcome(task)
    assert task.cancelled()
    del task
    gc.collect()
    assert seen == ["cleaned up"]


async def test_a_cancellation_may_be_survived() -> None:
    loop = asyncio.get_running_loop()

    async def answer() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await loop.create_future()
        await asyncio.sleep(0)
        return "stubborn"

    _, task = run_eagerly(answer(), loop)
    assert task is not None
    await asyncio.sleep(0)
    task.cancel()
    assert await outcome(task) == "stubborn"


async def test_a_timeout_after_the_second_wait_works_as_in_any_task() -> None:
    waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def answer() -> str:
        await waited
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            return "in time"
        return "never"

    _, task = run_eagerly(answer(), asyncio.get_running_loop())
    waited.set_result(None)
    assert await outcome(task) == "in time"


async def test_two_that_wait_for_one_future_both_go_on() -> None:
    loop = asyncio.get_running_loop()
    shared: asyncio.Future[str] = loop.create_future()

    async def answer() -> str:
        return await shared

    async def other() -> str:
        return await shared

    _, one = run_eagerly(answer(), loop)
    _, another = run_eagerly(answer(), loop)
    task = loop.create_task(other())
    loop.call_soon(shared.set_result, "heard")
    assert [await outcome(one), await outcome(another), await task] == ["heard"] * 3


async def test_after_its_first_wait_a_cancellation_reaches_what_is_waited_for_then() -> None:
    loop = asyncio.get_running_loop()
    first: asyncio.Future[str] = loop.create_future()
    second: asyncio.Future[str] = loop.create_future()

    async def answer() -> str:
        return await first + await second

    _, pending = run_eagerly(answer(), loop)
    assert pending is not None
    first.set_result("first")
    loop.call_later(0.01, pending.cancel)
    with pytest.raises(asyncio.CancelledError):
        await outcome(pending)
    assert second.cancelled()
