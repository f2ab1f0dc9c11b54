"""Parsers of setting values: each raises ValueError with a description of valid values."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

EVERY_ADDRESS = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
POSTGRESQL = ("postgresql://", "postgres://")
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

# The prefix of IPv4-mapped IPv6 addresses (RFC 4291, section 2.5.5.2) is ::ffff:0:0/96.
_MAPPED_BITS = 96

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# SQLite's names for a temporary or in-memory database, which exists for one connection only.
_NO_FILE = {"sqlite:///", "sqlite:///:memory:"}
# The words of backend-auth for a switch.
_SWITCH = {"enabled": "on", "disabled": "off"}


def text(value: str) -> str:
    """Return the text unchanged."""
    return value


def host(value: str) -> str:
    """Parse an address to listen on; `*` is rejected, since its meaning differs between libraries."""
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", value):
        raise ValueError("an address or a host name; 0.0.0.0 is every IPv4 address, :: every IPv6 address")
    return value


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers within these bounds."""

    def read(value: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", value) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return read


def optional_port(value: str) -> int | None:
    """Parse a port; None for `off`."""
    if value.lower() in {"", "off"}:
        return None
    try:
        return whole(0, 65535)(value)
    except ValueError:
        raise ValueError("a whole number from 0 to 65535, or off") from None


def lifetime(value: str) -> int:
    """Parse a duration into seconds."""
    match = re.fullmatch(r"([0-9]{1,10})([smhd]?)", value)
    seconds = int(match[1]) * _UNITS[match[2] or "s"] if match else 0
    if not 0 < seconds <= 3650 * _UNITS["d"]:
        raise ValueError("a number of seconds, or one with a unit such as 15m, 12h or 30d, up to 3650d")
    return seconds


def optional_lifetime(value: str) -> int | None:
    """Parse a duration into seconds; None for no limit."""
    return None if value.lower() in {"", "0", "off", "none"} else lifetime(value)


def choice(*options: str) -> Callable[[str], str]:
    """Return a parser of these words, in any case."""

    def read(value: str) -> str:
        word = value.lower()
        if word not in options:
            raise ValueError(f"one of {', '.join(options)}")
        return word

    return read


def switch(value: str) -> str:
    """Parse `on` or `off`, or `enabled` or `disabled` as in backend-auth."""
    return choice("on", "off")(_SWITCH.get(value.lower(), value))


def _items(value: str) -> list[str]:
    # backend-auth removed quotes from the items of its white lists.
    found = [item for part in value.split(",") if (item := part.strip(" \t\r\n\"'"))]
    if value and not found:
        # An empty list means "any" for some settings, so it must not come from a stray comma.
        raise ValueError("a list with at least one item, or left out")
    return found


def names(value: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(_items(value))


def networks(value: str) -> tuple[Network, ...]:
    """Parse addresses and networks; `none` is the empty list, since an empty setting means its default."""
    if value.lower() == "none":
        return ()
    found: list[Network] = []
    for number, item in enumerate(_items(value), 1):
        if item == "*":
            found += EVERY_ADDRESS
            continue
        try:
            found.append(_unmapped(ipaddress.ip_network(item, strict=False)))
        except ValueError:
            raise ValueError(
                f"addresses or networks (CIDR) separated by commas, * for any, or none; item {number} is none of these"
            ) from None
    return tuple(found)


def loose_networks(value: str) -> Iterator[tuple[int, Network]]:
    """Yield the number and the network of items in a text of `networks` with address bits beyond the prefix."""
    for number, item in enumerate(_items(value), 1):
        try:
            ipaddress.ip_network(item)
        except ValueError:
            with suppress(ValueError):
                yield number, _unmapped(ipaddress.ip_network(item, strict=False))


def has_every_address(networks: Sequence[Network]) -> bool:
    """Return whether a list contains every address of a version of IP, as `*` does."""
    return any(not network.prefixlen for network in networks)


def _unmapped(network: Network) -> Network:
    """Return the IPv4 network of IPv4-mapped IPv6 addresses, since that is how addresses are compared."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return ipaddress.ip_network((mapped, network.prefixlen - _MAPPED_BITS))


def origins(value: str) -> tuple[str, ...]:
    """Read the origins of browsers (RFC 6454), as browsers send them."""
    items = tuple(_items(value))
    for number, item in enumerate(items, 1):
        if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", item):
            raise ValueError(
                f"origins such as https://app.example.org separated by commas; * is not one, nor is item {number}"
            )
    return tuple(origin_of(item) for item in items)


def origin_of(url: str) -> str:
    """Return the origin of a URL as browsers send it (RFC 6454, section 6.2): lower case, without a default port."""
    scheme, _, rest = url.lower().partition("://")
    return f"{scheme}://{rest.partition('/')[0].removesuffix(_DEFAULT_PORTS[scheme])}"


def url(value: str) -> str:
    """Parse the URL of the service, and remove a slash at its end."""
    if value and not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~/-]*)?", value):
        raise ValueError("a URL such as https://auth.example.org")
    return value.rstrip("/")


def cookie_name(value: str) -> str:
    """Parse the name of a cookie."""
    if value and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise ValueError("a cookie's name: letters, digits, - and _")
    return value


def hosts(value: str) -> tuple[str, ...]:
    """Parse host names, in lower case."""
    return tuple(item.lower() for item in _items(value))


def budget(max_rate: int) -> Callable[[str], tuple[int, int]]:
    """Return a parser of a rate of up to `max_rate` per second and a burst; 0 and 0 for `off`."""

    def read(value: str) -> tuple[int, int]:
        if value.lower() == "off":
            return 0, 0
        match = re.fullmatch(r"([0-9]{1,6})(?::([0-9]{1,7}))?", value)
        rate, burst = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 0 < rate <= max_rate or not burst:
            raise ValueError(
                f"rate:burst, a rate from 1 to {max_rate} a second and a burst from 1 to 9999999, such as 50:100, "
                "or off"
            )
        return rate, burst

    return read


def database(value: str) -> str:
    """Parse the URL of the database."""
    if value and (not value.startswith(("sqlite:///", *POSTGRESQL)) or value in _NO_FILE):
        raise ValueError("sqlite:///path/to/file.db or postgresql://user:password@host:port/database")
    return value


def redis(value: str) -> str:
    """Parse the URL of the session store."""
    if value and not value.startswith(("redis://", "rediss://")):
        raise ValueError("redis://user:password@host:port, or rediss://… for TLS")
    return value
