"""Slots that groups share in CPU seconds."""

import asyncio
import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.errors import Overloaded
from doorward.core.fair_queue import FairQueue, FairSemaphore, Job, MemoryBudget

EXAMPLES = 5_000 if os.environ.get("DOORWARD_TORTURE") else 100
FOREVER = 1e9


# --- the order, on a simulated clock ------------------------------------------------------------------------------


class Work(NamedTuple):
    """What a group asks for: the CPU seconds it is taken for, what it really takes, the memory it holds."""

    group: str
    expected: float = 1.0
    real: float = 1.0
    memory: int = 0


@dataclass
class Machine:
    """Runs the jobs of queues that share a budget of memory. Time passes as they do, and only then."""

    queues: Sequence[FairQueue]
    memory: MemoryBudget = field(default_factory=lambda: MemoryBudget(0))
    now: float = 0.0
    spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    started: dict[Job, float] = field(default_factory=dict)
    _real: dict[Job, float] = field(default_factory=dict)
    _ends: list[tuple[float, int, FairQueue, Job]] = field(default_factory=list)

    def ask(self, work: Work, queue: int = 0) -> Job:
        job = Job(work.group, work.expected, work.memory)
        self._real[job] = work.real
        self.queues[queue].add(job)
        self._start()
        return job

    def _start(self) -> None:
        for queue in self.queues:
            while job := queue.start(self.now):
                self.started[job] = self.now
                heapq.heappush(self._ends, (self.now + self._real[job], len(self.started), queue, job))

    def step(self) -> Job | None:
        """Let time pass until a job ends, and return it; None where none runs."""
        if not self._ends:
            return None
        self.now, _, queue, job = heapq.heappop(self._ends)
        job.spent = self._real[job]
        self.spent[job.group] += job.spent
        queue.finish(job)
        self._start()
        return job

    @property
    def running(self) -> list[Job]:
        return [job for *_, job in self._ends]


seconds = st.floats(0.01, 10)


def _load(chance: Random) -> dict[str, list[tuple[float, float]]]:
    """Return jobs of up to four groups: of each its expected and its real cost, of any size from group to group."""
    groups = "abcd"[: chance.randint(2, 4)]
    largest = {group: chance.choice([0.05, 1, 10]) for group in groups}
    return {
        group: [(chance.uniform(0.01, largest[group]), chance.uniform(0.01, largest[group])) for _ in range(20)]
        for group in groups
    }


# Numbers drawn one by one would take longer than what is tested with them.
loads = st.integers(0, 1 << 40).map(Random).map(_load)


@settings(max_examples=EXAMPLES)
@given(st.integers(1, 3), loads)
def test_S1_OV3_no_group_gets_less_than_its_share_of_cpu_seconds(
    slots: int, load: dict[str, list[tuple[float, float]]]
) -> None:
    machine = Machine([FairQueue(slots)])
    left = {group: len(jobs) for group, jobs in load.items()}
    for group, jobs in load.items():
        for expected, real in jobs:
            machine.ask(Work(group, expected, real))
    # While every group has work for every slot, however dear each piece of it and however wrong the estimates are.
    while min(left.values()) > slots:
        job = machine.step()
        assert job
        left[job.group] -= 1
        most = max(max(pair) for jobs in load.values() for pair in jobs)
        assert max(machine.spent.values()) - min(machine.spent[group] for group in load) <= 2 * (slots + 1) * most


def test_S1_turns_are_not_what_is_shared() -> None:
    machine = Machine([FairQueue(1)])
    for _ in range(100):
        machine.ask(Work("dear", 2.0, 2.0))
        machine.ask(Work("cheap", 0.02, 0.02))
    ended = Counter(job.group for _ in range(103) if (job := machine.step()))
    assert ended["cheap"] == 100, "by turns it would have had 51, and waited for as many dear ones"


@settings(max_examples=EXAMPLES)
@given(st.lists(st.tuples(seconds, st.floats(0.05, 10)), min_size=5, max_size=20))
def test_S1_TI8_a_newcomer_waits_for_what_runs_and_for_nothing_that_waits(flood: list[tuple[float, float]]) -> None:
    machine = Machine([FairQueue(1)])
    for expected, real in flood:
        machine.ask(Work("flood", expected, real))
    while machine.running:
        [running] = machine.running
        login = machine.ask(Work("victim", 0.02, 0.02))
        assert machine.step() is running
        assert machine.started[login] == machine.now
        assert machine.step() is login


