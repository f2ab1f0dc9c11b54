"""Where tests reach into a running service: to count what it did, or to break what only breaks by accident."""

import asyncio
from typing import Any, cast

from doorward.core.ports import Claimed
from doorward.http.protocol import DoorwardProtocol
from doorward.http.services import Services
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
    return [cast("DoorwardProtocol", known) for known in service._server.server_state.connections]


class DistantSessions:
    """The real store of sessions, further away: every look-up takes `seconds` longer, as over a slow network."""

    def __init__(self, real: Any, seconds: float) -> None:
        self._real = real
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def find(self, tenant: Claimed) -> Any:
        await asyncio.sleep(self._seconds)
        return await self._real.find(tenant)

    async def find_pair(self, tenant: Claimed, user: Claimed) -> Any:
        await asyncio.sleep(self._seconds)
        return await self._real.find_pair(tenant, user)


def move_sessions_away(service: Service, seconds: float) -> None:
    """Let every look-up of a session take `seconds` longer."""
    door = services(service).sessions
    put(door, "sessions", DistantSessions(door.sessions, seconds))
