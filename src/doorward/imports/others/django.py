"""Reader of Django users from `dumpdata` or their table as CSV, with the addresses of django-allauth."""

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
    """An e-mail address of django-allauth; `owner` is its user by "id" or, with natural keys, by "name"."""

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
    """Return the users of a file: the entries of `model`, with the login in `login_field`.

    CannotStart if a dump has no entry of the model.
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
        entry_model = entry.get("model")
        if entry_model and str(entry_model).lower() != model:
            if entry_model == _ALLAUTH:
                _Address.read(entry)
            return SkippedEntry("other_model")
        user = read_user(entry, login_field)
        row = user.row
        owned = [*addresses.get(("id", row["sub"]), ()), *addresses.get(("name", row["login"]), ())]
        verified = [address.verified for address in owned if is_same_address(address.email, row["email"])]
        return user._replace(row={**row, "emailVerified": any(verified)}) if verified else user

    return System(entries, read)


def read_user(entry: Entry, login_field: str) -> ParsedUser:
    """Read a user from an entry of `dumpdata` or a row of the table."""
    is_dump = "fields" in entry
    fields = require_key(entry, "fields") if is_dump else entry
    if fields.get(login_field) is None:
        others = ", ".join(
            repr(name) for name, value in fields.items() if isinstance(value, str) and name != "password"
        )
        raise Unreadable(
            f'The entry has no "{login_field}". Choose the login with --login-field; its fields are: {others}'
        )
    login, secret = fields[login_field], require_key(fields, "password")
    # With --natural-primary, dumpdata writes no primary key; the login takes its place.
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
