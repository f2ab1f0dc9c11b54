"""Client addresses: forwarding headers of trusted proxies, membership in address lists, rate-limit keys.

An unknown address is treated as the less trusted one: it is in no address list, and never counts as the proxy's.
"""

import ipaddress
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from doorward.observability.log_limit import LogLimit

log = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNKNOWN = "unknown"
"""The text in logs and audit entries for a client whose address could not be determined."""

FORWARDING_HEADERS = frozenset(
    {
        b"cdn-loop",
        b"cf-connecting-ip",
        b"cf-connecting-ipv6",
        b"cf-pseudo-ipv4",
        b"client-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"forwarded",
        b"forwarded-for",
        b"forwarded-for-ip",
        b"proxy-client-ip",
        b"true-client-ip",
        b"via",
        b"wl-proxy-client-ip",
        b"x-appengine-remote-addr",
        b"x-appengine-user-ip",
        b"x-azure-clientip",
        b"x-azure-socketip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-envoy-external-address",
        b"x-forwarded",
        b"x-forwarded-by",
        b"x-forwarded-client-cert",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-nf-client-connection-ip",
        b"x-original-forwarded-for",
        b"x-original-host",
        b"x-originating-ip",
        b"x-proxyuser-ip",
        b"x-real-ip",
        b"x-remote-addr",
        b"x-remote-ip",
    }
)
"""Headers that a proxy adds to a request on its way (RFC 7239, RFC 9110 section 7.6.3, and the common unregistered
ones). None of them is sent by an ordinary client, so each of them reveals a proxy."""

_FORWARDED_FOR = b"x-forwarded-for"
# "[" + the longest IPv6 address (45 characters) + "]:65535" in quotes, with some margin.
_LONGEST_HOP = 64
_PORT = re.compile(r"[0-9]{1,5}")
_HIGHEST_PORT = 65535


class ClientAddress(NamedTuple):
    """The client of a request.

    `text` is for logs and audit entries, `rate_limit_key` names the budget of requests that the client shares with its
    network. `listable` is the address that address lists are compared with, None where no list may contain the
    client.
    """

    text: str
    rate_limit_key: str
    listable: Address | None


@dataclass(frozen=True, slots=True)
class Proxies:
    """Trusted proxies, whose `X-Forwarded-For` determines the client's address.

    Of the other forwarding headers only their presence counts: a proxy that does not write one of them passes on what
    its client sent.
    """

    trusted: tuple[Network, ...] = ()
    log_limit: LogLimit = field(default_factory=LogLimit)

    def client(self, peer: str, headers: Mapping[bytes, bytes]) -> ClientAddress:
        """Return the client of a request from `peer`; log a warning, rarely, where the proxy is misconfigured."""
        client = self.resolve(peer, headers)
        if client.listable is None:
            self._warn(peer, headers, known=client.text != UNKNOWN)
        return client

    def resolve(self, peer: str, headers: Mapping[bytes, bytes]) -> ClientAddress:
        """Return the client of a request from `peer`, the address of the socket.

        From a trusted proxy it is the rightmost address in `X-Forwarded-For` that is not a trusted proxy's. It is
        unknown where an address before that cannot be parsed, where there is none, and where it is a loopback address:
        that names a process of the proxy's machine, behind which any client may be.

        A peer that is not a trusted proxy is the client itself. Where it sends a forwarding header, it may be a proxy
        that is not configured: its address still names it in logs and budgets, but is in no address list.
        """
        address = parse_address(peer)
        if address is None:
            return _unknown(peer)
        if _contains(self.trusted, address):
            return self._forwarded(headers.get(_FORWARDED_FOR, b"").decode("latin-1")) or _unknown(str(address))
        listable = address if FORWARDING_HEADERS.isdisjoint(headers) else None
        return ClientAddress(str(address), _rate_limit_key(address), listable)

    def is_trusted(self, peer: str) -> bool:
        """Return whether `peer`, the address of a socket, is a trusted proxy's."""
        address = parse_address(peer)
        return address is not None and _contains(self.trusted, address)

    def _forwarded(self, hops: str) -> ClientAddress | None:
        for hop in reversed(hops.split(",")):
            address = parse_address(hop.strip(" \t"))
            if address is None:
                return None
            if not _contains(self.trusted, address):
                return None if address.is_loopback else ClientAddress(str(address), _rate_limit_key(address), address)
        return None

    def _warn(self, peer: str, headers: Mapping[bytes, bytes], *, known: bool) -> None:
        if known:
            present = sorted(name.decode() for name in FORWARDING_HEADERS.intersection(headers))
            if self.log_limit.permits("untrusted"):
                log.warning(
                    "forwarding header from a peer that is not in TRUSTED_PROXIES: its requests match no address list; "
                    "add the peer to TRUSTED_PROXIES if it is your proxy",
                    extra={"peer": peer, "header": ", ".join(present)},
                )
        elif any(not network.prefixlen for network in self.trusted):
            if self.log_limit.permits("all trusted"):
                log.warning(
                    "client address unknown: TRUSTED_PROXIES contains every address, so that each client counts as a "
                    "proxy; list only the addresses of your proxies",
                    extra={"peer": peer},
                )
        elif self.log_limit.permits("unreadable"):
            log.warning(
                "client address unknown: a peer in TRUSTED_PROXIES sent no readable client address; "
                "let the proxy set X-Forwarded-For to the address of its client",
                extra={"peer": peer, "header": "x-forwarded-for"},
            )


@lru_cache(maxsize=4096)
def _parse_ip(text: str) -> Address | None:
    # A zone (fe80::1%eth0) has a meaning on one machine only.
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def parse_address(text: str) -> Address | None:
    """Return the IP address in `text`, None where there is none. An IPv4-mapped IPv6 address is the IPv4 address.

    Forms: `192.0.2.1`, `192.0.2.1:port`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:port`, each in double quotes or
    without.
    """
    if len(text) > _LONGEST_HOP:
        return None
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if text.startswith("["):
        text, closed, port = text[1:].partition("]")
        if not closed or ":" not in text or (port and not (port[0] == ":" and _is_port(port[1:]))):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(port):
            return None
    return _parse_ip(text)


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= _HIGHEST_PORT


def _contains(networks: Sequence[Network], address: Address) -> bool:
    return any(address in network for network in networks)


def _unknown(peer: str) -> ClientAddress:
    return ClientAddress(UNKNOWN, f"{UNKNOWN}:{peer}", None)


def peer_key(peer: str) -> str:
    """Return the name under which connections from `peer`, the address of a socket, are counted."""
    address = parse_address(peer)
    return peer if address is None else _rate_limit_key(address)


def in_networks(client: ClientAddress, networks: Sequence[Network]) -> bool:
    """Return whether a client is in an address list; in one that is open to all, every client is."""
    if open_to_all(networks):
        return True
    return client.listable is not None and _contains(networks, client.listable)


def open_to_all(networks: Sequence[Network]) -> bool:
    """Return whether an address list contains every address of both versions, as `*` does."""
    return {network.version for network in networks if network.prefixlen == 0} == {4, 6}


def _rate_limit_key(address: Address) -> str:
    """Return the address, or its /64 for IPv6, which providers assign to one customer."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)