def test_S1_a_group_that_had_more_than_its_share_owes_it_though_its_queue_ran_empty() -> None:
    machine = Machine([FairQueue(1)])
    machine.ask(Work("dear", 2.0, 2.0))
    for _ in range(1000):
        machine.ask(Work("cheap", 0.02, 0.02))
    machine.step()
    # Its next login arrives just when the first is over: it is not its turn before the others had as much.
    again = machine.ask(Work("dear", 2.0, 2.0))
    while again not in machine.started:
        machine.step()
    assert machine.spent["cheap"] == pytest.approx(2.0, abs=0.05)


def test_S1_time_that_nobody_wanted_is_no_debt() -> None:
    machine = Machine([FairQueue(1)])
    for _ in range(50):
        machine.ask(Work("early", 1.0, 1.0))
        machine.step()
    first, late = machine.ask(Work("early")), machine.ask(Work("late"))
    second = machine.ask(Work("early"))
    third = machine.ask(Work("late"))
    while machine.step():
        pass
    assert sorted([first, late, second, third], key=machine.started.__getitem__) == [first, late, second, third]


def test_S1_a_group_whose_one_job_runs_gains_no_credit_for_what_it_does_not_ask_for() -> None:
    machine = Machine([FairQueue(2)])
    machine.ask(Work("slow", 0.1, 1_000.0))
    for _ in range(50):
        machine.ask(Work("busy"))
        machine.step()
    for _ in range(20):
        machine.ask(Work("busy"))
    before = machine.spent["busy"]
    for _ in range(10):
        job = machine.ask(Work("slow"))
        while job not in machine.started:
            machine.step()
    assert machine.spent["busy"] - before >= 9


@settings(max_examples=EXAMPLES)
@given(st.integers(1, 500), seconds)
def test_S1_a_newcomer_is_judged_by_what_runs_whatever_others_have_queued(queued: int, cost: float) -> None:
    queue = FairQueue(1)
    for _ in range(1 + queued):
        queue.add(Job("flood", cost))
    running = queue.start(at=0.0)
    assert running
    assert queue.work_ahead("newcomer", at=0.0) == cost
    assert queue.work_ahead("newcomer", at=cost / 2) == pytest.approx(cost / 2)
    assert queue.work_ahead("flood", at=0.0) == pytest.approx(cost * (1 + queued))


@settings(max_examples=EXAMPLES)
@given(loads, st.sampled_from("abcde"))
def test_the_work_that_is_said_to_be_ahead_is_what_is_done_before(
    load: dict[str, list[tuple[float, float]]], group: str
) -> None:
    machine = Machine([FairQueue(1)])
    for name, jobs in load.items():
        for expected, _ in jobs:
            machine.ask(Work(name, expected, expected))
    ahead = machine.queues[0].work_ahead(group, at=0.0)
    asked = machine.ask(Work(group))
    while asked not in machine.started:
        machine.step()
    most = max(expected for jobs in load.values() for expected, _ in jobs)
    assert machine.started[asked] == pytest.approx(ahead, abs=len(load) * most)


jobs_with_memory = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 1), seconds, st.sampled_from([0, 0, 1, 40, 64, 100, 128, 512])),
    max_size=40,
)


@settings(max_examples=EXAMPLES)
@given(jobs_with_memory, st.lists(st.integers(0, 39), max_size=5))
def test_S1_memory_in_flight_is_within_the_budget_unless_one_hash_alone_is_larger(
    jobs: list[tuple[str, int, float, int]], leaving: list[int]
) -> None:
    memory = MemoryBudget(128)
    machine = Machine([FairQueue(2, memory), FairQueue(1, memory)], memory)
    asked = [machine.ask(Work(group, cost, cost, size), queue) for group, queue, cost, size in jobs]

    def within() -> None:
        held = [job.memory for job in machine.running if job.memory]
        assert sum(held) == memory.held
        assert sum(held) <= 128 or len(held) == 1

    within()
    gone = set()
    for number in leaving:
        if number < len(asked) and asked[number] not in machine.started and asked[number] not in gone:
            machine.queues[jobs[number][1]].withdraw(asked[number])
            gone.add(asked[number])
            machine._start()
            within()
    while machine.step():
        within()
    assert set(machine.started) == set(asked) - gone, "a job waits for ever"


