"""Batched look-ups: keys of one moment are one trip, and every caller gets its own results."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from doorward.core.errors import StoreUnavailable
from doorward.storage.batching import Coalescer


class Far:
    """A far store that answers each key with the key itself, when it is let."""

    def __init__(self) -> None:
        self.trips: list[list[str]] = []
        self.deadlines: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None

    async def ask(self, keys: Sequence[str], deadline: float) -> Mapping[str, str]:
        self.trips.append(list(keys))
        self.deadlines.append(deadline)
        await self.gate.wait()
        if self.fault:
            raise self.fault
        return {key: key for key in keys if not key.startswith("no")}


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_asked_in_one_turn_of_the_loop_is_one_trip() -> None:
    far = Far()
    gathered = Coalescer(far.ask, max_wait=1)
    questions = [["a"], ["b", "no"], ["a", "c"], []]
    answers = await asyncio.gather(*(gathered.get(keys) for keys in questions))
    assert answers == [["a"], ["b", None], ["a", "c"], []]
    assert far.trips == [["a", "b", "no", "c"]]
    assert await gathered.get(["a"]) == ["a"]
    assert far.trips[1:] == [["a"]]


async def test_what_is_asked_while_all_lanes_are_busy_waits_for_the_next_trip() -> None:
    far = Far()
    far.gate.clear()
    gathered = Coalescer(far.ask, max_wait=1, max_running=2)
    asked = []
    for key in "abcd":
        asked.append(asyncio.ensure_future(gathered.get([key])))
        await turns()
    assert far.trips == [["a"], ["b"]]
    far.gate.set()
    assert await asyncio.gather(*asked) == [["a"], ["b"], ["c"], ["d"]]
    assert far.trips == [["a"], ["b"], ["c", "d"]]


async def test_nobody_joins_a_trip_that_has_begun() -> None:
    far = Far()
    far.gate.clear()
    gathered = Coalescer(far.ask, max_wait=1)
    first = asyncio.ensure_future(gathered.get(["a"]))
    await turns()
    second = asyncio.ensure_future(gathered.get(["a"]))
    await turns()
    assert far.trips == [["a"], ["a"]]
    far.gate.set()
    assert await first == await second == ["a"]


async def test_a_trip_is_bounded_and_a_long_question_is_not_torn_apart() -> None:
    far = Far()
    gathered = Coalescer(far.ask, max_wait=1, max_keys=3)
    answers = await asyncio.gather(*(gathered.get([f"{n}", f"{n}'"]) for n in range(4)), gathered.get(list("abcdef")))
    assert answers == [[f"{n}", f"{n}'"] for n in range(4)] + [list("abcdef")]
    assert [len(trip) for trip in far.trips] == [4, 4, 6]


@pytest.mark.parametrize("late", [False, True])
async def test_DU9_whoever_gives_up_stops_and_shifts_nobody_else(late: bool) -> None:  # noqa: FBT001 - a table
    far = Far()
    far.gate.clear()
    gathered = Coalescer(far.ask, max_wait=1)
    asked = [asyncio.ensure_future(gathered.get([key])) for key in "abc"]
    await turns(3 if late else 1)
    asked[1].cancel()
    await turns()
    far.gate.set()
    assert await asked[0] == ["a"]
    assert await asked[2] == ["c"]
    assert asked[1].cancelled()
    assert await gathered.get(["d"]) == ["d"]


async def test_a_fault_reaches_everybody_who_asked_and_nobody_who_asks_later() -> None:
    far = Far()
    far.fault = StoreUnavailable(retry_after=1)
    gathered = Coalescer(far.ask, max_wait=1)
    answers = await asyncio.gather(*(gathered.get([key]) for key in "abc"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    assert len({id(answer) for answer in answers}) == 3
    assert [answer.retry_after for answer in answers if isinstance(answer, StoreUnavailable)] == [1, 1, 1]
    far.fault = None
    assert await gathered.get(["a"]) == ["a"]


async def test_the_deadline_counts_from_the_question_also_where_it_had_to_wait_for_a_lane() -> None:
    far = Far()
    far.gate.clear()
    gathered = Coalescer(far.ask, max_wait=1, max_running=1)
    before = asyncio.get_running_loop().time()
    asked = [asyncio.ensure_future(gathered.get(["a"]))]
    await turns()
    asked.append(asyncio.ensure_future(gathered.get(["b"])))
    await turns()
    after = asyncio.get_running_loop().time()
    await asyncio.sleep(0.02)
    far.gate.set()
    await asyncio.gather(*asked)
    assert all(before + 1 <= deadline <= after + 1 for deadline in far.deadlines)
    assert len(far.deadlines) == 2


async def test_closing_waits_for_what_is_under_way() -> None:
    far = Far()
    far.gate.clear()
    gathered = Coalescer(far.ask, max_wait=1, max_running=1)
    asked = [asyncio.ensure_future(gathered.get([key])) for key in "ab"]
    await turns()
    closing = asyncio.ensure_future(gathered.close())
    await turns()
    assert not closing.done()
    far.gate.set()
    await closing
    assert [question.done() or await question for question in asked]
