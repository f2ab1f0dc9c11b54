"""The one timer of all connections: it comes to each of them every second, and keeps nobody waiting meanwhile."""

import asyncio
from dataclasses import dataclass
from typing import cast

import pytest

from doorward.http.connection.door import Door, Limits
from doorward.http.connection.express import ExpressLane

MANY = 1100


@dataclass(eq=False)
class Guest:
    """A connection that wants nothing."""

    due: float = 0.0
    told: int = 0

    def overdue(self) -> None:
        self.told += 1


@pytest.fixture
def door() -> Door:
    return Door(cast("ExpressLane", None), Limits())  # no guest asks for anything


async def test_connections_are_looked_after_some_at_a_time_and_all_of_them_once(door: Door) -> None:
    loop = asyncio.get_running_loop()
    guests = [Guest() for _ in range(MANY)]
    patient = Guest(due=float("inf"))
    door.connections.update([*guests, patient])
    most, rounds = 0, 0
    while any(guest.told == 0 for guest in guests):
        before = sum(guest.told for guest in guests)
        door._look_after(loop)
        door.close()
        most = max(most, sum(guest.told for guest in guests) - before)
        rounds += 1
        assert rounds < MANY
    assert most <= 250
    assert all(guest.told == 1 for guest in guests)
    assert patient.told == 0


async def test_a_connection_that_is_gone_before_its_turn_is_told_nothing(door: Door) -> None:
    guests = [Guest() for _ in range(MANY)]
    door.connections.update(guests)
    door._look_after(asyncio.get_running_loop())
    gone = [guest for guest in guests if not guest.told]
    door.connections.clear()
    for _ in range(MANY):
        door._look_after(asyncio.get_running_loop())
        door.close()
    assert sum(guest.told for guest in gone) == 0


async def test_the_timer_comes_to_everybody_in_a_crowd(door: Door) -> None:
    guests = [Guest() for _ in range(MANY)]
    door.connections.update(guests)
    door.open(asyncio.get_running_loop())
    async with asyncio.timeout(30):
        while not all(guest.told for guest in guests):  # noqa: ASYNC110 - nobody says that it happened
            await asyncio.sleep(0.05)
    door.close()
