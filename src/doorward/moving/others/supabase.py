"""Rows of `auth.users` of Supabase Auth, from CSV or JSON."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from doorward.core.ports import Clock
from doorward.moving.others.reading import Entry, LeftOut, Read, System, flatten, from_json, leftover, need, to_row

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


def open_file(values: Iterable[Any], *, clock: Clock) -> System:
    """Return the users of a file; one whose ban ends before `clock` may log in."""
    return System(list(flatten(values)), partial(read, now=clock()))


def read(entry: Entry, *, now: int) -> Read | LeftOut:
    """Read a user as it is at `now`, in milliseconds."""
    if entry.get("deleted_at"):
        return LeftOut("deleted")
    if entry.get("is_anonymous") in _TRUE:
        return LeftOut("anonymous")
    row = to_row(
        login=entry.get("email") or entry.get("phone"),
        email=entry.get("email"),
        sub=need(entry, "id"),
        secret=entry.get("encrypted_password"),
        metadata={name: from_json(entry.get(name)) for name in _METADATA},
        disabled=_is_ahead(entry.get("banned_until"), now),
        verified=_is_verified(entry),
    )
    return Read(row, leftover(entry, _KNOWN))


def _is_ahead(text: Any, now: int) -> bool:
    """Return whether a time lies ahead, or cannot be read: then its user stays banned."""
    if not text:
        return False
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return True
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000 > now


def _is_verified(entry: Entry) -> bool | None:
    # `confirmed_at` is all that old versions have. In newer ones it is set when either address is confirmed.
    own = "email_confirmed_at" if entry.get("email") else "phone_confirmed_at"
    name = own if own in entry else "confirmed_at"
    return bool(entry[name]) if name in entry else None
