"""Rules for new passwords: general bounds, the published rule for tenants, the policy of a tenant for its users.

NIST SP 800-63B (section 3.1.1.2) requires length and a blocklist and advises against character classes; the tenant
chooses.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib import resources

from doorward.core.errors import RuleViolation
from doorward.core.normalization import canonical
from doorward.core.passwords.formats import UnsupportedHash, parse_hash
from doorward.core.passwords.hashing import MAX_PASSWORD_CHARACTERS
from doorward.core.tenants.settings import PasswordPolicy

MIN_TENANT_PASSWORD_LENGTH = 6
"""The fewest characters of a tenant's password."""

_CLASSES = "must contain a lowercase letter, an uppercase letter and a digit"
_MIN_WORD_LENGTH = 4
_MAX_PERIOD = 4
_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop")
_EDGES = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_LEET = str.maketrans("@4310$57", "aaeiosst")


def tenant_password_violations(password: str) -> list[RuleViolation]:
    """Return the violations of the published rule for tenants' passwords."""
    violations: list[RuleViolation] = []
    if len(password) < MIN_TENANT_PASSWORD_LENGTH:
        text = f"length must be at least {MIN_TENANT_PASSWORD_LENGTH} characters long"
        violations.append(RuleViolation("string.min", text, MIN_TENANT_PASSWORD_LENGTH))
    if not has_classes(password):
        violations.append(RuleViolation("string.regex.base", _CLASSES))
    return violations + _oversize(password)


def user_password_violations(policy: PasswordPolicy, password: str, context: Iterable[str]) -> list[RuleViolation]:
    """Return the violations of a tenant's policy by a password of one of its users.

    `context` contains names that an attacker knows: login, e-mail address, tenant.
    """
    violations = _oversize(password)
    if violations:
        return violations
    normal = unicodedata.normalize("NFC", password)
    if policy.min_length is not None and len(normal) < policy.min_length:
        text = f"length must be at least {policy.min_length} characters long"
        violations.append(RuleViolation("password_too_short", text, policy.min_length))
    if policy.require_classes and not has_classes(normal):
        violations.append(RuleViolation("password_too_simple", _CLASSES))
    if policy.block_common and (reason := guessable(normal, context)):
        violations.append(RuleViolation("password_too_common", reason))
    return violations


def hash_violations(text: str) -> list[RuleViolation]:
    """Return the reason why a text cannot be stored as a password hash from another system."""
    try:
        parse_hash(text)
    except UnsupportedHash as error:
        return [RuleViolation(error.code, error.rule)]
    return []


def has_classes(password: str) -> bool:
    """Return whether a password has a lowercase letter, an uppercase letter and a digit: the published rule."""
    return (
        any(c.islower() for c in password)
        and any(c.isupper() for c in password)
        and any(c.isdecimal() for c in password)
    )


def guessable(password: str, context: Iterable[str]) -> str:
    """Return why a password is among the first that attackers try, as the rest of a sentence; "" if it is not."""
    plain = canonical(password)
    stem = _EDGES.sub("", plain)
    if _is_common(plain) or (len(stem) >= _MIN_WORD_LENGTH and _is_common(stem)) or _is_common(plain.translate(_LEET)):
        return "is one of the most common passwords, or one with something added"
    if _repeats(plain):
        return "repeats itself"
    if any(_walks(plain, row) for row in _ROWS):
        return "is a row of keys or letters"
    for word in _words(context):
        if not plain.replace(word, "").strip("0123456789-_.!? "):
            return "is made of the login, the e-mail address or the tenant's name"
    return ""


def _oversize(password: str) -> list[RuleViolation]:
    if len(password) <= MAX_PASSWORD_CHARACTERS:
        return []
    text = f"length must be less than or equal to {MAX_PASSWORD_CHARACTERS} characters long"
    return [RuleViolation("string.max", text, MAX_PASSWORD_CHARACTERS)]


@cache
def _common() -> frozenset[str]:
    text = resources.files("doorward.core.passwords").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


def _is_common(text: str) -> bool:
    return text in _common()


def _repeats(text: str) -> bool:
    return any(
        text == (text[:period] * len(text))[: len(text)] for period in range(1, min(_MAX_PERIOD, len(text) - 1) + 1)
    )


def _walks(text: str, row: str) -> bool:
    # Alphabet and rows of keys, forwards or backwards, once or repeated.
    return len(text) >= _MIN_WORD_LENGTH and any(
        text in line * (len(text) // len(line) + 2) for line in (row, row[::-1])
    )


def _words(context: Iterable[str]) -> set[str]:
    names: set[str] = set()
    for name in context:
        whole = canonical(name)
        names |= {whole, *re.split(r"[\W_]+", whole)}
    return {word for word in names if len(word) >= _MIN_WORD_LENGTH}
