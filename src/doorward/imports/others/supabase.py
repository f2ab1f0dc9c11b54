"""Rows of `auth.users` of Supabase Auth, from CSV or JSON."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from doorward.core.ports import Clock
from doorward.imports.others.reading import (
    Entry,
    ParsedUser,
    SkippedEntry,
    System,
    Unreadable,
    flatten,
    from_json,
    leftover,
    require_key,
    to_row,
)

_METADATA = ("raw_user_meta_data", "raw_app_meta_data", "phone", "created_at", "last_sign_in_at", "invited_at")
_KNOWN = {
    "id",
    "email",
    "encrypted_password",
    "banned_until",
    "deleted_at",
    "is_anonymous",
    "email_confirmed_at",
    "phone_confirmed_at",
    "confirmed_at",
    *_METADATA,
}
_TRUE = {True, "t", "true"}
_ENDLESS = ("infinity", "-infinity")
"""Times of PostgreSQL that are no dates."""


def open_file(values: Iterable[Any], *, clock: Clock) -> System:
    """Return the users of a file; one whose ban ends before `clock` may log in."""
    return System(list(flatten(values)), partial(read, now=clock()))


def read(entry: Entry, *, now: int) -> ParsedUser | SkippedEntry:
    """Read a user as it is at `now`, in milliseconds."""
    # `COPY ... NULL 'null'` writes this text where a column has no value.
    entry = {name: None if value == "null" else value for name, value in entry.items()}
    if _time(entry, "deleted_at") is not None:
        return SkippedEntry("deleted")
    if entry.get("is_anonymous") in _TRUE:
        return SkippedEntry("anonymous")
    row = to_row(
        login=entry.get("email") or entry.get("phone"),
        email=entry.get("email"),
        sub=require_key(entry, "id"),
        secret=entry.get("encrypted_password"),
        metadata={name: from_json(entry.get(name)) for name in _METADATA},
        disabled=(_time(entry, "banned_until") or now) > now,
        verified=_is_verified(entry),
    )
    return ParsedUser(row, leftover(entry, _KNOWN))


def _time(entry: Entry, name: str) -> float | None:
    """Return the time in a column, in milliseconds; None where it is empty, Unreadable where it is no time."""
    value = entry.get(name)
    if value in (None, ""):
        return None
    if value in _ENDLESS:
        return float(value)
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Unreadable(f'"{name}" of the entry is no date') from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000


def _is_verified(entry: Entry) -> bool | None:
    # `confirmed_at` is all that old versions have. In newer ones it is set when either address is confirmed.
    own = "email_confirmed_at" if entry.get("email") else "phone_confirmed_at"
    name = own if own in entry else "confirmed_at"
    return _time(entry, name) is not None if name in entry else None
