"""Names: when two spellings are the same name, and which names are valid.

Identifiers (logins, e-mail addresses, device ids) have stricter rules than free text, because two identifiers that look
alike are two owners that look alike. The rules apply to new names. An existing name can be used, changed and removed
even where it breaks them.
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
    has_white_space,
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
    """Return the form in which logins and e-mail addresses are unique: NFKC, casefolded, NFKC (UAX #31, UTS #46)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_login(login: str) -> None:
    """Return if this login is valid for a new user; raises ValidationFailed."""
    require(login_violations(login), "login")


def check_email(address: str) -> None:
    """Return if this e-mail address is valid for a new tenant or user; raises ValidationFailed."""
    require(email_violations(address), "email")


def login_violations(login: str) -> list[RuleViolation]:
    """Return the first rule that a new login violates, as a list of one; an empty list for a valid one."""
    return list(islice(_login_violations(login), 1))


def email_violations(address: str) -> list[RuleViolation]:
    """Return the first rule that a new e-mail address violates, as a list of one; an empty list for a valid one.

    The shape follows the lenient rule of the predecessor: `a@localhost`, IP literals and internationalised addresses
    are valid; `test.test.com` is not.
    """
    violations = list(islice(_identifier_violations(address), 1))
    if violations and violations[0].rule in {"string.max", "any.empty"}:
        return violations
    return [_EMAIL] if violations or not _has_email_shape(address) else []


def existing_email_violations(address: str) -> list[RuleViolation]:
    """Return violations of the older rules, which every stored e-mail address of a tenant satisfies."""
    return [_EMAIL] if has_invisible_in_text(address) or not _has_email_shape(address) else []


def device_violations(device: str) -> list[RuleViolation]:
    """Return the first rule that a device id violates, as a list of one; an empty list for a valid one."""
    return [_INVISIBLE] if has_invisible(device) else []


def text_violations(text: str) -> list[RuleViolation]:
    """Return the first rule that free text violates, as a list of one; an empty list for valid text."""
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
    # One character may become eighteen: indexes and cursors hold the canonical form, so its size is bounded.
    if not name.isascii() and len(canonical(name).encode()) > MAX_CANONICAL_BYTES:
        yield _CANONICAL


def _has_removed_segment(login: str) -> bool:
    """Return whether some client or proxy would remove or change a login that is a segment of a path.

    URL parsers remove `.` and `..`, percent-encoded ones too (WHATWG URL, RFC 3986 section 6.2.2.3); proxies that
    decode a path merge slashes. Doorward itself ignores a slash at the end of a path.
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
        and not has_white_space(domain)
        and not domain.startswith(".")
        and ".." not in domain
        and (quoted or ("@" not in local and not has_white_space(local)))
    )
