"""Parsers of the rows that backend-auth, the predecessor, stores in Redis. They do no I/O.

Every value is text under a key with a prefix of the version. Keys of tenants have a prefix of their own. Users and
sessions differ only in their values, an object or a bare UUID, since the name of a device can make a session's key look
like a user's.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from doorward.core.errors import RuleViolation
from doorward.core.model import Session, SessionKind, Tenant, User
from doorward.core.normalization import (
    MAX_CANONICAL_BYTES,
    MAX_NAME_CHARACTERS,
    canonical,
    email_violations,
    existing_email_violations,
    login_violations,
    text_violations,
)
from doorward.core.passwords.formats import BCRYPT_MAX_COST, BCRYPT_MIN_COST, LEGACY, bcrypt_cost
from doorward.core.tokens.signing import spell
from doorward.imports.backend_auth.report import FindingKind

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UUID_LENGTH = 36
_DEFAULT_COST = 10
_SCOPE_BYTES = 5_000
_TIMESTAMP_DIGITS = 13


class Row(NamedTuple):
    """A key with its value and its time to live in milliseconds; None if it does not expire."""

    key: str
    value: str
    ttl: int | None


class _Tenant(msgspec.Struct, frozen=True):
    id: str
    email: str
    passwordHash: str = ""


class _User(msgspec.Struct, frozen=True):
    id: str
    login: str | UnsetType = UNSET
    password: str = ""
    email: str | None = None
    company: str | None = None
    registrationDate: int = 0
    lastActivity: int = 0
    scope: msgspec.Raw | UnsetType = UNSET
    sub: str | None = ""


class Unreadable(Exception):
    """A row does not have the source's format."""


class ParsedRow(NamedTuple):
    """An account, and the findings on it."""

    account: Tenant | User
    findings: tuple[FindingKind, ...]


def is_session(value: str) -> bool:
    """Return whether a value is the key of a session."""
    return _UUID.fullmatch(value) is not None


def session_start(key: str) -> int | None:
    """Return the start of the session with this key, or None if it is not the key of a session."""
    digits = key[-_TIMESTAMP_DIGITS:]
    return int(digits) if len(digits) == _TIMESTAMP_DIGITS and digits.isascii() and digits.isdecimal() else None


def tenant_prefix(prefix: str) -> str:
    """Return the prefix of tenants' keys; `prefix` is that of all keys."""
    return f"{prefix}tenant:"


def user_key(prefix: str, user: User) -> str:
    """Return the source's key of a user."""
    return f"{prefix}{user.tenant_id}:{user.login}"


def session_key(prefix: str, session: Session) -> str:
    """Return the source's key of a session."""
    return prefix + session.id


def is_untouched(user: User) -> bool:
    """Return whether a user was imported and has not changed here since, its password hash included."""
    return user.version == 1 and user.password_hash.startswith(LEGACY)


def read_tenant(row: Row, now: int) -> ParsedRow:
    """Return the tenant of a row, created at `now` since the source has no date; Unreadable if it is malformed."""
    try:
        record = msgspec.json.decode(row.value, type=_Tenant)
    except (ValueError, RecursionError) as error:
        raise Unreadable from error
    _check_texts(record.id, record.email)
    password_hash, findings = _password_hash(record.passwordHash)
    findings = (*findings, *_name_remarks(record.email, existing_email_violations, email_violations))
    return ParsedRow(Tenant(record.id, record.email, password_hash, credentials=1, created_at=now), findings)


