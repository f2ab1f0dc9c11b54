"""Seats that groups take in turn."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.errors import Overloaded
from doorward.core.fairness import FairSeats

EXAMPLES = 5_000 if os.environ.get("DOORWARD_TORTURE") else 200
FOREVER = 1e9


async def breathe(times: int = 5) -> None:
    """Let every task run as far as it can."""
    for _ in range(times):
        await asyncio.sleep(0)


class Room:
    """Seats, and who sits where. A visitor stays until it is told to leave."""

    def __init__(self, seats: int, *, patience: float = FOREVER, service_time: float = 1.0) -> None:
        self.fair = FairSeats(seats, patience=patience, service_time=service_time)
        self.inside: list[str] = []
        self.served: list[str] = []
        self.visits: list[tuple[asyncio.Task[None], asyncio.Event]] = []
        self.doors: dict[str, asyncio.Event] = {}

    def arrive(self, name: str) -> asyncio.Task[None]:
        """Send in a visitor; its group is the first letter of its name."""
        door = self.doors[name] = asyncio.Event()
        task = asyncio.create_task(self._visit(name, door))
        self.visits.append((task, door))
        return task

    async def _visit(self, name: str, door: asyncio.Event) -> None:
        async with self.fair.seat(name[0]):
            self.served.append(name)
            self.inside.append(name)
            try:
                await door.wait()
            finally:
                self.inside.remove(name)

    async def leave(self, name: str) -> None:
        self.doors[name].set()
        await breathe()

    async def empty(self) -> None:
        for _, door in self.visits:
            door.set()
        await asyncio.gather(*(task for task, _ in self.visits), return_exceptions=True)


async def test_groups_are_served_in_turn_however_long_their_lines_are() -> None:
    room = Room(1)
    for name in ("a0", "a1", "a2", "a3", "a4", "b1", "b2", "c1"):
        room.arrive(name)
        await breathe()
    while room.inside:
        await room.leave(room.inside[0])
    assert room.served == ["a0", "a1", "b1", "c1", "a2", "b2", "a3", "a4"]


async def test_OV3_a_small_group_has_its_share_under_the_flood_of_another() -> None:
    room = Room(2)
    for n in range(500):
        room.arrive(f"flood{n}")
    await breathe()
    for n in range(10):
        room.arrive(f"small{n}")
    await breathe()
    for _ in range(22):
        await room.leave(room.inside[0])
    # Of the first 24 seats, 2 were taken when the small group came; of the rest, every other one is its own.
    assert len([name for name in room.served if name.startswith("small")]) == 10
    assert room.fair.waiting == 500 - 14
    await room.empty()


async def test_TI8_a_full_line_of_one_group_refuses_that_group_only() -> None:
    room = Room(1, patience=5, service_time=1.0)
    room.arrive("flood0")
    await breathe()
    tasks = [room.arrive(f"flood{n}") for n in range(1, 9)]
    await breathe()
    refused = [task for task in tasks if task.done()]
    assert len(refused) == 3
    for task in refused:
        with pytest.raises(Overloaded):
            await task
    assert room.fair.waiting == 5
    other = room.arrive("small")
    await breathe()
    assert not other.done()
    assert room.fair.waiting == 6
    await room.empty()


@pytest.mark.parametrize(("waiting", "told"), [(4, 5), (9, 10), (59, 60)])
async def test_a_refusal_tells_how_long_the_line_is(waiting: int, told: int) -> None:
    room = Room(1, patience=waiting, service_time=1.0)
    room.arrive("a")
    await breathe()
    for n in range(waiting):
        room.arrive(f"a{n}")
    await breathe()
    with pytest.raises(Overloaded) as refusal:
        await room.arrive("a-last")
    assert refusal.value.retry_after == told
    await room.empty()


async def test_the_more_seats_the_shorter_the_wait() -> None:
    room = Room(4, patience=2, service_time=1.0)
    tasks = [room.arrive(f"a{n}") for n in range(4 + 8 + 1)]
    await breathe()
    assert [task.done() for task in tasks] == [False] * 12 + [True]
    await room.empty()


async def test_who_gave_up_waiting_no_longer_counts() -> None:
    room = Room(1, patience=5, service_time=1.0)
    room.arrive("a0")
    await breathe()
    gone = [room.arrive(f"a{n}") for n in range(1, 6)]
    await breathe()
    for task in gone:
        task.cancel()
    await breathe()
    assert room.fair.waiting == 0
    late = room.arrive("a9")
    await breathe()
    assert not late.done()
    await room.leave("a0")
    assert room.inside == ["a9"]
    await room.empty()


async def test_a_seat_given_to_who_is_just_leaving_goes_to_the_next() -> None:
    room = Room(1)
    room.arrive("a0")
    await breathe()
    gone, heir = room.arrive("a1"), room.arrive("b1")
    await breathe()
    room.doors["a0"].set()
    # After one round the seat is given, and who got it has not noticed yet.
    await breathe(1)
    assert (room.inside, gone.done()) == ([], False)
    gone.cancel()
    await breathe()
    assert room.inside == ["b1"]
    room.doors["b1"].set()
    await heir


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["arrive", "arrive", "leave", "cancel"]), st.integers(0, 11), st.integers(0, 3)),
    max_size=40,
)


@settings(max_examples=EXAMPLES)
@given(st.integers(1, 3), OPERATIONS)
def test_no_seat_is_lost_or_given_twice_whoever_comes_leaves_or_gives_up(
    seats: int, operations: Sequence[tuple[str, int, int]]
) -> None:
    asyncio.run(play(seats, operations))


async def play(seats: int, operations: Sequence[tuple[str, int, int]]) -> None:
    room = Room(seats)
    for step, (what, which, pause) in enumerate(operations):
        live = [task for task, _ in room.visits if not task.done()]
        if what == "arrive":
            room.arrive(f"{'abcd'[which % 4]}{step}")
        elif what == "leave" and room.inside:
            room.doors[room.inside[which % len(room.inside)]].set()
        elif what == "cancel" and live:
            live[which % len(live)].cancel()
        # Sometimes no task runs between two operations, so that they meet in every order.
        await breathe(pause)
        assert len(room.inside) <= seats
    await breathe(10)
    living = sum(not task.done() for task, _ in room.visits)
    assert len(room.inside) == min(seats, living)
    assert room.fair.waiting == living - len(room.inside)
    await room.empty()
    assert room.fair.waiting == 0
    async with asyncio.timeout(10), AsyncExitStack() as stack:
        for _ in range(seats):
            await stack.enter_async_context(room.fair.seat("z"))