def test_S1_small_hashes_cannot_starve_one_that_waits_for_memory() -> None:
    memory = MemoryBudget(128)
    machine = Machine([FairQueue(2, memory), FairQueue(1, memory)], memory)
    for _ in range(100):
        machine.ask(Work("flood", memory=64))
    large = machine.ask(Work("victim", memory=128), queue=1)
    small = machine.ask(Work("other"))
    machine.step(), machine.step()
    assert machine.started[small] == 1.0, "what needs no memory does not wait for any"
    assert machine.started[large] == 1.0


# --- waiting for a turn -------------------------------------------------------------------------------------------


async def breathe(times: int = 5) -> None:
    """Let every task run as far as it can."""
    for _ in range(times):
        await asyncio.sleep(0)


class Room:
    """Slots, and who has them. A visitor stays until it is told to leave; each is taken for a second."""

    def __init__(self, slots: int, *, patience: float = FOREVER) -> None:
        self.fair = FairSemaphore(slots, max_wait=patience, clock=lambda: 0.0)
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
        async with self.fair.acquire(name[0], 1.0):
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
    assert room.served == ["a0", "b1", "c1", "a1", "b2", "a2", "a3", "a4"]


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
    # Of the first 24 slots, 2 were taken when the small group came; of the rest, every other one is its own.
    assert len([name for name in room.served if name.startswith("small")]) == 10
    assert room.fair.waiting == 500 - 14
    await room.empty()


async def test_TI8_a_full_line_of_one_group_refuses_that_group_only() -> None:
    room = Room(1, patience=5)
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
    room = Room(1, patience=waiting)
    room.arrive("a")
    await breathe()
    for n in range(waiting):
        room.arrive(f"a{n}")
    await breathe()
    with pytest.raises(Overloaded) as refusal:
        await room.arrive("a-last")
    assert refusal.value.retry_after == told
    await room.empty()


async def test_the_more_slots_the_shorter_the_wait() -> None:
    room = Room(4, patience=2)
    tasks = [room.arrive(f"a{n}") for n in range(4 + 5 + 1)]
    await breathe()
    # Four run and four wait: two seconds for each slot. The next may just wait as well, and then it is too much.
    assert [task.done() for task in tasks] == [False] * 9 + [True]
    await room.empty()


async def test_whether_there_is_room_is_answered_without_taking_any() -> None:
    room = Room(1, patience=0.5)
    room.fair.check_capacity("a")
    room.arrive("a0")
    await breathe()
    with pytest.raises(Overloaded):
        room.fair.check_capacity("b")
    assert room.fair.waiting == 0
    await room.empty()
    room.fair.check_capacity("b")


async def test_who_gave_up_waiting_no_longer_counts() -> None:
    room = Room(1, patience=5)
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


async def test_a_slot_given_to_who_is_just_leaving_goes_to_the_next() -> None:
    room = Room(1)
    room.arrive("a0")
    await breathe()
    gone, heir = room.arrive("b1"), room.arrive("c1")
    await breathe()
    room.doors["a0"].set()
    # After one round the slot is given, and who got it has not noticed yet.
    await breathe(1)
    assert (room.inside, gone.done()) == ([], False)
    gone.cancel()
    await breathe()
    assert room.inside == ["c1"]
    room.doors["c1"].set()
    await heir


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["arrive", "arrive", "leave", "cancel"]), st.integers(0, 11), st.integers(0, 3)),
    max_size=40,
)


@settings(max_examples=EXAMPLES)
@given(st.integers(1, 3), OPERATIONS)
def test_no_slot_is_lost_or_given_twice_whoever_comes_leaves_or_gives_up(
    slots: int, operations: Sequence[tuple[str, int, int]]
) -> None:
    asyncio.run(play(slots, operations))


async def play(slots: int, operations: Sequence[tuple[str, int, int]]) -> None:
    room = Room(slots)
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
        assert len(room.inside) <= slots
    await breathe(10)
    living = sum(not task.done() for task, _ in room.visits)
    assert len(room.inside) == min(slots, living)
    assert room.fair.waiting == living - len(room.inside)
    await room.empty()
    assert room.fair.waiting == room.fair.running == 0
    assert not room.fair._queue._flows, "groups that are gone are remembered"
    async with asyncio.timeout(10), AsyncExitStack() as stack:
        for _ in range(slots):
            await stack.enter_async_context(room.fair.acquire("z", 1.0))
