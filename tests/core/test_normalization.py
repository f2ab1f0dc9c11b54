"""Canonical forms of names, and the rules for new names."""

import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core import unicode_data
from doorward.core.errors import RuleViolation, ValidationFailed
from doorward.core.normalization import (
    canonical,
    check_email,
    check_login,
    device_violations,
    email_violations,
    existing_email_violations,
    login_violations,
    text_violations,
)

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


VISIBLE_RULE, STABLE_RULE, SPACE_RULE, SEGMENT_RULE = (
    f"string.{rule}" for rule in ("visible", "stable", "space", "segment")
)
EVERY_CHARACTER = [chr(point) for point in range(0x110000)]


def broken(faults: list[RuleViolation]) -> list[str]:
    return [rule for rule, _, _ in faults]


def members(ranges: str) -> set[str]:
    found: set[str] = set()
    for part in ranges.split():
        first, _, last = part.partition("-")
        found.update(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
    return found


# As the Unicode Character Database lists it (DerivedCoreProperties.txt, PropList.txt): a check on the generated table.
DEFAULT_IGNORABLE = members(
    "00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 FE00-FE0F FEFF FFA0 FFF0-FFF8 "
    "1BCA0-1BCA3 1D173-1D17A E0000-E0FFF"
)
WHITE_SPACE = members("0009-000D 0020 0085 00A0 1680 2000-200A 2028-2029 202F 205F 3000")
VISIBLE_SPACE = WHITE_SPACE - {*"\t\n\v\f\r\x85\u2028\u2029"}


@pytest.mark.parametrize("name", INVISIBLE)
@pytest.mark.parametrize("frame", ["{}", "a{}", "{}a", "a{}b", "\xe9{}"])
def test_IN5_a_name_with_something_invisible_in_it_is_refused(name: str, frame: str) -> None:
    text = frame.format(INVISIBLE[name])
    assert broken(login_violations(text)) == [VISIBLE_RULE]
    assert broken(device_violations(text)) == [VISIBLE_RULE]
    assert broken(text_violations(text)) == ([VISIBLE_RULE] if (name, frame) != ("zero width joiner", "a{}b") else [])
    assert email_violations(f"{text}@example.org")


def test_IN5_F10_every_default_ignorable_character_is_refused_in_every_identifier() -> None:
    assert len(DEFAULT_IGNORABLE) == 4174
    for character in DEFAULT_IGNORABLE:
        for name in (f"bo{character}b", f"{character}bob", f"bob{character}", character):
            assert broken(login_violations(name)) == [VISIBLE_RULE], ascii(name)
            assert broken(device_violations(name)) == [VISIBLE_RULE], ascii(name)
        assert email_violations(f"b{character}@example.org"), ascii(character)
        assert email_violations(f"b@exam{character}ple.org"), ascii(character)


@pytest.mark.parametrize("blank", ["\u2800", "\U00013441", "\U00013442", "\U00016fe4", "\U0001d159"], ids=ascii)
def test_IN5_F10_characters_without_ink_are_refused_in_identifiers(blank: str) -> None:
    assert broken(login_violations(f"bob{blank}")) == [VISIBLE_RULE]


def test_IN5_F10_the_table_says_what_this_python_says_of_the_characters_that_it_knows() -> None:
    refused = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    for character in EVERY_CHARACTER:
        category = unicodedata.category(character)
        if category != "Cn" and character not in {"\u200c", "\u200d"}:
            assert bool(text_violations(f"a{character}b")) == (category in refused), ascii(character)
    known = {character for character in EVERY_CHARACTER if character.isspace()} - {*"\x1c\x1d\x1e\x1f"}
    assert known == WHITE_SPACE == members(unicode_data.WHITE_SPACE)


def test_IN5_F33_characters_are_judged_by_the_table_and_not_by_the_python_that_runs() -> None:
    assert tuple(map(int, unicode_data.UNICODE_VERSION.split("."))) >= (18, 0, 0)
    # Nag Mundari (15.0), an ideograph of extension I (15.1), a face (16.0).
    for name in ("\U0001e4d0\U0001e4d1", "\U0002ebf0", "\U0001fae9"):
        assert login_violations(name) == device_violations(name) == text_violations(name) == [], ascii(name)
    # Never assigned: a gap, a noncharacter, what lies behind the last plane in use.
    for name in ("\u0378", "\ufdd0", "\U000effff"):
        assert broken(text_violations(name)) == broken(login_violations(name)) == [VISIBLE_RULE], ascii(name)


def test_IN5_F33_a_login_keeps_its_canonical_form_under_every_supported_python() -> None:
    # A capital that has a small letter since 16.0, a small letter that is composed since 16.0, a mark since 16.0.
    for new in ("\U00010d50", "\U000113c5", "\u0897"):
        assert broken(login_violations(f"a{new}")) == [STABLE_RULE], ascii(new)
        assert email_violations(f"a{new}@example.org")
        assert text_violations(f"a{new}") == []
    assert all(broken(login_violations(f"a{new}")) == [STABLE_RULE] for new in members(unicode_data.UNSTABLE))


JOINED = {
    "Persian, by A.1": "\u0646\u0627\u0645\u0647\u200c\u0647\u0627",
    "Persian, with a mark between": "\u0645\u06cc\u064e\u200c\u064e\u062e",
    "a non-joiner after a virama": "\u0915\u094d\u200c\u0937",
    "a joiner after a virama, by A.2": "\u0915\u094d\u200d\u0937",
    "a joiner after a virama, at the end": "\u0d05\u0d35\u0d28\u0d4d\u200d",
}
NOT_JOINED = {
    "Latin letters": "a\u200cb",
    "a joiner in Latin": "a\u200db",
    "Arabic letters and a joiner": "\u0646\u200d\u0645",
    "after a letter that does not join": "\u0627\u200c\u0647",
    "before a letter that does not join": "\u0647\u200ca",
    "at the beginning": "\u200c\u0647",
    "at the end": "\u0647\u200c",
    "twice": "\u0647\u200c\u200c\u0647",
    "alone": "\u200c",
    "a joiner before a virama": "\u0915\u200d\u094d\u0937",
    "emoji": "\U0001f468\u200d\U0001f469",
}


@pytest.mark.parametrize("kind", JOINED)
def test_IN5_F10_F33_joiners_are_accepted_where_rfc_5892_allows_them(kind: str) -> None:
    assert login_violations(JOINED[kind]) == device_violations(JOINED[kind]) == text_violations(JOINED[kind]) == []
    assert email_violations(f"{JOINED[kind]}@example.org") == []
    assert "\u200c" in canonical(JOINED[kind]) or "\u200d" in canonical(JOINED[kind])


@pytest.mark.parametrize("kind", NOT_JOINED)
def test_IN5_F10_joiners_are_refused_in_identifiers_elsewhere(kind: str) -> None:
    assert broken(login_violations(NOT_JOINED[kind])) == broken(device_violations(NOT_JOINED[kind])) == [VISIBLE_RULE]
    assert email_violations(f"{NOT_JOINED[kind]}@example.org")


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family
        "\u2764\ufe0f\u200d\U0001f525 of \U0001f9d1\U0001f3fd\u200d\U0001f680",  # with a variation selector, with a skin tone
        "\u845b\U000e0100",  # an ideographic variation
        "\u0d05\u0d35\u0d28\u0d4d\u200d \u0d15",  # Malayalam: a joiner at the end of a word
        "Kraftwerk\u200cstra\xdfe",
    ],
    ids=ascii,
)
def test_IN5_F33_free_text_may_hold_joiners_inside_words_and_emoji(text: str) -> None:
    assert text_violations(text) == []


