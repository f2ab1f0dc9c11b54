"""A few slots for CPU-bound work, shared between groups in CPU seconds: start-time fair queueing.

Each group has a virtual time, the CPU seconds that its work has taken. A free slot goes to the group with the least. A
group that starts to wait gets the virtual time of the work that runs now, so unused time is not saved up; and a group
that had more than others retains that debt although its queue is empty, which deficit round robin would forget. See P.
Goyal, H. Vin, H. Cheng, "Start-time Fair Queuing", SIGCOMM 1996.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from doorward.core.errors import Overloaded


@dataclass(eq=False, slots=True)
class Job:
    """Work of one group.

    `cost` is its expected CPU time in seconds, `memory` the bytes that it holds while it runs. `spent` is set to the
    CPU seconds that it took.
    """

    group: str
    cost: float
    memory: int = 0
    spent: float | None = None
    started: bool = False
    ready: "asyncio.Future[None] | None" = None


class MemoryBudget:
    """Bytes that running jobs may hold together. A job larger than the budget runs when no other job holds any.

    The first job that does not fit gets freed memory before any other, so smaller ones cannot starve it.
    """

    def __init__(self, size: int) -> None:
        """Start with `size` bytes free."""
        self._size = size
        self._first: Job | None = None
        self._listeners: list[Callable[[], None]] = []
        self.held = 0

    def on_release(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a job that waits for memory may fit."""
        self._listeners.append(listener)

    def take(self, job: Job) -> bool:
        """Reserve the memory of a job; False where it has to wait."""
        if not job.memory:
            return True
        if self._first is not job:
            if self._first is not None:
                return False
            self._first = job
        if self.held and self.held + job.memory > self._size:
            return False
        self._first = None
        self.held += job.memory
        return True

    def release(self, job: Job) -> None:
        """Free the memory of a job."""
        if job.memory:
            self.held -= job.memory
            self._notify()

    def withdraw(self, job: Job) -> None:
        """Remove a job that no longer waits."""
        if self._first is job:
            self._first = None
            self._notify()

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()


@dataclass(slots=True)
class _Flow:
    """Jobs of one group. `used` is its virtual time, `backlog` the cost of its waiting jobs."""

    used: float
    waiting: deque[Job] = field(default_factory=deque)
    backlog: float = 0.0
    running: int = 0


class FairQueue:
    """The order of jobs; synchronous, and without a clock of its own."""

    def __init__(self, slots: int, memory: MemoryBudget | None = None) -> None:
        """Run at most `slots` jobs at a time, within `memory`, which other queues may share."""
        self._slots = slots
        self._memory = memory or MemoryBudget(0)
        self._flows: dict[str, _Flow] = {}
        self._running: dict[Job, float] = {}
        self._now = 0.0
        self.waiting = 0

    @property
    def running(self) -> int:
        """Number of jobs that run."""
        return len(self._running)

    def add(self, job: Job) -> None:
        """Queue a job after the others of its group."""
        flow = self._flows.get(job.group)
        if flow is None:
            flow = self._flows[job.group] = _Flow(self._now)
        elif not flow.waiting:
            flow.used = max(flow.used, self._now)
        flow.waiting.append(job)
        flow.backlog += job.cost
        self.waiting += 1

    def start(self, at: float) -> Job | None:
        """Return the next job, with its memory reserved, and mark it as running since `at`; None where none can run."""
        if len(self._running) >= self._slots:
            return None
        for flow in sorted((flow for flow in self._flows.values() if flow.waiting), key=lambda flow: flow.used):
            job = flow.waiting[0]
            if self._memory.take(job):
                job.started = True
                self._running[job] = at
                self._leave(flow, job)
                self._now = max(self._now, flow.used)
                flow.used += job.cost
                flow.running += 1
                self._forget()
                return job
        return None

    def finish(self, job: Job) -> None:
        """Free the slot and the memory of a running job, and charge its group the time that it took."""
        flow = self._flows[job.group]
        if job.spent is not None:
            flow.used += job.spent - job.cost
        flow.running -= 1
        del self._running[job]
        self._forget()
        self._memory.release(job)

    def withdraw(self, job: Job) -> None:
        """Remove a waiting job."""
        self._leave(self._flows[job.group], job)
        self._forget()
        self._memory.withdraw(job)

    def work_ahead(self, group: str, at: float) -> float:
        """Return the CPU seconds per slot until a new job of the group could start.

        Counts running jobs, the group's own queue, and those jobs of other groups that come first.
        """
        if len(self._running) < self._slots:
            return 0.0
        own = self._flows.get(group)
        backlog = own.backlog if own else 0.0
        turn = max(own.used, self._now) + backlog if own else self._now
        ahead = backlog + sum(max(0.0, job.cost - (at - since)) for job, since in self._running.items())
        for flow in self._flows.values():
            if flow is not own and flow.waiting and flow.used <= turn:
                ahead += min(flow.backlog, turn - flow.used + flow.waiting[0].cost)
        return ahead / self._slots

    def _leave(self, flow: _Flow, job: Job) -> None:
        flow.waiting.remove(job)
        flow.backlog = flow.backlog - job.cost if flow.waiting else 0.0
        self.waiting -= 1

    def _forget(self) -> None:
        """Remove groups without work and without debt; all of them when nothing is left to do."""
        if not self.waiting and not self._running:
            self._flows.clear()
            self._now = 0.0
            return
        idle_groups = [
            group
            for group, flow in self._flows.items()
            if not flow.waiting and not flow.running and flow.used <= self._now
        ]
        for group in idle_groups:
            del self._flows[group]


