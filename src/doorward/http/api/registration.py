"""Registration of tenants: permission by client address, with protection against DNS rebinding."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from doorward.http.client_address import Address, Network, in_networks, open_to_all, parse_address
from doorward.http.errors import Forbidden
from doorward.http.request import Request
from doorward.observability.log_limit import LogLimit

log = logging.getLogger(__name__)

_LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True)
class RegistrationPolicy:
    """Clients that may register tenants: those in `networks`, and all of the maintenance listener.

    `any_host`: `ALLOWED_HOSTS` is unset. Then a web page could resolve its own name to this machine and let a visitor's
    browser register a tenant from an address in the list. The `Host` header reveals that: it names the page's host.
    """

    networks: tuple[Network, ...]
    any_host: bool = True
    log_limit: LogLimit = field(default_factory=LogLimit)

    def check(self, request: Request) -> None:
        """Return if the client may register a tenant; otherwise raise Forbidden and log the reason, rarely."""
        if request.is_maintenance or open_to_all(self.networks):
            return
        client = request.client_address
        if client.listable is None:
            self._refuse(
                request,
                "registration refused: the client's address is in doubt, so it is not in TENANT_WHITE_LIST; "
                "check TRUSTED_PROXIES",
            )
        elif not in_networks(client, self.networks):
            self._refuse(request, "registration refused: the client's address is not in TENANT_WHITE_LIST")
        elif self.any_host and not _is_own_host(request.headers, client.listable):
            self._refuse(
                request,
                "registration refused: Host does not name this machine (DNS rebinding); "
                "list the names of the service in ALLOWED_HOSTS",
            )

    def _refuse(self, request: Request, reason: str) -> NoReturn:
        if self.log_limit.permits(reason):
            log.warning(
                reason, extra={"address": request.address, "peer": request.peer, "request_id": request.request_id}
            )
        raise Forbidden


def _is_own_host(headers: Mapping[bytes, bytes], client: Address) -> bool:
    """Return whether a request from this address is addressed to a host that no web page can claim.

    From loopback, that is loopback. From elsewhere it is any IP address; programs other than browsers, which send no
    `Origin` of the same host, may use names.
    """
    host = headers.get(b"host", b"")
    address = _host_address(host.decode("latin-1").lower())
    if client.is_loopback:
        return address is not None and address.is_loopback
    return address is not None or not headers.get(b"origin", b"").endswith(b"://%b" % host)


def _host_address(host: str) -> Address | None:
    name, _, port = host.partition(":")
    return parse_address(f"127.0.0.1:{port}" if port else "127.0.0.1") if name == _LOCALHOST else parse_address(host)
