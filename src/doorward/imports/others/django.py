"""Users of Django, from `dumpdata` or from a table as CSV, with the addresses of django-allauth."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from doorward.imports.others.reading import (
    UNREADABLE,
    Entry,
    ParsedUser,
    SkippedEntry,
    System,
    Unreadable,
    choose_single,
    flatten,
    is_same_address,
    require_key,
    to_row,
)

MODEL = "auth.user"
LOGIN_FIELD = "username"

_ALLAUTH = "account.emailaddress"
_TRUE = {"t", "true", "1", "yes"}


class _Address(NamedTuple):
    """An e-mail address of django-allauth. `owner` is a user, by "id" or, in an export with natural keys, by "name"."""

    owner: tuple[str, str]
    email: str
    verified: bool

    @classmethod
    def read(cls, entry: Entry) -> "_Address":
        fields = require_key(entry, "fields")
        user = require_key(fields, "user")
        owner = ("name", str(user[0])) if isinstance(user, list) else ("id", str(user))
        return cls(owner, require_key(fields, "email").strip(), fields.get("verified") is True)


def open_file(values: Iterable[Any], *, model: str = MODEL, login_field: str = LOGIN_FIELD) -> System:
    """Return the users among the entries of a file, which are of `model`, with the login in `login_field`.

    CannotStart where a dump has no entry of the model.
    """
    entries, model = list(flatten(values)), model.lower()
    models = {str(entry["model"]).lower() for entry in entries if isinstance(entry, Mapping) and entry.get("model")}
    if models and model not in models:
        raise choose_single("--model", f"The file has no entries of {model!r}, but of", models)
    addresses: dict[tuple[str, str], list[_Address]] = {}
    for entry in entries:
        with suppress(*UNREADABLE):
            if entry.get("model") == _ALLAUTH:
                address = _Address.read(entry)
                addresses.setdefault(address.owner, []).append(address)

    def read(entry: Entry) -> ParsedUser | SkippedEntry:
        named = entry.get("model")
        if named and str(named).lower() != model:
            if named == _ALLAUTH:
                _Address.read(entry)
            return SkippedEntry("other_model")
        found = read_user(entry, login_field)
        row = found.row
        owned = [*addresses.get(("id", row["sub"]), ()), *addresses.get(("name", row["login"]), ())]
        own = [one.verified for one in owned if is_same_address(one.email, row["email"])]
        return found._replace(row={**row, "emailVerified": any(own)}) if own else found

    return System(entries, read)


def read_user(entry: Entry, login_field: str) -> ParsedUser:
    """Read a user: an entry of `dumpdata`, or a row of its table."""
    is_dump = "fields" in entry
    fields = require_key(entry, "fields") if is_dump else entry
    if fields.get(login_field) is None:
        others = ", ".join(
            repr(name) for name, value in fields.items() if isinstance(value, str) and name != "password"
        )
        raise Unreadable(f'The entry has no "{login_field}". Choose the login with --login-field; there are: {others}')
    login, secret = fields[login_field], require_key(fields, "password")
    # With --natural-primary there is no key but the login.
    key = entry.get("pk" if is_dump else "id")
    known = {"id", "pk", "password", "email", "is_active", login_field}
    row = to_row(
        login=login,
        email=fields.get("email"),
        sub=str(login if key in (None, "") else key),
        secret=None if secret.startswith("!") else secret,
        metadata={name: value for name, value in fields.items() if name not in known},
        disabled=str(fields.get("is_active", True)).lower() not in _TRUE,
    )
    return ParsedUser(row)
