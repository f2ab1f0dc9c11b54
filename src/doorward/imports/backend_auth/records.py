"""What the predecessor, backend-auth, keeps in Redis, read row by row. Pure.

Every value is text under a key that begins with a prefix of the version. A tenant's key says so; users and sessions
differ only in their values, an object or a bare UUID, since a device may be named so that a session's key looks
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
_USUAL_COST = 10
_SCOPE_BYTES = 5_000
_DIGITS = 13


class Row(NamedTuple):
    """A key with its value and how long it has to live, in milliseconds; None where it has no end."""

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
    """A row is not what the source keeps."""


class ParsedRow(NamedTuple):
    """An account, and what is to be said of it."""

    account: Tenant | User
    remarks: tuple[FindingKind, ...]


def is_session(value: str) -> bool:
    """Tell whether a value is a session's key."""
    return _UUID.fullmatch(value) is not None


def session_start(key: str) -> int | None:
    """Return when the session of this key began, None where the key cannot be a session's."""
    digits = key[-_DIGITS:]
    return int(digits) if len(digits) == _DIGITS and digits.isascii() and digits.isdecimal() else None


def tenant_prefix(prefix: str) -> str:
    """Return the prefix of the keys of tenants, where `prefix` is the one of all keys."""
    return f"{prefix}tenant:"


def user_key(prefix: str, user: User) -> str:
    """Return the key under which the source keeps a user."""
    return f"{prefix}{user.tenant_id}:{user.login}"


def session_key(prefix: str, session: Session) -> str:
    """Return the key under which the source keeps a session."""
    return prefix + session.id


def is_untouched(user: User) -> bool:
    """Tell whether a user was imported and nothing of it was changed here since, nor its hash renewed."""
    return user.version == 1 and user.password_hash.startswith(LEGACY)


def read_tenant(row: Row, now: int) -> ParsedRow:
    """Return the tenant of a row; the source does not say when it was created. Unreadable."""
    try:
        record = msgspec.json.decode(row.value, type=_Tenant)
    except (ValueError, RecursionError) as error:
        raise Unreadable from error
    _refuse(record.id, record.email)
    secret, remarks = _secret(record.passwordHash)
    remarks = (*remarks, *_name_remarks(record.email, existing_email_violations, email_violations))
    return ParsedRow(Tenant(record.id, record.email, secret, credentials=1, created_at=now), remarks)


def read_user(row: Row, prefix: str) -> ParsedRow:
    """Return the user of a row. Unreadable.

    Where the record has the login with the tenant in front, as in old versions, or has none, the login is the one in
    the key, by which the source looks users up. The dates that old versions do not keep are 0.
    """
    place = row.key.removeprefix(prefix)
    tenant_id, colon, kept_by = place[:_UUID_LENGTH], place[_UUID_LENGTH : _UUID_LENGTH + 1], place[_UUID_LENGTH + 1 :]
    try:
        record = msgspec.json.decode(row.value, type=_User)
        scope = None if record.scope is UNSET else spell(msgspec.json.decode(record.scope)).decode()
    except (ValueError, RecursionError) as error:
        raise Unreadable from error
    login = kept_by if record.login in (UNSET, place) else record.login
    if colon != ":" or not _UUID.fullmatch(tenant_id) or not login:
        raise Unreadable
    email, company, sub = record.email or "", record.company or None, record.sub or ""
    _refuse(record.id, login, email, company or "", sub)
    secret, remarks = _secret(record.password)
    if record.login is UNSET:
        remarks = (*remarks, FindingKind.NAMELESS)
    remarks = (*remarks, *_name_remarks(login, text_violations, login_violations))
    if scope is not None and len(scope.encode()) > _SCOPE_BYTES:
        remarks = (*remarks, FindingKind.LARGE_SCOPE)
    user = User(
        id=record.id,
        tenant_id=tenant_id,
        login=login,
        email=email,
        company=company,
        sub=sub,
        scope=scope,
        password_hash=secret,
        credentials=1,
        registration_date=record.registrationDate,
        last_activity=record.lastActivity,
    )
    return ParsedRow(user, remarks)


def read_session(row: Row, prefix: str, now: int) -> Session:
    """Return the session of a row; a user's is of no tenant yet. Unreadable."""
    name = row.key.removeprefix(prefix)
    owner, device, began = name[:_UUID_LENGTH], name[_UUID_LENGTH:-_DIGITS], session_start(name)
    if began is None or len(name) < _UUID_LENGTH + _DIGITS:
        raise Unreadable
    _refuse(owner, device)
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
    """Return the address of a tenant whose own is lost or taken."""
    return f"{tenant_id}@tenant.invalid"


def lost_tenant(tenant_id: str, now: int) -> Tenant:
    """Return what stands for a tenant whose record is lost: nobody can log in to it, but its tokens and users go on."""
    return Tenant(tenant_id, placeholder_tenant(tenant_id), "", credentials=1, created_at=now)


def _refuse(identity: str, *texts: str) -> None:
    """Raise Unreadable where an id is none of the source's, or a text cannot be kept by every store."""
    if not _UUID.fullmatch(identity):
        raise Unreadable
    for text in texts:
        if "\0" in text or not _is_text(text) or len(canonical(text).encode()) > MAX_CANONICAL_BYTES:
            raise Unreadable


def _name_remarks(
    name: str, existing: Callable[[str], list[RuleViolation]], new: Callable[[str], list[RuleViolation]]
) -> tuple[FindingKind, ...]:
    """Return what is to be said of a login or address, by the rules of existing names and by those of new ones."""
    if existing(name) or len(name) > MAX_NAME_CHARACTERS:
        return (FindingKind.CANNOT_LOG_IN,)
    return (FindingKind.ODD_NAME,) if new(name) else ()


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _secret(stored: str) -> tuple[str, tuple[FindingKind, ...]]:
    """Return the hash to keep, "" for none, and what is to be said of it."""
    cost = bcrypt_cost(stored)
    if cost is None:
        return "", (FindingKind.NO_HASH,)
    if not BCRYPT_MIN_COST <= cost <= BCRYPT_MAX_COST:
        return "", (FindingKind.HOSTILE_HASH,)
    usual = cost == _USUAL_COST and stored.startswith("$2a$")
    return LEGACY + stored, () if usual else (FindingKind.UNUSUAL_HASH,)
