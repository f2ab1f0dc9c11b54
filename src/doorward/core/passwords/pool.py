"""Pools of threads that hash passwords off the event loop, with lower priority, shared fairly between groups."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter
from typing import NamedTuple, TypeVar

import argon2

from doorward.core.fair_queue import FairSemaphore, Job, MemoryBudget
from doorward.core.histogram import DurationHistogram
from doorward.core.memory import release_memory
from doorward.core.passwords.formats import HashCost
from doorward.core.passwords.hashing import HashComparison, Hasher, PasswordMatch

_NICE = 10
_NICE_COSTLY = 15

_COSTLY = 5
"""Hashes that take more CPU time than this number of the service's own run on the extra thread."""

_SHARED_MEMORY = 128 << 20
"""Bytes that concurrent hashes may hold together beyond those of the same number of the service's own."""

_LEAST_COST = 0.005
"""The least CPU seconds that a waiting hash counts as, which bounds the number of waiting ones and their memory."""

_LATEST = 1 / 8
"""The weight of a new measurement of the ratio of wall time to CPU time of a hash."""

Result = TypeVar("Result")


class PasswordProof(NamedTuple):
    """The result of a verification, and the hash that should replace an outdated one, if it could be computed.

    `cost` is that of the stored hash, or of the decoy.
    """

    match: PasswordMatch
    cost: HashCost
    renewed: str | None = None


def lower_priority(nicer: int = _NICE) -> None:
    """Make the calling thread nicer than its process."""
    # On Linux niceness is per thread: hashing must not delay the event loop.
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + nicer)


class _Pool:
    """Threads of one niceness, with the fair queue in front of them."""

    def __init__(self, name: str, threads: int, nicer: int, *, max_wait: float, memory: MemoryBudget) -> None:
        self.threads = ThreadPoolExecutor(
            threads, thread_name_prefix=name, initializer=lower_priority, initargs=(nicer,)
        )
        self.slots = FairSemaphore(threads, max_wait=max_wait, memory=memory)
        # The ratio of wall time to CPU time of its hashes: the load of the machine.
        self.slowdown = 1.0

    def measured(self, wall: float, spent: float) -> None:
        """Record the wall and CPU time of a hash, in seconds."""
        if spent > _LEAST_COST:
            self.slowdown += (max(1.0, wall / spent) - self.slowdown) * _LATEST


