"""Client addresses: forwarding headers, spellings, rate-limit keys."""

import ipaddress
import logging

import pytest

from doorward.http.client_address import (
    FORWARDING_HEADERS,
    UNKNOWN,
    ClientAddress,
    Proxies,
    in_networks,
    parse_address,
)
from doorward.settings.values import EVERY_ADDRESS, networks

TRUSTED = Proxies(
    (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"), ipaddress.ip_network("192.0.2.1"))
)
EVERYWHERE = (ipaddress.ip_network("0.0.0.0/1"), ipaddress.ip_network("128.0.0.0/1"), ipaddress.ip_network("::/0"))
"""Every address; unlike `*` it does not say that the list is open to all."""


def forwarded(hops: str | None) -> dict[bytes, bytes]:
    return {} if hops is None else {b"x-forwarded-for": hops.encode("latin-1")}


SPELLINGS = {
    "203.0.113.9": [
        *("203.0.113.9", "203.0.113.9:51234", "203.0.113.9:0", "203.0.113.9:65535", '"203.0.113.9"'),
        *('"203.0.113.9:51234"', "::ffff:203.0.113.9", "[::ffff:203.0.113.9]:443", '"[::ffff:cb00:7109]"'),
    ],
    "2001:db8::5": [
        *("2001:db8::5", "2001:DB8:0:0:0:0:0:5", "[2001:db8::5]", "[2001:db8::5]:443", '"[2001:db8::5]"'),
        *('"[2001:db8::5]:443"', '"2001:db8::5"'),
    ],
    "2001:db8::5:443": ["2001:db8::5:443"],
}
UNREADABLE = [
    *("", " ", "garbage", "unknown", "_hidden", "0177.0.0.1", "203.0.113.9/32", "203.0.113", "203.0.113.9.1"),
    *("\xe9", "203.0.113.9:", "203.0.113.9:x", "203.0.113.9:65536", "203.0.113.9:999999", "203.0.113.9:-1"),
    *("203.0.113.9: 1", "203.0.113.9 :1", "203.0.113.9 9", ":80", "[203.0.113.9]", "[203.0.113.9]:80"),
    *("[2001:db8::5", "2001:db8::5]", "[2001:db8::5]443", "[2001:db8::5]:", "[2001:db8::5]:x", "[]", "[]:80"),
    *("[[2001:db8::5]]", "fe80::1%eth0", "[fe80::1%25eth0]:80", "2001:db8:0:0:0:0:0:5:443", "2001:db8::5::1"),
    *('"203.0.113.9', '203.0.113.9"', '"', '""', '""203.0.113.9""', "'203.0.113.9'", "for=203.0.113.9"),
    *(
        "203.0.113.\xb2",
        "203.0.113.9:\xb2",
        "2" * 65,
        "203.0.113.9\x00",
        "localhost",
        "example.org",
        "http://203.0.113.9",
    ),
]


@pytest.mark.parametrize(
    ("spelled", "address"), [(spelled, address) for address, every in SPELLINGS.items() for spelled in every]
)
def test_BF7_F1_an_address_is_read_with_and_without_a_port(spelled: str, address: str) -> None:
    assert str(parse_address(spelled)) == address
    client = TRUSTED.client("10.0.0.1", forwarded(f"198.51.100.7,  {spelled}\t, 10.9.9.9:80"))
    assert client.text == address
    assert client == TRUSTED.client(address, {})
    assert in_networks(client, EVERYWHERE)


@pytest.mark.parametrize("hop", UNREADABLE, ids=ascii)
@pytest.mark.parametrize("frame", ["{}", "203.0.113.9, {}", "203.0.113.9,{}, 10.9.9.9", "127.0.0.1,{}"])
def test_BF7_F1_a_hop_that_cannot_be_parsed_makes_the_client_unknown(hop: str, frame: str) -> None:
    assert parse_address(hop) is None
    client = TRUSTED.client("10.0.0.1", forwarded(frame.format(hop)))
    assert client == ClientAddress(UNKNOWN, "unknown:10.0.0.1", None)
    assert not in_networks(client, EVERYWHERE)
    assert client.rate_limit_key != TRUSTED.client("10.0.0.1", {}).text


@pytest.mark.parametrize(
    "hops",
    [
        *(None, "", ",", "10.0.0.2", "10.0.0.2, 10.0.0.3", "fd00::1", "10.0.0.2:80", "::ffff:10.0.0.2"),
        # A process on the proxy's own machine, such as one that ends TLS: behind it may be anybody.
        *("127.0.0.1", "127.0.0.1:51234", "::1", "[::1]:51234", "::ffff:127.0.0.1", "203.0.113.9, 127.0.0.1"),
    ],
    ids=ascii,
)
def test_BF7_S10_a_trusted_proxy_that_names_no_client_makes_the_client_unknown(hops: str | None) -> None:
    client = TRUSTED.client(
        "10.0.0.1", {**forwarded(hops), b"x-real-ip": b"203.0.113.9", b"forwarded": b"for=203.0.113.9"}
    )
    assert client == ClientAddress(UNKNOWN, "unknown:10.0.0.1", None)
    assert not in_networks(client, EVERYWHERE)


@pytest.mark.parametrize("name", sorted(FORWARDING_HEADERS))
def test_BF7_S10_a_forwarding_header_without_a_trusted_proxy_takes_the_peer_off_every_list(name: bytes) -> None:
    for proxies in (Proxies(), TRUSTED):
        plain = proxies.client("127.0.0.1", {b"host": b"x"})
        assert in_networks(plain, EVERYWHERE)
        for value in (b"203.0.113.9", b"127.0.0.1", b""):
            client = proxies.client("127.0.0.1", {b"host": b"x", name: value})
            assert not in_networks(client, EVERYWHERE)
            # The peer's budget and its name in logs stay: no header buys a new one.
            assert (client.text, client.rate_limit_key) == (plain.text, plain.rate_limit_key)


@pytest.mark.parametrize(
    ("peer", "hops", "client"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "  203.0.113.9  ", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7,203.0.113.9,10.9.9.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.9.9.9, fd00::1, 192.0.2.1", "203.0.113.9"),
        ("10.0.0.1", "garbage, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", ",203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, ::ffff:10.1.1.1", "203.0.113.9"),
        ("fd00::7", "2001:db8::5", "2001:db8::5"),
        ("203.0.113.1", "198.51.100.7", "203.0.113.1"),
        ("11.0.0.1", "198.51.100.7", "11.0.0.1"),
        ("::ffff:203.0.113.1", None, "203.0.113.1"),
        ("", None, UNKNOWN),
        ("", "198.51.100.7", UNKNOWN),
    ],
)
def test_BF7_the_client_is_the_rightmost_address_that_is_no_trusted_proxy(
    peer: str, hops: str | None, client: str
) -> None:
    assert TRUSTED.client(peer, forwarded(hops)).text == client


def test_BF7_S10_the_operator_is_warned_once_of_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    proxies = Proxies(TRUSTED.trusted)
    for _ in range(5):
        assert proxies.client("203.0.113.1", {b"via": b"1.1 x"}).text == "203.0.113.1"
        assert proxies.client("10.0.0.1", forwarded("203.0.113.9")).text == "203.0.113.9"
        assert proxies.client("10.0.0.1", forwarded("kanarienvogel")).text == UNKNOWN
    untrusted, unreadable = caplog.records
    for record, peer, header in ((untrusted, "203.0.113.1", "via"), (unreadable, "10.0.0.1", "x-forwarded-for")):
        assert record.levelno == logging.WARNING
        assert "TRUSTED_PROXIES" in record.getMessage()
        assert (record.__dict__["peer"], record.__dict__["header"]) == (peer, header)
    # What a client wrote is not logged.
    assert "kanarienvogel" not in repr([record.__dict__ for record in caplog.records])


def test_S10_where_every_address_is_a_trusted_proxy_the_warning_says_so(caplog: pytest.LogCaptureFixture) -> None:
    proxies = Proxies(EVERY_ADDRESS)
    for hops in (None, "203.0.113.9"):
        assert proxies.client("192.0.2.7", forwarded(hops)).text == UNKNOWN
    [warning] = caplog.records
    assert "TRUSTED_PROXIES contains every address" in warning.getMessage()


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
    keys = {Proxies().client(peer, {}).rate_limit_key for peer in (one, another)}
    assert (len(keys) == 1) == together


@pytest.mark.parametrize("spelled", ["127.0.0.0/8,2001:db8::/32", "::ffff:127.0.0.0/104,2001:db8::/32"])
def test_BF8_a_mapped_address_is_in_the_network_of_what_it_maps(spelled: str) -> None:
    listed = networks(spelled)
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "2001:db8::5"):
        assert in_networks(Proxies().client(address, {}), listed)
    for address in ("::1", "128.0.0.1", "", "garbage", "::ffff:128.0.0.1"):
        assert not in_networks(Proxies().client(address, {}), listed)


def test_a_list_that_is_open_to_all_contains_unknown_clients_too() -> None:
    unknown = TRUSTED.client("10.0.0.1", {})
    assert in_networks(unknown, networks("*"))
    assert in_networks(unknown, networks("10.0.0.0/8, ::/0, 0.0.0.0/0"))
    for one_version in ("0.0.0.0/0", "::/0", "0.0.0.0/1,::/0"):
        assert not in_networks(unknown, networks(one_version))
