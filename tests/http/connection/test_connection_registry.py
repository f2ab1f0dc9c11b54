"""The connection registry: its timer, eviction, and limits per address."""

import asyncio
import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import cast

import pytest

from doorward.http.api.services import Services
from doorward.http.client_address import Proxies
from doorward.http.connection.fast_path import FastPath
from doorward.http.connection.registry import ConnectionLimits, ConnectionRegistry
from doorward.http.middleware import HostAndOriginPolicy

MANY = 1100


@dataclass(eq=False)
class Guest:
    """A connection that wants nothing."""

    deadline: float = 0.0
    told: int = 0
    evicted: int = 0
    silent: bool = False
    idle: bool = True

    def on_timeout(self) -> None:
        self.told += 1

    def is_silent(self) -> bool:
        return self.silent

    def is_idle(self) -> bool:
        return self.idle

    def evict(self) -> None:
        self.evicted += 1


def made(limits: ConnectionLimits, *proxies: str) -> ConnectionRegistry:
    trusted = Proxies(tuple(ipaddress.ip_network(proxy) for proxy in proxies))
    # No guest asks for anything, so there are no services.
    return ConnectionRegistry(FastPath({}, cast("Services", None), trusted, HostAndOriginPolicy()), limits)


@pytest.fixture
def door() -> ConnectionRegistry:
    return made(ConnectionLimits())


async def test_connections_are_looked_after_some_at_a_time_and_all_of_them_once(door: ConnectionRegistry) -> None:
    loop = asyncio.get_running_loop()
    guests = [Guest() for _ in range(MANY)]
    patient = Guest(deadline=float("inf"))
    door.connections.update(dict.fromkeys([*guests, patient], ""))
    most, rounds = 0, 0
    while any(guest.told == 0 for guest in guests):
        before = sum(guest.told for guest in guests)
        door._check_deadlines(loop)
        door.close()
        most = max(most, sum(guest.told for guest in guests) - before)
        rounds += 1
        assert rounds < MANY
    assert most <= 250
    assert all(guest.told == 1 for guest in guests)
    assert patient.told == 0


async def test_a_connection_that_is_gone_before_its_turn_is_told_nothing(door: ConnectionRegistry) -> None:
    guests = [Guest() for _ in range(MANY)]
    door.connections.update(dict.fromkeys(guests, ""))
    door._check_deadlines(asyncio.get_running_loop())
    gone = [guest for guest in guests if not guest.told]
    door.connections.clear()
    for _ in range(MANY):
        door._check_deadlines(asyncio.get_running_loop())
        door.close()
    assert sum(guest.told for guest in gone) == 0


async def test_the_timer_comes_to_everybody_in_a_crowd(door: ConnectionRegistry) -> None:
    guests = [Guest() for _ in range(MANY)]
    door.connections.update(dict.fromkeys(guests, ""))
    door.open(asyncio.get_running_loop())
    async with asyncio.timeout(30):
        while not all(guest.told for guest in guests):  # noqa: ASYNC110 - nobody says that it happened
            await asyncio.sleep(0.05)
    door.close()


def test_S19_the_oldest_silent_one_makes_room_then_the_longest_idle() -> None:
    door = made(ConnectionLimits(max_connections=4))
    served, silent, older, busy = (
        Guest(deadline=50),
        Guest(silent=True),
        Guest(deadline=20),
        Guest(deadline=1, idle=False),
    )
    for guest in (served, older, silent, busy):
        assert door.register(guest, "192.0.2.1", now=0)
    newcomers = [Guest(idle=False) for _ in range(3)]
    for newcomer, gone in zip(newcomers, (silent, older, served), strict=True):
        assert door.register(newcomer, "192.0.2.1", now=1)
        assert gone.evicted == 1
        assert gone not in door.connections
    assert not door.register(Guest(), "192.0.2.1", now=2)
    assert busy.evicted == 0
    assert len(door.connections) == 5


def test_S19_whoever_spoke_after_it_was_found_idle_is_not_closed() -> None:
    door = made(ConnectionLimits(max_connections=300))
    guests = [Guest(deadline=number) for number in range(300)]
    for guest in guests:
        assert door.register(guest, "", now=0)
    assert door.register(Guest(idle=False), "", now=0)
    assert guests[0].evicted == 1
    guests[1].idle = False
    guests[2].deadline = 1_000
    door.unregister(guests[3])
    for _ in range(2):
        assert door.register(Guest(idle=False), "", now=0)
    assert [guest.evicted for guest in guests[1:5]] == [0, 0, 0, 1]


def test_S19_where_nobody_is_idle_not_every_newcomer_costs_a_search() -> None:
    class Searched(Guest):
        asked = 0

        def is_idle(self) -> bool:
            Searched.asked += 1
            return False

    door = made(ConnectionLimits(max_connections=500))
    for _ in range(500):
        assert door.register(Searched(), "", now=0)
    for _ in range(100):
        assert not door.register(Guest(idle=False), "", now=10)
    assert Searched.asked <= 500
    assert not door.register(Guest(idle=False), "", now=10.2)
    assert Searched.asked <= 1_000
    assert door.is_full()


def test_S19_shares_are_those_of_addresses_and_of_networks_of_IPv6() -> None:
    door = made(ConnectionLimits(max_per_address=2), "10.0.0.0/8", "fd00::/8")
    asked = {
        "192.0.2.1": 2,
        "::ffff:192.0.2.1": 0,
        "192.0.2.2": 2,
        "2001:db8::1": 2,
        "2001:db8::ffff:1": 0,
        "2001:db8:0:1::1": 2,
        "10.1.2.3": 5,
        "fd00::1": 5,
        "": 5,
    }
    found: Counter[str] = Counter()
    guests: dict[str, list[Guest]] = {}
    for address in asked:
        for _ in range(5):
            guest = Guest(idle=False)
            found[address] += door.register(guest, address, now=0)
            guests.setdefault(address, []).append(guest)
    assert dict(found) == asked
    # A refused one gives nothing back, an accepted one its place.
    door.unregister(guests["192.0.2.1"][4])
    assert not door.register(Guest(), "192.0.2.1", now=0)
    door.unregister(guests["192.0.2.1"][0])
    door.unregister(guests["192.0.2.1"][0])
    assert door.register(Guest(), "192.0.2.1", now=0)
    assert not door.register(Guest(), "192.0.2.1", now=0)
