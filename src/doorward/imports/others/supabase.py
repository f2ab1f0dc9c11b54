"""Reader of Supabase Auth users from `auth.users` as CSV or JSON."""

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
"""Values of PostgreSQL timestamps that are not dates."""


def open_file(values: Iterable[Any], *, clock: Clock) -> System:
    """Return the users of a file; a user whose ban has ended by now is not disabled."""
    return System(list(flatten(values)), partial(read, now=clock()))


def read(entry: Entry, *, now: int) -> ParsedUser | SkippedEntry:
    """Read a user with its state at `now`, in milliseconds."""
    # `COPY ... NULL 'null'` writes this text for NULL.
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
    """Return the time in a column in milliseconds, or None if it is empty; Unreadable if it is not a time."""
    value = entry.get(name)
    if value in (None, ""):
        return None
    if value in _ENDLESS:
        return float(value)
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Unreadable(f'"{name}" of the entry is not a date') from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000


def _is_verified(entry: Entry) -> bool | None:
    # Old versions have only `confirmed_at`. In newer ones it is set when the e-mail address or the phone is confirmed.
    own = "email_confirmed_at" if entry.get("email") else "phone_confirmed_at"
    name = own if own in entry else "confirmed_at"
    return _time(entry, name) is not None if name in entry else None
