"""Stores, watched: how long they take, how often they fail, what is opened, ended and noted in them.

All of it is plain numbers that somebody else reads. The embedded database is asked for sessions so fast that even this
would be felt: of its look-ups only single ones are timed, whenever `sample` has been called.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, Protocol, TypeVar

from doorward.core.errors import Overloaded, StoreUnavailable
from doorward.core.histogram import DurationHistogram
from doorward.core.model import OWNERS, Origin, Session, SessionKind
from doorward.core.ports import NO_SESSION_POLICY, UNKNOWN_ORIGIN, Events, SessionPolicy, SessionStore
from doorward.storage.relational.database import Database, Row, Step

Result = TypeVar("Result")

Span = Callable[[str, str], AbstractContextManager[object]]
"""Given a store and what is done there, returns what surrounds the doing of it."""

# Longer than the pause of a client that is refused and tries again.
_MOMENT = 3.0

_LATE: Final = {"40001", "40P01", "55P03", "57014"}
"""SQLSTATE of statements that lost against others, or took too long."""

LOOK_UP, READ, WRITE = "look_up", "read", "write"
_KINDS = {SessionKind.USER: "user", SessionKind.TENANT: "tenant", SessionKind.KEY: "key"}


@dataclass(slots=True)
class StoreMeter:
    """The numbers of one store. `span`: for traces."""

    store: str
    span: Span | None = None
    durations: dict[str, DurationHistogram] = field(
        default_factory=lambda: {o: DurationHistogram() for o in (LOOK_UP, READ, WRITE)}
    )
    errors: int = 0

    async def time(self, operation: str, work: Awaitable[Result]) -> Result:
        """Await `work`, and count how long it took and whether the store was away."""
        began = perf_counter()
        try:
            if self.span is None:
                return await work
            with self.span(self.store, operation):
                return await work
        except StoreUnavailable:
            self.errors += 1
            raise
        finally:
            self.durations[operation].add(perf_counter() - began)


def _is_late(refusal: StoreUnavailable) -> bool:
    """Return whether a write only had no time: a tenant's large ones must not make the service unready for others."""
    cause = refusal.__cause__
    return isinstance(cause, (Overloaded, TimeoutError)) or getattr(cause, "sqlstate", None) in _LATE


class _FaultCounting(Protocol):
    """What a database does that is too fast to be watched each time: it counts its own faults."""

    faults: int