class PasswordHasherPool:
    """Computes hashes off the event loop, in bounded pools of threads that groups share fairly in CPU seconds.

    `threads` threads compute the service's own hashes and those that cost little more. Hashes of other systems that
    cost more than five of them run one at a time on an extra thread of lower priority, so that no login waits for the
    slot of such a hash. In each pool every group has its share (`core/fair_queue.py`).

    The memory of hashes larger than the service's own is bounded for both pools together.

    `max_wait` is how much work, in CPU seconds per thread, may be ahead of a hash, and how many seconds it may wait;
    beyond it `Overloaded` is raised. `hashed` counts the hashes, `waits` their waits for a thread.
    """

    def __init__(self, hasher: Hasher, *, threads: int, max_wait: float = 5.0) -> None:
        """Create the pools; threads start when they are first needed."""
        self._hasher = hasher
        memory = MemoryBudget(_SHARED_MEMORY)
        self._ordinary = _Pool("hash", threads, _NICE, max_wait=max_wait, memory=memory)
        self._costly = _Pool("hash-costly", 1, _NICE_COSTLY, max_wait=max_wait, memory=memory)
        self.hashed = 0
        self.waits = DurationHistogram()
        self._hashed_before = self._given_back = 0

    async def hash(self, password: str, *, group: str) -> str:
        """Return the hash to store for a password, computed in the share of `group`."""
        return await self._run(group, self._hasher.costs.native, lambda: self._hash(password))

    async def matches(self, password: str, stored: str | None, *, group: str) -> PasswordMatch:
        """Compare a password with a stored hash, or with a decoy of equal cost where there is none."""
        against = self._hasher.parse(stored)
        return await self._run(group, against.cost, lambda: self._compare(password, against))

    async def verify(self, password: str, stored: str | None, *, group: str) -> PasswordProof:
        """Compare as `matches` does, and renew an outdated hash in the same job, so that no login waits twice."""
        against = self._hasher.parse(stored)
        return await self._run(group, against.cost, lambda: self._prove(password, against))

    def _hash(self, password: str) -> str:
        began = self._hasher.timer()
        hashed = self._hasher.hash(password)
        self._hasher.costs.observe(self._hasher.costs.native, self._hasher.timer() - began)
        return hashed

    def _compare(self, password: str, against: HashComparison) -> PasswordMatch:
        began = self._hasher.timer()
        match = self._hasher.compare(password, against)
        self._hasher.costs.observe(against.cost, self._hasher.timer() - began)
        return match

    def _prove(self, password: str, against: HashComparison) -> PasswordProof:
        match = self._compare(password, against)
        if not match.outdated:
            return PasswordProof(match, against.cost)
        try:
            return PasswordProof(match, against.cost, self._hash(password))
        except (MemoryError, argon2.exceptions.HashingError):
            # The password was right; the next login renews the hash.
            return PasswordProof(match, against.cost)

    @property
    def waiting(self) -> int:
        """The number of hashes that wait for a thread."""
        return self._ordinary.slots.waiting + self._costly.slots.waiting

    @property
    def busy_slots(self) -> int:
        """The number of threads that compute a hash."""
        return self._ordinary.slots.running + self._costly.slots.running

    def check_capacity(self, group: str) -> None:
        """Raise Overloaded where too much work is ahead of one of the service's own hashes; reserve nothing."""
        self._ordinary.slots.check_capacity(group)

    def cost(self, stored: str | None) -> HashCost:
        """Return the cost of a comparison with a stored hash, or with the decoy in its place."""
        return self._hasher.cost(stored)

    def duration(self, cost: HashCost) -> float:
        """Return the seconds that a comparison of this cost takes once it has a thread, at the current load."""
        return self._hasher.costs.estimate(cost) * self._pool(cost).slowdown

    def _pool(self, cost: HashCost) -> _Pool:
        costs = self._hasher.costs
        return self._costly if costs.estimate(cost) > _COSTLY * costs.estimate(costs.native) else self._ordinary

    async def _run(self, group: str, cost: HashCost, work: Callable[[], Result]) -> Result:
        costs, pool, queued_at = self._hasher.costs, self._pool(cost), perf_counter()
        more_memory = max(0, cost.memory - costs.native.memory)
        async with pool.slots.acquire(group, max(_LEAST_COST, costs.estimate(cost)), more_memory) as job:
            self.waits.add(perf_counter() - queued_at)
            self.hashed += 1
            # Shielded: a cancelled caller loses the result, but its slot stays taken until the thread is free.
            running = asyncio.ensure_future(
                asyncio.get_running_loop().run_in_executor(pool.threads, self._timed, pool, job, work)
            )
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                while not running.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([running])
                raise

    def _timed(self, pool: _Pool, job: Job, work: Callable[[], Result]) -> Result:
        began, cpu_began = perf_counter(), self._hasher.timer()
        try:
            return work()
        finally:
            job.spent = self._hasher.timer() - cpu_began
            pool.measured(perf_counter() - began, job.spent)

    async def release_memory(self) -> None:
        """Return the memory of past hashes to the system, unless a hash was computed since the last call."""
        before, self._hashed_before = self._hashed_before, self.hashed
        if self.hashed == before and self.hashed != self._given_back:
            self._given_back = self.hashed
            await asyncio.get_running_loop().run_in_executor(self._ordinary.threads, release_memory)

    def close(self) -> None:
        """Stop the threads."""
        for pool in (self._ordinary, self._costly):
            pool.threads.shutdown(wait=False, cancel_futures=True)