@pytest.mark.parametrize(
    "text",
    ["\u200c", "\u200da", "a\u200d", "a \u200db", "a\u200d b", "a\u200d\u200db", "a\u200c\u200db", "a\u3000\u200cb"],
    ids=ascii,
)
def test_IN5_F33_joiners_elsewhere_are_invisible(text: str) -> None:
    assert broken(text_violations(text)) == [VISIBLE_RULE]


@pytest.mark.parametrize("space", sorted(VISIBLE_SPACE), ids=ascii)
def test_IN5_F11_white_space_stands_alone_and_inside(space: str) -> None:
    for name in (
        f"bob{space}",
        f"{space}bob",
        space,
        f"bob{space}{space}smith",
        f"bob{space} smith",
        f"bob \xa0{space}x",
    ):
        assert broken(login_violations(name)) == [SPACE_RULE], ascii(name)
        # A device has any name, and free text is left to whoever writes it.
        assert device_violations(name) == text_violations(name) == []
    assert login_violations(f"bob{space}smith") == login_violations(f"a{space}b{space}c") == []
    assert email_violations(f'"a{space}b"@example.org') == []
    assert email_violations(f'"a{space}{space}b"@example.org')
    assert email_violations(f"b@example.org{space}")


DOTS = [
    *(
        ".",
        "..",
        "%2e",
        "%2E",
        ".%2e",
        "%2e.",
        "%2E%2e",
        "%252e",
        "%25252E%252e",
        "\uff0e",
        "\u2024",
        "\u2025",
        "%EF%BC%8E",
    ),
    *(
        "\uff05\uff12\uff45",
        "/",
        "//",
        "\\",
        "\uff0f",
        "%2f",
        "%2F%5C",
        "./",
        "../",
        "/..",
        "a/..",
        "../a",
        "a/./b",
        "a/../b",
    ),
    *("a\\..", "..\\a", "a%2f..", "%2e%2e%2fa", "bob/", "/bob", "bob%2F", "bob\\", "%5cbob", "/a/b"),
]


