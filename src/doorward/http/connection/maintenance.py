"""Connections of the maintenance listener, which requires a client certificate; its clients may register tenants."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from doorward.http.connection.protocol import DoorwardProtocol

log = logging.getLogger(__name__)

MAINTENANCE = "maintenance"
"""Key in the state of requests that came over the maintenance listener."""


class MaintenanceProtocol(DoorwardProtocol):
    """Connection of a client whose certificate was verified; its common name has to be an accepted one."""

    def __init__(self, accepted: frozenset[str], *, app_state: dict[str, Any], **kwargs: Any) -> None:
        """Take uvicorn's arguments, and the common names that are accepted."""
        super().__init__(app_state={**app_state, MAINTENANCE: True}, **kwargs)
        self._accepted = accepted

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or abort it without a response."""
        super().connection_made(transport)
        names = common_names(transport.get_extra_info("peercert"))
        if self._accepted.isdisjoint(names):
            log.warning(
                "client certificate rejected: its common name is not in MAINTAIN_TLS_CA_CN",
                extra={"common_names": sorted(names)},
            )
            self._closing = True
            transport.abort()


def common_names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the common names of a verified certificate's subject; `certificate` is from `SSLSocket.getpeercert`."""
    subject = (certificate or {}).get("subject", ())
    return frozenset(value for part in subject for name, value in part if name == "commonName")