class InstrumentedDatabase:
    """A database (see the protocol) whose statements are timed."""

    def __init__(self, database: Database, meter: StoreMeter, fast: _FaultCounting | None = None) -> None:
        """Watch `database`; `fast` is the same one, if its look-ups are too fast to time each of them."""
        self.meter = meter
        self.noted = 0
        self._refused_at: float | None = None
        self._database = database
        self._fast = fast
        self.open = database.open
        self.close = database.close
        self.look_up = self._time_look_up
        if fast is not None and meter.span is None:
            self.look_up = database.look_up

    @property
    def refuses_writes(self) -> bool:
        """Whether the last write was refused, and that a moment ago."""
        return self._refused_at is not None and perf_counter() - self._refused_at < _MOMENT

    @property
    def errors(self) -> int:
        """How often the database could not answer."""
        return self.meter.errors + (self._fast.faults if self._fast else 0)

    def sample(self) -> None:
        """Time the next look-up."""
        self.look_up = self._time_look_up

    async def read(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """See `Database.read`."""
        return await self.meter.time(READ, self._database.read(statement, values))

    async def scan(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """See `Database.scan`."""
        return await self.meter.time(READ, self._database.scan(statement, values))

    async def write(self, *steps: Step) -> list[list[Row]]:
        """See `Database.write`."""
        try:
            results = await self.meter.time(WRITE, self._database.write(*steps))
        except StoreUnavailable as refusal:
            if not _is_late(refusal):
                self._refused_at = perf_counter()
            raise
        self._refused_at = None
        if len(results) == len(steps):
            self.noted += [step.statement for step in steps].count("add_entry")
        return results

    async def _time_look_up(self, statement: str, keys: Sequence[str]) -> list[Row]:
        if self._fast is None:
            return await self.meter.time(LOOK_UP, self._database.look_up(statement, keys))
        if self.meter.span is None:
            self.look_up = self._database.look_up
        faults = self._fast.faults
        try:
            return await self.meter.time(LOOK_UP, self._database.look_up(statement, keys))
        except StoreUnavailable:
            # Counted twice otherwise: the database has counted it too.
            self.meter.errors -= self._fast.faults - faults
            raise


class InstrumentedSessionStore:
    """Sessions (see the port), counted as they are opened and ended.

    `opened` counts by whose they are. `ended` counts by whose and by how: single sessions (`one`), and acts that end
    all of an owner's (`all`), of which nobody knows how many there were.
    """

    def __init__(self, sessions: SessionStore) -> None:
        """Watch `sessions`. What is asked for each verification is left as it is."""
        self.opened: Counter[str] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()
        self._sessions = sessions
        self.find = sessions.find
        self.find_pair = sessions.find_pair
        self.find_many = sessions.find_many
        self.list_user = sessions.list_user
        self.rotate = sessions.rotate
        self.touch = sessions.touch
        self.claim = sessions.claim
        self.set_policy = sessions.set_policy
        self.erase_users = sessions.erase_users
        self.sweep = sessions.sweep

    async def open(
        self,
        session: Session,
        *,
        cap: int | None,
        policy: SessionPolicy = NO_SESSION_POLICY,
        origin: Origin = UNKNOWN_ORIGIN,
        events: Events = (),
    ) -> None:
        """See `Sessions.open`."""
        await self._sessions.open(session, cap=cap, policy=policy, origin=origin, events=events)
        self.opened[_owner_kind(session)] += 1

    async def open_many(self, sessions: Sequence[Session]) -> None:
        """See `Sessions.open_many`."""
        await self._sessions.open_many(sessions)
        self.opened.update(map(_owner_kind, sessions))

    async def revoke(self, session: Session, *, events: Events = ()) -> bool:
        """See `Sessions.close`."""
        closed = await self._sessions.revoke(session, events=events)
        self.ended[_owner_kind(session), "one"] += closed
        return closed

    async def revoke_user(
        self, tenant_id: str, user_id: str, *, keep: Session | None = None, events: Events = ()
    ) -> None:
        """See `Sessions.end_user`."""
        await self._sessions.revoke_user(tenant_id, user_id, keep=keep, events=events)
        self.ended["user", "all"] += 1

    async def revoke_tenant(self, tenant_id: str, *, keep: Session | None = None, events: Events = ()) -> None:
        """See `Sessions.end_tenant`."""
        await self._sessions.revoke_tenant(tenant_id, keep=keep, events=events)
        self.ended["tenant", "all"] += 1

    async def revoke_users_of(self, tenant_id: str, *, events: Events = ()) -> None:
        """See `Sessions.end_users_of`."""
        await self._sessions.revoke_users_of(tenant_id, events=events)
        self.ended["user", "all"] += 1

    async def revoke_keys(self, tenant_id: str, *, events: Events = ()) -> None:
        """See `Sessions.end_keys`."""
        await self._sessions.revoke_keys(tenant_id, events=events)
        self.ended["key", "all"] += 1


def _owner_kind(session: Session) -> str:
    return _KINDS[OWNERS[SessionKind(session.kind)]]


def nothing_is_pooled() -> tuple[int, int]:
    """Return how many connections of a pool are in use, and how many there may be, where there is no pool."""
    return 0, 0


@dataclass(slots=True)
class StoreMetrics:
    """What is counted at the stores of one process."""

    database: InstrumentedDatabase
    sessions: InstrumentedSessionStore
    pool: Callable[[], tuple[int, int]] = nothing_is_pooled
    others: tuple[StoreMeter, ...] = ()

    @property
    def meters(self) -> dict[str, tuple[dict[str, DurationHistogram], int]]:
        """By store: durations by operation, and how often it could not answer."""
        found = {self.database.meter.store: (self.database.meter.durations, self.database.errors)}
        return found | {meter.store: (meter.durations, meter.errors) for meter in self.others}
