"""Metrics and spans of stores: durations, errors, opened and revoked sessions, audit entries.

The figures are plain numbers that `observability/metrics.py` reads. Timing every look-up on SQLite would slow down
verifications, so only the look-up after each call of `sample` is timed.
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
"""Takes a store and an operation, returns the context manager of its span."""

# Longer than a client waits before it retries a rejected request.
_REFUSAL_SECONDS = 3.0

_TIMEOUT_STATES: Final = {"40001", "40P01", "55P03", "57014"}
"""SQLSTATE of statements that lost a conflict, or took too long."""

LOOK_UP, READ, WRITE = "look_up", "read", "write"
_KINDS = {SessionKind.USER: "user", SessionKind.TENANT: "tenant", SessionKind.KEY: "key"}


@dataclass(slots=True)
class StoreMeter:
    """Durations and errors of one store. `span` makes spans if traces are enabled."""

    store: str
    span: Span | None = None
    durations: dict[str, DurationHistogram] = field(
        default_factory=lambda: {o: DurationHistogram() for o in (LOOK_UP, READ, WRITE)}
    )
    errors: int = 0

    async def time(self, operation: str, work: Awaitable[Result]) -> Result:
        """Await `work`, record its duration, and count StoreUnavailable."""
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


def _is_timeout(refusal: StoreUnavailable) -> bool:
    """Return whether a write failed for lack of time. Large writes of a tenant must not make the service unready."""
    cause = refusal.__cause__
    return isinstance(cause, (Overloaded, TimeoutError)) or getattr(cause, "sqlstate", None) in _TIMEOUT_STATES


class _FaultCounter(Protocol):
    """Database that counts the errors of its look-ups itself, since they are too fast to be timed."""

    faults: int


class InstrumentedDatabase:
    """`Database` whose statements are timed."""

    def __init__(self, database: Database, meter: StoreMeter, fast: _FaultCounter | None = None) -> None:
        """Wrap `database`. `fast` is the same object if its look-ups are too fast to time each of them."""
        self.meter = meter
        self.audit_entries = 0
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
        """True if the last write failed a few seconds ago at most."""
        return self._refused_at is not None and perf_counter() - self._refused_at < _REFUSAL_SECONDS

    @property
    def errors(self) -> int:
        """Number of statements that failed."""
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
            if not _is_timeout(refusal):
                self._refused_at = perf_counter()
            raise
        self._refused_at = None
        if len(results) == len(steps):
            self.audit_entries += [step.statement for step in steps].count("add_entry")
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
            # The database has counted this error too.
            self.meter.errors -= self._fast.faults - faults
            raise


class InstrumentedSessionStore:
    """`SessionStore` that counts opened and revoked sessions.

    `opened` counts sessions by kind of owner. `revoked` counts revocations by kind of owner and scope: of one session
    (`one`), and of all sessions of an owner (`all`), whose number is unknown.
    """

    def __init__(self, sessions: SessionStore) -> None:
        """Wrap `sessions`. Methods that count nothing are passed on without a wrapper."""
        self.opened: Counter[str] = Counter()
        self.revoked: Counter[tuple[str, str]] = Counter()
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
        """See `SessionStore.open`."""
        await self._sessions.open(session, cap=cap, policy=policy, origin=origin, events=events)
        self.opened[_owner_kind(session)] += 1

    async def open_many(self, sessions: Sequence[Session]) -> None:
        """See `SessionStore.open_many`."""
        await self._sessions.open_many(sessions)
        self.opened.update(map(_owner_kind, sessions))

    async def revoke(self, session: Session, *, events: Events = ()) -> bool:
        """See `SessionStore.revoke`."""
        closed = await self._sessions.revoke(session, events=events)
        self.revoked[_owner_kind(session), "one"] += closed
        return closed

    async def revoke_user(
        self, tenant_id: str, user_id: str, *, keep: Session | None = None, events: Events = ()
    ) -> None:
        """See `SessionStore.revoke_user`."""
        await self._sessions.revoke_user(tenant_id, user_id, keep=keep, events=events)
        self.revoked["user", "all"] += 1

    async def revoke_tenant(self, tenant_id: str, *, keep: Session | None = None, events: Events = ()) -> None:
        """See `SessionStore.revoke_tenant`."""
        await self._sessions.revoke_tenant(tenant_id, keep=keep, events=events)
        self.revoked["tenant", "all"] += 1

    async def revoke_users_of(self, tenant_id: str, *, events: Events = ()) -> None:
        """See `SessionStore.revoke_users_of`."""
        await self._sessions.revoke_users_of(tenant_id, events=events)
        self.revoked["user", "all"] += 1

    async def revoke_keys(self, tenant_id: str, *, events: Events = ()) -> None:
        """See `SessionStore.revoke_keys`."""
        await self._sessions.revoke_keys(tenant_id, events=events)
        self.revoked["key", "all"] += 1


def _owner_kind(session: Session) -> str:
    return _KINDS[OWNERS[SessionKind(session.kind)]]


def no_pool() -> tuple[int, int]:
    """Return connections in use and size of the pool of a store without one."""
    return 0, 0


@dataclass(slots=True)
class StoreMetrics:
    """Metrics of the stores of one process."""

    database: InstrumentedDatabase
    sessions: InstrumentedSessionStore
    pool: Callable[[], tuple[int, int]] = no_pool
    others: tuple[StoreMeter, ...] = ()

    @property
    def meters(self) -> dict[str, tuple[dict[str, DurationHistogram], int]]:
        """Durations by operation, and number of errors, of each store."""
        found = {self.database.meter.store: (self.database.meter.durations, self.database.errors)}
        return found | {meter.store: (meter.durations, meter.errors) for meter in self.others}
