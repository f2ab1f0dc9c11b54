"""Access to the internals of a running service, to count and to inject faults."""

import asyncio
import itertools
import threading
from collections.abc import Collection, Coroutine
from typing import Any, cast

from doorward.core.errors import Overloaded
from doorward.core.model import Session
from doorward.core.ports import SessionRef
from doorward.http.api.services import Services
from doorward.http.connection.protocol import DoorwardProtocol
from doorward.storage.relational.database import Step
from harness import Service


def services(service: Service) -> Services:
    """Return the use cases that a running service answers with."""
    return cast("Services", service.app._app.routes[0].app._services)


def put(owner: object, name: str, value: object) -> None:
    """Replace a part of something that is frozen."""
    object.__setattr__(owner, name, value)


def connections(service: Service) -> list[DoorwardProtocol]:
    """Return the open connections."""
    assert service._server
    # A copy, which is one step, since the service changes the set in a thread of its own.
    return [cast("DoorwardProtocol", known) for known in service._server.server_state.connections.copy()]


class DistantSessions:
    """The real store of sessions, further away: every look-up takes `seconds` longer, as over a slow network."""

    def __init__(self, real: Any, seconds: float) -> None:
        self._real = real
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def find(self, tenant: SessionRef) -> Any:
        await asyncio.sleep(self._seconds)
        return await self._real.find(tenant)

    async def find_pair(self, tenant: SessionRef, user: SessionRef) -> Any:
        await asyncio.sleep(self._seconds)
        return await self._real.find_pair(tenant, user)


def move_sessions_away(service: Service, seconds: float) -> None:
    """Let every look-up of a session take `seconds` longer."""
    sessions = services(service).sessions
    put(sessions, "session_store", DistantSessions(sessions.session_store, seconds))


class StaggeredPolicies:
    """The real store of sessions, which lets every other policy wait a moment before it counts."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self._waits = itertools.cycle([0.05, 0])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def set_policy(self, tenant_id: str, policy: Any) -> None:
        await asyncio.sleep(next(self._waits))
        await self._real.set_policy(tenant_id, policy)


def stagger_policies(service: Service) -> None:
    """Let policies that are demanded apart from their tenant's change overtake one another."""
    sessions, accounts = services(service).sessions, cast("Any", services(service).tenants.accounts)
    put(sessions, "session_store", StaggeredPolicies(sessions.session_store))
    if accounts._session_store is not None:
        put(accounts, "_session_store", StaggeredPolicies(accounts._session_store))


class EndedMeanwhile:
    """The real store of sessions, in which a session ends just before it is rotated."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def rotate(self, session: Session, now: int) -> Any:
        assert await self._real.revoke(session)
        return await self._real.rotate(session, now)


def end_sessions_before_they_are_rotated(service: Service) -> None:
    """Let every refresh find that its session has ended after the token was checked."""
    sessions = services(service).sessions
    put(sessions, "session_store", EndedMeanwhile(sessions.session_store))


class GatedPasswords:
    """The real passwords, whose comparisons keep what they found to themselves until a gate is opened."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.found = threading.Event()
        self.opened = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def verify(self, *given: Any, **more: Any) -> Any:
        proof = await self._real.verify(*given, **more)
        self.found.set()
        await asyncio.to_thread(self.opened.wait, 20)
        return proof


def gate_logins(service: Service) -> GatedPasswords:
    """Let every login, and nothing else, stop between comparing its password and believing it."""
    login = services(service).login.password
    gated = GatedPasswords(login.passwords)
    put(login, "passwords", gated)
    return gated


class OverloadedPasswords:
    """The real passwords, of which none is hashed: who asks is held until a gate is opened, and is refused then."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.asked = threading.Event()
        self.opened = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def hash(self, password: str, *, group: str) -> str:  # noqa: ARG002 - as the real one
        self.asked.set()
        await asyncio.to_thread(self.opened.wait, 20)
        raise Overloaded(retry_after=1)


class GatedDatabase:
    """The real database, which holds back writes with one of some statements until a gate is opened."""

    def __init__(self, real: Any, statements: Collection[str]) -> None:
        self._real = real
        self._statements = statements
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def write(self, *steps: Step) -> Any:
        if any(step.statement in self._statements for step in steps):
            self.reached.set()
            await asyncio.to_thread(self.opened.wait, 20)
        return await self._real.write(*steps)


def gate_writes(service: Service, *statements: str) -> GatedDatabase:
    """Hold back every change of an account by one of these statements just before it is written."""
    accounts: Any = services(service).users.accounts
    gated = accounts._db = GatedDatabase(accounts._db, statements)
    return gated


class HeldHasher:
    """The real hasher, which notes whose turn it is, and holds every comparison until it is released."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.order: list[str] = []
        self.released = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def compare(self, password: str, against: Any) -> Any:
        self.order.append(password)
        assert self.released.wait(20)
        return self._real.compare(password, against)


def carry_out(service: Service, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a use case where the service runs: what an operator does and no request can."""
    loop = connections(service)[0].loop
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)
