"""The maintenance listener: who shows a certificate of the right name may do what addresses may not."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from doorward.http.connection.protocol import DoorwardProtocol

log = logging.getLogger(__name__)

MAINTENANCE = "maintenance"
"""The name in a request's state that says over which listener it came."""


class MaintenanceProtocol(DoorwardProtocol):
    """One connection of somebody whose certificate was verified, and has one of the names that are accepted."""

    def __init__(self, accepted: frozenset[str], *, app_state: dict[str, Any], **given: Any) -> None:
        """Take what uvicorn gives, and the common names that are let in."""
        super().__init__(app_state={**app_state, MAINTENANCE: True}, **given)
        self._accepted = accepted

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or cut it off: who is not let in is told nothing."""
        super().connection_made(transport)
        names = common_names(transport.get_extra_info("peercert"))
        if self._accepted.isdisjoint(names):
            log.warning("a certificate was refused", extra={"common_names": sorted(names)})
            self._closing = True
            transport.abort()


def common_names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the common names of the subject of a verified certificate, as `SSLSocket.getpeercert` gives it."""
    subject = (certificate or {}).get("subject", ())
    return frozenset(value for part in subject for name, value in part if name == "commonName")
