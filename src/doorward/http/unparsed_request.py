"""Requests that were answered before they were parsed, as the access log shows them."""

from typing import NamedTuple

from doorward.http.client_address import Proxies
from doorward.http.headers import Headers, headers_by_name


class UnparsedRequest(NamedTuple):
    """The sender of a request that was answered before anybody looked at what it asks.

    `headers` are those that had arrived by then, `peer` is the socket's address.
    """

    request_id: str = ""
    peer: str = ""
    headers: Headers = ()
    proxies: Proxies = Proxies()
    tenant_id: str = ""

    @property
    def address(self) -> str:
        """The client's address."""
        return self.proxies.resolve(self.peer, headers_by_name(self.headers)).text
