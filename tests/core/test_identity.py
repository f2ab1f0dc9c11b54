"""When two names are one, and which names are refused."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.identity import canonical, is_email, is_visible

EXAMPLES = 20_000 if os.environ.get("DOORWARD_TORTURE") else 200
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)

ONE_NAME = [
    ("bob", "Bob", "BOB", "\uff22\uff2f\uff22", "\u24b7\u24c4\u24b7", "\U0001d401\U0001d428\U0001d41b"),
    ("caf\xe9", "cafe\u0301", "CAF\xc9", "CAFE\u0301"),
    ("strasse", "stra\xdfe", "STRASSE", "STRA\u1e9eE"),
    ("k", "K", "\u212a"),
    ("\xe5", "\u212b", "\xc5", "a\u030a"),
    ("fi", "\ufb01", "FI"),
    ("\u03c3", "\u03c2", "\u03a3"),
    ("a b", "a\xa0b", "A\u3000B"),
    ("1", "\xb9", "\u2460", "\uff11"),
    ("user@example.org", "User@EXAMPLE.org", "user@\uff45xample\uff0eorg"),
]
TWO_NAMES = [
    ("bob", "b0b"),
    ("bob", "bob "),
    ("bob", "bo b"),
    ("a", "\xe4"),
    ("i", "\u0131"),
    ("paypal", "p\u0430ypal"),
    ("a_b", "a%b"),
    ("a*", "a"),
    ("a.b", "ab"),
]


@pytest.mark.parametrize("spellings", ONE_NAME, ids=lambda spellings: spellings[0])
def test_BF4_IN5_spellings_of_one_name_are_one(spellings: tuple[str, ...]) -> None:
    assert {canonical(spelling) for spelling in spellings} == {canonical(spellings[0])}


@pytest.mark.parametrize(("one", "other"), TWO_NAMES, ids=ascii)
def test_IN5_names_that_differ_stay_two(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@settings(max_examples=EXAMPLES)
@given(TEXT)
def test_IN5_the_canonical_form_of_a_canonical_form_is_itself(name: str) -> None:
    assert canonical(canonical(name)) == canonical(name)


def test_IN5_the_canonical_form_of_every_single_character_is_settled() -> None:
    for number in range(0x110000):
        if not 0xD800 <= number < 0xE000:
            name = canonical(chr(number))
            assert canonical(name) == name, hex(number)


@settings(max_examples=EXAMPLES)
@given(TEXT)
def test_IN5_case_makes_no_difference(name: str) -> None:
    assert canonical(name.casefold()) == canonical(name)


INVISIBLE = {
    "NUL": "\x00",
    "tab": "\t",
    "newline": "\n",
    "carriage return": "\r",
    "escape": "\x1b",
    "delete": "\x7f",
    "next line": "\x85",
    "soft hyphen": "\xad",
    "zero width space": "\u200b",
    "zero width joiner": "\u200d",
    "left-to-right mark": "\u200e",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right-to-left override": "\u202e",
    "isolate": "\u2066",
    "byte order mark": "\ufeff",
    "private use": "\ue000",
    "unassigned": "\u0378",
    "noncharacter": "\uffff",
    "lone surrogate": "\ud800",
    "tag": "\U000e0041",
}


@pytest.mark.parametrize("name", INVISIBLE)
@pytest.mark.parametrize("frame", ["{}", "a{}", "{}a", "a{}b", "\xe9{}"])
def test_IN5_a_name_with_something_invisible_in_it_is_refused(name: str, frame: str) -> None:
    assert not is_visible(frame.format(INVISIBLE[name]))


@pytest.mark.parametrize(
    "name",
    [
        "bob",
        "a b",
        "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~",
        "\xe9",
        "\u540d\u524d",
        "\u0645\u0631\u062d\u0628\u0627",
        "\U0001f600",
        "e\u0301",
        "\xa0x",
    ],
    ids=ascii,
)
def test_IN5_what_can_be_seen_is_accepted(name: str) -> None:
    assert is_visible(name)


@settings(max_examples=EXAMPLES)
@given(TEXT)
def test_IN5_a_visible_name_has_a_visible_canonical_form(name: str) -> None:
    if is_visible(name):
        assert is_visible(canonical(name))


EMAILS = [
    *("a@b", "a@localhost", "user@example.org", "User.Name+tag@sub.example.co.uk", "a@127.0.0.1", "a@[127.0.0.1]"),
    *(
        "a@[IPv6:2001:db8::1]",
        "j\xf6rg@b\xfccher.example",
        "\u7528\u6237@\u4f8b\u5b50.\u5e7f\u544a",
        "o'brien@example.org",
    ),
    *('"quoted local"@example.org', '"a@b"@example.org', "a@example.org.", "_@_", "!#$%&'*+/=?^`{|}~-@example.org"),
]
NO_EMAILS = [
    *("", "@", "a", "test.test.com", "a@", "@b", "a@@b", "a@b@c", "a b@c", "a@b c", "a@ b", " a@b", "a@b ", "a@.b"),
    *("a@b..c", "a@b\n", "a\n@b", "a\x00@b", "a@b\x00", "a\u200b@b", "a@\u202eb", "a\u3000b@c", "\ud800@b", "a@b\tc"),
    *('a@b"@c', '"a@b@c', "a\r\nBcc: x@y"),
]


@pytest.mark.parametrize("address", EMAILS, ids=ascii)
def test_an_email_address_by_the_lenient_rule(address: str) -> None:
    assert is_email(address)


@pytest.mark.parametrize("address", NO_EMAILS, ids=ascii)
def test_what_is_no_email_address_is_refused(address: str) -> None:
    assert not is_email(address)


@settings(max_examples=EXAMPLES)
@given(TEXT)
def test_an_email_address_has_something_visible_on_both_sides_of_an_at(text: str) -> None:
    if is_email(text):
        local, at, domain = text.rpartition("@")
        assert local
        assert at
        assert domain
        assert is_visible(text)


def test_IN6_hostile_texts_are_judged_without_effort() -> None:
    for text in ("a" * 50_000 + "!", "@" * 50_000, "a@" + "." * 50_000, '"' * 50_000 + "@b", "a@b" * 20_000):
        assert isinstance(is_email(text), bool)
        assert canonical(text) == text
