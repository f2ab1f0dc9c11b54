"""Whose word on the client's address is believed, and who shares a budget."""

import ipaddress

import pytest

from doorward.http.client_address import Proxies, listed, neighbourhood

TRUSTED = Proxies(
    (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"), ipaddress.ip_network("192.0.2.1"))
)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "  203.0.113.9  ", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7,203.0.113.9,10.9.9.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.9.9.9, fd00::1, 192.0.2.1", "203.0.113.9"),
        ("10.0.0.1", "garbage, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, garbage", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, garbage, 10.9.9.9", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9:1234", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::1]", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9,", "10.0.0.1"),
        ("10.0.0.1", ",", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "0177.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9/32", "10.0.0.1"),
        ("10.0.0.1", "\xe9", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.1"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, ::ffff:10.1.1.1", "203.0.113.9"),
        ("fd00::7", "2001:db8::5", "2001:db8::5"),
        ("203.0.113.1", "198.51.100.7", "203.0.113.1"),
        ("11.0.0.1", "198.51.100.7", "11.0.0.1"),
        ("", "198.51.100.7", ""),
    ],
)
def test_BF7_the_client_is_the_rightmost_address_that_is_no_trusted_proxy(
    peer: str, forwarded: str | None, client: str
) -> None:
    headers = {} if forwarded is None else {b"x-forwarded-for": forwarded.encode("latin-1")}
    assert TRUSTED.client(peer, headers) == client
    assert Proxies().client(peer, headers) == peer


@pytest.mark.parametrize(
    ("one", "another", "together"),
    [
        ("203.0.113.9", "203.0.113.9", True),
        ("203.0.113.9", "203.0.113.8", False),
        ("203.0.113.9", "::ffff:203.0.113.9", True),
        ("::ffff:203.0.113.9", "::ffff:203.0.113.8", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:0DB8:0:0:ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("2001:db8::1", "2001:db9::1", False),
        ("::1", "127.0.0.1", False),
    ],
)
def test_BF8_one_customer_of_IPv6_is_one_neighbour(one: str, another: str, *, together: bool) -> None:
    assert (neighbourhood(one) == neighbourhood(another)) == together


def test_BF8_a_mapped_address_is_in_the_network_of_what_it_maps() -> None:
    networks = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")]
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "2001:db8::5"):
        assert listed(address, networks)
    for address in ("::1", "128.0.0.1", "", "garbage", "::ffff:128.0.0.1"):
        assert not listed(address, networks)
