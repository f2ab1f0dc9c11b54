"""Shared parts of the readers: results, missing keys, and fields that have no place in a row."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from doorward.core.errors import CannotStart

Entry = Mapping[str, Any]
Row = dict[str, Any]

UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)
"""Exceptions of a reader for an entry that its system does not write."""

_EMPTY: tuple[Any, ...] = (None, "", [], {}, False, "{}", "[]", "f", "false", "0", 0)
"""Values of fields that say nothing, in JSON and in CSV."""


class Unreadable(ValueError):
    """An entry lacks a key, or has a wrong value there. The message names the key and repeats no value."""


class ParsedUser(NamedTuple):
    """A user of another system, as a row of `POST /users/import`.

    `not_kept` names the fields that have no place in the row; `password` is the code of the reason why its password was
    left out.
    """

    row: Row
    not_kept: tuple[str, ...] = ()
    password: str | None = None


class SkippedEntry(NamedTuple):
    """An entry that is no user to import; `code` is one of LEFT_OUT."""

    code: str


LEFT_OUT = {
    "deleted": "deleted there",
    "anonymous": "anonymous, without a way to log in",
    "service_account": "service accounts of clients",
    "federated_user": "users of a directory, whose passwords the system never had",
    "other_model": "entries of another model",
    "unconfirmed": "e-mail address never verified (--unconfirmed skip)",
}
"""Reasons to leave an entry out, by code."""

PASSWORDS = {
    "temporary_password": "their temporary passwords were left out, since nothing here would ask for new ones",
    "plain_password": "their passwords are in the file as plain text, and were left out",
}
"""Reasons to leave a password out, by code."""

Reader = Callable[[Entry], ParsedUser | SkippedEntry]
Entries = Iterable[Any]


class System(NamedTuple):
    """Parts of a file's values that are entries, and the reader of one."""

    entries: list[Any]
    read: Reader


def require_key(entry: Entry, name: str) -> Any:
    """Return the value of a key; Unreadable where it is missing or null."""
    value = entry.get(name)
    if value is None:
        raise Unreadable(f'The entry has no "{name}"')
    return value


def flatten(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the users of lists, of objects with a list in `users`, and users that stand alone."""
    for value in values:
        if isinstance(value, list):
            yield from flatten(value)
        elif isinstance(value, dict) and isinstance(value.get("users"), list):
            yield from value["users"]
        else:
            yield value


def leftover(entry: Entry, known: Collection[str]) -> tuple[str, ...]:
    """Return the names of the fields that say something and are not `known`."""
    return tuple(name for name, value in entry.items() if name not in known and value not in _EMPTY)


def from_json(value: Any) -> Any:
    """Return a value that CSV holds as JSON text, and JSON as itself."""
    return json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value or None


def flag(entry: Entry, name: str) -> bool | None:
    """Return what an entry says of its e-mail address, None where it has no address or does not say."""
    found = entry.get(name)
    return found if isinstance(found, bool) and entry.get("email") else None


def is_same_address(one: str, other: str) -> bool:
    """Return whether two spellings are one e-mail address."""
    # Systems lower the case of addresses to compare them. Beyond ASCII that makes one of different mailboxes.
    return one == other or (one.isascii() and other.isascii() and one.lower() == other.lower())


def choose_single(option: str, what: str, names: Iterable[str]) -> CannotStart:
    """Return the error of a file with several of something, where an option has to choose one."""
    listed = ", ".join(repr(name) for name in sorted(names)) or "none"
    return CannotStart(f"{what}: {listed}. Choose one with {option}.")


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
    # Every user here has an address; one that cannot be delivered to stands for those that have none.
    row: Row = {"login": login, "email": email or f"{sub}@users.invalid", "sub": sub}
    if secret:
        row["passwordHash"] = secret
    if known := {name: value for name, value in metadata.items() if value not in (None, "", [], {})}:
        row["metadata"] = known
    if scope is not None:
        row["scope"] = scope
    # A stand-in for a missing address cannot be verified, but its user may be unconfirmed.
    if verified is False or (verified and email):
        row["emailVerified"] = verified
    return {**row, "disabled": True} if disabled else row
