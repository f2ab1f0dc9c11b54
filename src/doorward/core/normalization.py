"""Names: when two spellings are one name, and which names are accepted.

Identifiers (logins, e-mail addresses, device ids) are held to stricter rules than free text: two of them that look
alike are two owners that look alike. The rules apply where a name is given. A name that exists already can be used,
changed and removed, whatever they say.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from urllib.parse import unquote

from doorward.core.characters import (
    has_invisible,
    has_invisible_in_text,
    has_stray_space,
    has_unstable,
    is_white_space,
)
from doorward.core.errors import RuleViolation, require

MAX_NAME_CHARACTERS = 256
MAX_NAME_BYTES = 512
MAX_CANONICAL_BYTES = 1024

_EMPTY = RuleViolation("any.empty", "is not allowed to be empty")
_CHARACTERS = RuleViolation(
    "string.max", f"length must be less than or equal to {MAX_NAME_CHARACTERS} characters long", MAX_NAME_CHARACTERS
)
_BYTES = RuleViolation("string.max", f"must not take more than {MAX_NAME_BYTES} bytes", MAX_NAME_BYTES)
_CANONICAL = RuleViolation(
    "string.max",
    f"must not take more than {MAX_CANONICAL_BYTES} bytes in its canonical form (NFKC, casefolded)",
    MAX_CANONICAL_BYTES,
)
_INVISIBLE = RuleViolation("string.visible", "must not contain invisible characters")
_UNSTABLE = RuleViolation(
    "string.stable", "must not contain characters so new that their canonical form differs between versions of Unicode"
)
_SPACE = RuleViolation("string.space", "must not begin or end with white space, or have more than one in a row")
_SEGMENT = RuleViolation(
    "string.segment",
    "must not have a path segment that URL normalisation removes: one or two dots, or an empty one at either end",
)
_EMAIL = RuleViolation("string.email", "must be a valid email")

_SLASHES = re.compile(r"[/\\]")


def canonical(name: str) -> str:
    """Return the form by which a login or an e-mail address is unique: NFKC, casefolded, NFKC (UAX #31, UTS #46)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_login(login: str) -> None:
    """Return where a user may be given this login; ValidationFailed otherwise."""
    require(login_violations(login), "login")


def check_email(address: str) -> None:
    """Return where a tenant or a user may be given this e-mail address; ValidationFailed otherwise."""
    require(email_violations(address), "email")


def login_violations(login: str) -> list[RuleViolation]:
    """Return the first rule that a new login breaks, as a list of one; an empty list where it may be given."""
    return list(islice(_login_violations(login), 1))


def email_violations(address: str) -> list[RuleViolation]:
    """Return the first rule that a new e-mail address breaks, as a list of one; an empty list where it may be given.

    The shape is judged by the predecessor's lenient rule: `a@localhost`, IP literals and internationalised addresses
    pass; `test.test.com` does not.
    """
    found = list(islice(_identifier_violations(address), 1))
    if found and found[0].rule in {"string.max", "any.empty"}:
        return found
    return [_EMAIL] if found or not _has_email_shape(address) else []


def existing_email_violations(address: str) -> list[RuleViolation]:
    """Return what excludes that any tenant has this e-mail address: rules that held before those of identifiers did."""
    return [_EMAIL] if has_invisible_in_text(address) or not _has_email_shape(address) else []


def device_violations(device: str) -> list[RuleViolation]:
    """Return the first rule that a device id breaks, as a list of one; an empty list where it may be given."""
    return [_INVISIBLE] if has_invisible(device) else []


def text_violations(text: str) -> list[RuleViolation]:
    """Return the first rule that free text breaks, as a list of one; an empty list where it may be given."""
    return [_INVISIBLE] if has_invisible_in_text(text) else []


def _login_violations(login: str) -> Iterator[RuleViolation]:
    yield from _identifier_violations(login)
    if _has_removed_segment(login):
        yield _SEGMENT


def _identifier_violations(name: str) -> Iterator[RuleViolation]:
    if not name:
        yield _EMPTY
    if len(name) > MAX_NAME_CHARACTERS:
        yield _CHARACTERS
    if has_invisible(name):
        yield _INVISIBLE
    if has_unstable(name):
        yield _UNSTABLE
    if has_stray_space(name):
        yield _SPACE
    if len(name.encode()) > MAX_NAME_BYTES:
        yield _BYTES
    # One character may become eighteen: indexes and cursors hold the canonical form, so that is what is bounded.
    if not name.isascii() and len(canonical(name).encode()) > MAX_CANONICAL_BYTES:
        yield _CANONICAL


def _has_removed_segment(login: str) -> bool:
    """Return whether a login, as a segment of a path, would be removed or become another one in some client or proxy.

    URL parsers take `.` and `..` away, percent-encoded ones too (WHATWG URL, RFC 3986 section 6.2.2.3); proxies that
    decode a path merge slashes. Doorward itself takes a path with a slash at its end for the one without.
    """
    before, text = "", login
    while text != before:
        before, text = text, canonical(unquote(text))
    segments = _SLASHES.split(text)
    return not segments[0] or not segments[-1] or not {".", ".."}.isdisjoint(segments)


def _has_email_shape(address: str) -> bool:
    local, at, domain = address.rpartition("@")
    quoted = local.startswith('"') and local.endswith('"')
    return bool(
        at
        and local
        and domain
        and not any(map(is_white_space, domain))
        and not domain.startswith(".")
        and ".." not in domain
        and (quoted or ("@" not in local and not any(map(is_white_space, local))))
    )
