"""Password hashing: argon2id off the event loop, in bounded pools of threads with lower priority.

A password is text. It is hashed in its NFC form (NIST SP 800-63B, section 3.1.1.2; RFC 8265), every byte of it, so the
same characters typed on another keyboard match. Nothing else is changed and nothing is truncated.
"""

import asyncio
import logging
import os
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter, thread_time
from typing import NamedTuple, TypeVar

import argon2

from doorward.core.fair_queue import FairSemaphore, Job, MemoryBudget
from doorward.core.histogram import DurationHistogram
from doorward.core.memory import release_memory
from doorward.core.passwords import formats
from doorward.core.passwords.costs import CostModel
from doorward.core.passwords.formats import CompareFunction, HashCost, UnsupportedHash

log = logging.getLogger(__name__)

MAX_PASSWORD_CHARACTERS = 256
MAX_PASSWORD_BYTES = 1024

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


@dataclass(frozen=True, slots=True)
class Argon2Parameters:
    """The cost of a hash: memory in KiB, passes, lanes (RFC 9106).

    The defaults are the minimum that OWASP recommends.
    """

    memory: int = 19_456
    passes: int = 2
    lanes: int = 1


class PasswordMatch(NamedTuple):
    """The result of a comparison: a right password, and a hash that is outdated."""

    right: bool
    outdated: bool = False


class PasswordProof(NamedTuple):
    """The result of a verification, and the hash that should replace an outdated one, if it could be computed.

    `cost` is that of the stored hash, or of the decoy.
    """

    match: PasswordMatch
    cost: HashCost
    renewed: str | None = None


class HashComparison(NamedTuple):
    """A parsed stored hash. `stored` is None for the decoy, which matches no password.

    `prefix` is the number of bytes of a password that the hash covers, where it does not cover all.
    """

    stored: str | None
    compare: CompareFunction
    cost: HashCost
    prefix: int | None = None


class Hasher:
    """Computes and compares hashes in the calling thread.

    `costs` estimates their CPU time, as `timer` measures it.
    """

    def __init__(self, parameters: Argon2Parameters) -> None:
        """Hash with `parameters`, also the decoy for users that do not exist."""
        self._argon2 = argon2.PasswordHasher(
            time_cost=parameters.passes, memory_cost=parameters.memory, parallelism=parameters.lanes
        )
        self._parallel = parameters.lanes > 1
        self._own = f"$argon2id$v=19$m={parameters.memory},t={parameters.passes},p={parameters.lanes}$"
        # Several lanes run on threads that the clock of this thread does not count: wall time is the substitute.
        self.timer = perf_counter if self._parallel else thread_time
        began = self.timer()
        decoy = self._argon2.hash(secrets.token_urlsafe())
        took = self.timer() - began
        self.costs = CostModel(formats.parse_hash(decoy).cost, took)
        self._decoy = self.parse(decoy)._replace(stored=None)

    def hash(self, password: str) -> str:
        """Return the argon2id hash of a password in the PHC string format."""
        return self._argon2.hash(unicodedata.normalize("NFC", password))

    def match(self, password: str, stored: str | None) -> PasswordMatch:
        """Compare a password with a stored hash; see `parse` and `compare`."""
        return self.compare(password, self.parse(stored))

    def parse(self, stored: str | None) -> HashComparison:
        """Parse a stored hash; return the decoy where it is missing, malformed or beyond the limits."""
        try:
            compare, cost, prefix = formats.parse_hash(stored or "", formats.RAISED)
        except UnsupportedHash:
            return self._decoy
        if self._parallel and stored and stored.startswith(self._own):
            compare = partial(self._verify, stored)
        return HashComparison(stored, compare, cost, prefix)

    def cost(self, stored: str | None) -> HashCost:
        """Return the cost of a comparison with a stored hash, or with the decoy in its place."""
        if stored and stored.startswith(self._own):
            return self.costs.native
        return self.parse(stored).cost

    def compare(self, password: str, against: HashComparison) -> PasswordMatch:
        """Compare a password with a parsed hash; always computes exactly one hash, also for the decoy.

        A match with a hash of another format, or of other parameters, is outdated. A comparison that fails with an
        error matches nothing. A password of which the hash covers only the beginning matches by that, and a line is
        logged.
        """
        stored = against.stored
        # For a hash from another system the exact bytes count: that system does not apply NFC. The origin of an
        # argon2id hash is unknown.
        ours = stored is None or stored.startswith("$argon2id$")
        try:
            secret = (unicodedata.normalize("NFC", password) if ours else password).encode()
            right = against.compare(secret)
        except UnicodeEncodeError:
            return PasswordMatch(right=False)
        except Exception as error:  # noqa: BLE001 - a wrong password is counted as a failure, an error 500 is not
            log.warning(
                "password comparison failed, treated as a wrong password",
                extra={"algorithm": against.cost.algorithm, "error": type(error).__name__},
            )
            return PasswordMatch(right=False)
        if stored is None or not right:
            return PasswordMatch(right=False)
        if against.prefix is not None and len(secret) > against.prefix:
            log.info(
                "long password verified by its first %d bytes: its imported hash covers no more",
                against.prefix,
                extra={"algorithm": against.cost.algorithm},
            )
        return PasswordMatch(right=True, outdated=not ours or self._argon2.check_needs_rehash(stored))

    def _verify(self, stored: str, secret: bytes) -> bool:
        """Compare with one of the service's own hashes, its lanes in parallel."""
        try:
            return self._argon2.verify(stored, secret)
        except argon2.exceptions.VerifyMismatchError:
            return False


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
