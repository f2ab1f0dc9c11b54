"""Client addresses: forwarding headers of trusted proxies, membership in address lists, rate-limit keys."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Proxies:
    """Whose word on the client's address is believed."""

    trusted: tuple[Network, ...] = ()

    def client(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """Return the client's address: the rightmost one in X-Forwarded-For that is not a trusted proxy's.

        Without trusted proxies, or where anything in the header is no address, it is the peer's.
        """
        if not self.trusted or not _inside(peer, self.trusted):
            return peer
        for hop in reversed(headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")):
            address = hop.strip()
            if _parse_address(address) is None:
                return peer
            if not _inside(address, self.trusted):
                return address
        return peer


@lru_cache(maxsize=4096)
def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _inside(text: str, networks: Sequence[Network]) -> bool:
    address = _parse_address(text)
    return address is not None and any(address in network for network in networks)


def listed(address: str, networks: Sequence[Network]) -> bool:
    """Tell whether an address lies in one of the networks; an IPv4-mapped IPv6 address is the IPv4 one."""
    return _inside(address, networks)


def neighbourhood(address: str) -> str:
    """Return what shares a budget with an address: itself, or its /64 for IPv6, which one customer gets as a whole."""
    parsed = _parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed or address)