def read_user(row: Row, prefix: str) -> ParsedRow:
    """Return the user of a row; Unreadable if it is malformed.

    If the record has no login, or has it with the tenant's id in front, as in old versions, the login is taken from the
    key, by which the source looks users up. Dates that old versions do not store are 0.
    """
    name = row.key.removeprefix(prefix)
    tenant_id, colon, login_of_key = (
        name[:_UUID_LENGTH],
        name[_UUID_LENGTH : _UUID_LENGTH + 1],
        name[_UUID_LENGTH + 1 :],
    )
    try:
        record = msgspec.json.decode(row.value, type=_User)
        scope = None if record.scope is UNSET else spell(msgspec.json.decode(record.scope)).decode()
    except (ValueError, RecursionError) as error:
        raise Unreadable from error
    login = login_of_key if record.login in (UNSET, name) else record.login
    if colon != ":" or not _UUID.fullmatch(tenant_id) or not login:
        raise Unreadable
    email, company, sub = record.email or "", record.company or None, record.sub or ""
    _check_texts(record.id, login, email, company or "", sub)
    password_hash, findings = _password_hash(record.password)
    if record.login is UNSET:
        findings = (*findings, FindingKind.NAMELESS)
    findings = (*findings, *_name_remarks(login, text_violations, login_violations))
    if scope is not None and len(scope.encode()) > _SCOPE_BYTES:
        findings = (*findings, FindingKind.LARGE_SCOPE)
    user = User(
        id=record.id,
        tenant_id=tenant_id,
        login=login,
        email=email,
        company=company,
        sub=sub,
        scope=scope,
        password_hash=password_hash,
        credentials=1,
        registration_date=record.registrationDate,
        last_activity=record.lastActivity,
    )
    return ParsedRow(user, findings)


def read_session(row: Row, prefix: str, now: int) -> Session:
    """Return the session of a row; that of a user has no tenant yet. Unreadable if it is malformed."""
    name = row.key.removeprefix(prefix)
    owner, device, began = name[:_UUID_LENGTH], name[_UUID_LENGTH:-_TIMESTAMP_DIGITS], session_start(name)
    if began is None or len(name) < _UUID_LENGTH + _TIMESTAMP_DIGITS:
        raise Unreadable
    _check_texts(owner, device)
    return Session(
        id=name,
        kind=SessionKind.IMPORTED_USER if device else SessionKind.IMPORTED_TENANT,
        tenant_id="" if device else owner,
        user_id=owner if device else None,
        device_id=device or None,
        key=row.value.encode(),
        created_at=began,
        expires_at=None if row.ttl is None else now + row.ttl,
        seen_at=began,
    )


def placeholder_tenant(tenant_id: str) -> str:
    """Return the e-mail address of a tenant whose own is missing or belongs to another tenant."""
    return f"{tenant_id}@tenant.invalid"


def lost_tenant(tenant_id: str, now: int) -> Tenant:
    """Return a tenant whose record is missing: its password is not known, but its tokens and users stay valid."""
    return Tenant(tenant_id, placeholder_tenant(tenant_id), "", credentials=1, created_at=now)


def _check_texts(identity: str, *texts: str) -> None:
    """Raise Unreadable if an id does not have the source's format, or a text cannot be stored by every store."""
    if not _UUID.fullmatch(identity):
        raise Unreadable
    for text in texts:
        if "\0" in text or not _is_text(text) or len(canonical(text).encode()) > MAX_CANONICAL_BYTES:
            raise Unreadable


def _name_remarks(
    name: str, existing: Callable[[str], list[RuleViolation]], new: Callable[[str], list[RuleViolation]]
) -> tuple[FindingKind, ...]:
    """Return the findings on a login or address, by the rules of existing names and of new ones."""
    if existing(name) or len(name) > MAX_NAME_CHARACTERS:
        return (FindingKind.CANNOT_LOG_IN,)
    return (FindingKind.ODD_NAME,) if new(name) else ()


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _password_hash(stored: str) -> tuple[str, tuple[FindingKind, ...]]:
    """Return the hash to store, "" for none, and the findings on it."""
    cost = bcrypt_cost(stored)
    if cost is None:
        return "", (FindingKind.NO_HASH,)
    if not BCRYPT_MIN_COST <= cost <= BCRYPT_MAX_COST:
        return "", (FindingKind.HOSTILE_HASH,)
    is_default = cost == _DEFAULT_COST and stored.startswith("$2a$")
    return LEGACY + stored, () if is_default else (FindingKind.UNUSUAL_HASH,)
