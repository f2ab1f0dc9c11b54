"""Types and helpers shared by the readers of other systems' files."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from doorward.core.errors import CannotStart

Entry = Mapping[str, Any]
Row = dict[str, Any]

UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)
"""Exceptions that a reader raises for an entry that does not have the format of its system."""

_EMPTY: tuple[Any, ...] = (None, "", [], {}, False, "{}", "[]", "f", "false", "0", 0)
"""Values that count as empty, in JSON and in CSV."""


class Unreadable(ValueError):
    """A key of an entry is missing or has an invalid value. The message has the key and not the value."""


class ParsedUser(NamedTuple):
    """A user of another system, as a row of `POST /users/import`.

    `not_kept` has the names of fields that a row does not have; `password` is a key of PASSWORDS if the password was
    left out.
    """

    row: Row
    not_kept: tuple[str, ...] = ()
    password: str | None = None


class SkippedEntry(NamedTuple):
    """An entry that is not a user to import; `code` is a key of LEFT_OUT."""

    code: str


LEFT_OUT = {
    "deleted": "deleted in the source system",
    "anonymous": "anonymous, without a way to log in",
    "service_account": "service accounts of clients",
    "federated_user": "users of a directory, whose passwords are not in the source system",
    "other_model": "entries of another model",
    "unconfirmed": "e-mail address never verified (--unconfirmed skip)",
}
"""Reasons to leave an entry out, by code."""

PASSWORDS = {
    "temporary_password": "their temporary passwords were left out, since Doorward would not require new ones",
    "plain_password": "their passwords are plain text in the file, and were left out",
}
"""Reasons to leave a password out, by code."""

Reader = Callable[[Entry], ParsedUser | SkippedEntry]
Entries = Iterable[Any]


class System(NamedTuple):
    """The entries of a file, and the reader of one entry."""

    entries: list[Any]
    read: Reader


def require_key(entry: Entry, name: str) -> Any:
    """Return the value of a key; Unreadable if it is missing or null."""
    value = entry.get(name)
    if value is None:
        raise Unreadable(f'The entry has no "{name}"')
    return value


def flatten(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the users in lists and in objects with a `users` list, and users that are values themselves."""
    for value in values:
        if isinstance(value, list):
            yield from flatten(value)
        elif isinstance(value, dict) and isinstance(value.get("users"), list):
            yield from value["users"]
        else:
            yield value


def leftover(entry: Entry, known: Collection[str]) -> tuple[str, ...]:
    """Return the names of fields that are not empty and not `known`."""
    return tuple(name for name, value in entry.items() if name not in known and value not in _EMPTY)


def from_json(value: Any) -> Any:
    """Parse a value that CSV has as JSON text; return a value of JSON unchanged."""
    return json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value or None


def flag(entry: Entry, name: str) -> bool | None:
    """Return a flag of the entry's e-mail address, or None if it has no address or no such flag."""
    value = entry.get(name)
    return value if isinstance(value, bool) and entry.get("email") else None


def is_same_address(one: str, other: str) -> bool:
    """Return whether two texts are the same e-mail address."""
    # Other systems compare addresses in lower case. Outside ASCII, different mailboxes may be equal in lower case.
    return one == other or (one.isascii() and other.isascii() and one.lower() == other.lower())


def choose_single(option: str, problem: str, names: Iterable[str]) -> CannotStart:
    """Return the error for a file of which an option has to choose a part."""
    choices = ", ".join(repr(name) for name in sorted(names)) or "none"
    return CannotStart(f"{problem}: {choices}. Choose one with {option}.")


def to_row(  # noqa: PLR0913 - a row has as many fields
    *,
    login: Any,
    email: Any,
    sub: Any,
    secret: Any,
    metadata: Entry,
    disabled: bool,
    verified: bool | None = None,
    scope: Any = None,
) -> Row:
    """Return a row of `POST /users/import`."""
    # Doorward requires an e-mail address; users without one get an undeliverable placeholder.
    row: Row = {"login": login, "email": email or f"{sub}@users.invalid", "sub": sub}
    if secret:
        row["passwordHash"] = secret
    if kept := {name: value for name, value in metadata.items() if value not in (None, "", [], {})}:
        row["metadata"] = kept
    if scope is not None:
        row["scope"] = scope
    # A placeholder address cannot be verified, but its user may be unconfirmed.
    if verified is False or (verified and email):
        row["emailVerified"] = verified
    return {**row, "disabled": True} if disabled else row