class FairSemaphore:
    """Admits jobs to `slots` slots in the order of a `FairQueue`.

    A job with more than `max_wait` CPU seconds of work ahead is rejected with `Overloaded` at once, and one that has
    waited `max_wait` seconds then. A group with an empty queue is admitted while the queue of another group is full.
    """

    def __init__(
        self,
        slots: int,
        *,
        max_wait: float,
        memory: MemoryBudget | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Start with every slot free; `clock` returns seconds."""
        self._queue = FairQueue(slots, memory)
        self._max_wait = max_wait
        self._clock = clock
        if memory:
            memory.on_release(self._dispatch)

    @property
    def waiting(self) -> int:
        """Number of jobs that wait."""
        return self._queue.waiting

    @property
    def running(self) -> int:
        """Number of jobs that run."""
        return self._queue.running

    def check_capacity(self, group: str) -> None:
        """Raise Overloaded where a new job of the group would be rejected now; reserve nothing."""
        ahead = self._queue.work_ahead(group, self._clock())
        if ahead > self._max_wait:
            raise Overloaded(retry_after=max(1, round(ahead)))

    @asynccontextmanager
    async def acquire(self, group: str, cost: float, memory: int = 0) -> AsyncIterator[Job]:
        """Wait for a slot, and hold it while the context is open.

        Raises Overloaded where the wait would be too long.
        """
        self.check_capacity(group)
        job = Job(group, cost, memory)
        self._queue.add(job)
        self._dispatch()
        if not job.started:
            await self._wait(job)
        try:
            yield job
        finally:
            self._finish(job)

    async def _wait(self, job: Job) -> None:
        job.ready = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait([job.ready], timeout=self._max_wait)
        except asyncio.CancelledError:
            if not job.started:
                self._withdraw(job)
            else:
                job.spent = 0.0
                self._finish(job)
            raise
        if not job.started:
            self._withdraw(job)
            raise Overloaded(retry_after=max(1, round(self._max_wait)))

    def _finish(self, job: Job) -> None:
        self._queue.finish(job)
        self._dispatch()

    def _withdraw(self, job: Job) -> None:
        self._queue.withdraw(job)
        self._dispatch()

    def _dispatch(self) -> None:
        while self._queue.waiting and (job := self._queue.start(self._clock())):
            if job.ready:
                job.ready.set_result(None)