@pytest.mark.parametrize("login", DOTS, ids=ascii)
def test_IN5_F9_a_login_that_urls_remove_or_change_is_refused(login: str) -> None:
    [(rule, sentence, limit)] = login_violations(login)
    assert (rule, limit) == (SEGMENT_RULE, None)
    assert device_violations(login) == text_violations(login) == []
    assert len(login) < 5 or login not in sentence


@pytest.mark.parametrize(
    "login",
    [
        *(
            "...",
            ".bob",
            "bob.",
            "..bob",
            "bob..",
            "a.b",
            "a..b",
            "\u2026",
            "a/b",
            "DOMAIN\\bob",
            "https://bob.example.org/x",
        ),
        *("%", "100%", "%2", "a%2fb", "%41", "~", "?", "#", "a;b", "\xb7"),
    ],
    ids=ascii,
)
def test_IN5_F9_a_login_that_merely_looks_like_one_is_accepted(login: str) -> None:
    assert login_violations(login) == []


def test_one_function_judges_for_those_who_do_not_ask_by_field() -> None:
    check_login("bob")
    check_email("bob@example.org")
    for check, name, field in ((check_login, "bob ", "login"), (check_email, "bo\u034fb@example.org", "email")):
        with pytest.raises(ValidationFailed) as refused:
            check(name)
        [fault] = refused.value.field_errors
        assert fault.path == [field]
        assert fault.message.startswith(f'"{field}" must ')
        assert name not in fault.message


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
        "x\xa0x",
    ],
    ids=ascii,
)
def test_IN5_what_can_be_seen_is_accepted(name: str) -> None:
    assert login_violations(name) == device_violations(name) == text_violations(name) == []


@settings(max_examples=EXAMPLES)
@given(TEXT)
def test_IN5_an_accepted_name_has_an_accepted_canonical_form(name: str) -> None:
    for faults in (device_violations, text_violations):
        if not faults(name):
            assert not faults(canonical(name))
    if not login_violations(name):
        # What is left of a compatibility character may begin with a space: that of a lone accent does.
        assert broken(login_violations(canonical(name))) in ([], [SPACE_RULE], ["string.max"])
        assert text_violations(name) == []


def test_IN5_every_accepted_character_has_an_accepted_canonical_form() -> None:
    for character in EVERY_CHARACTER:
        if canonical(character) != character and not device_violations(f"a{character}"):
            assert not device_violations(f"a{canonical(character)}"), ascii(character)


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
    assert email_violations(address) == existing_email_violations(address) == []


@pytest.mark.parametrize("address", NO_EMAILS, ids=ascii)
def test_what_is_no_email_address_is_refused(address: str) -> None:
    assert email_violations(address)
    assert existing_email_violations(address)


@settings(max_examples=EXAMPLES)
@given(TEXT)
def test_an_email_address_has_something_visible_on_both_sides_of_an_at(text: str) -> None:
    if not email_violations(text):
        local, at, domain = text.rpartition("@")
        assert local
        assert at
        assert domain
        assert not text_violations(text)
        assert not existing_email_violations(text)


def test_IN6_hostile_texts_are_judged_without_effort() -> None:
    for text in ("a" * 50_000 + "!", "@" * 50_000, "a@" + "." * 50_000, '"' * 50_000 + "@b", "a@b" * 20_000):
        assert len(email_violations(text)) == len(login_violations(text)) == 1
        assert len(existing_email_violations(text)) <= 1
        assert canonical(text) == text
