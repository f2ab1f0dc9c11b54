"""Reader of Firebase users from `auth:export`."""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from doorward.imports.others.reading import (
    Entry,
    ParsedUser,
    System,
    flag,
    flatten,
    from_json,
    leftover,
    require_key,
    to_row,
)

_METADATA = (
    "displayName",
    "phoneNumber",
    "photoUrl",
    "providerUserInfo",
    "createdAt",
    "lastSignedInAt",
    "lastLoginAt",
)
_KNOWN = {"localId", "email", "emailVerified", "passwordHash", "salt", "disabled", "customAttributes", *_METADATA}

_PROVIDERS = ("google.com", "facebook.com", "twitter.com", "github.com")
_PROVIDER_FIELDS = ("rawId", "email", "displayName", "photoUrl")
_FIELDS = ("localId", "email", "emailVerified", "passwordHash", "salt", "displayName", "photoUrl")
_LAST_FIELDS = ("createdAt", "lastSignedInAt", "phoneNumber", "disabled", "customAttributes")
COLUMNS = (*_FIELDS, *(f"{name}/{part}" for name in _PROVIDERS for part in _PROVIDER_FIELDS), *_LAST_FIELDS, "")
"""Columns of the CSV, which has no header line. Each line ends with a comma."""


class Hashing(NamedTuple):
    """Hash parameters of a project, as shown by its console."""

    signer: str
    separator: str
    rounds: int
    memory: int

    @classmethod
    def parse(cls, text: str) -> "Hashing":
        """Parse the text that the console shows; ValueError if a parameter is missing."""
        parameters = dict(re.findall(r"(\w+)\s*[:=]\s*\"?([A-Za-z0-9+/_=-]+)", text))
        try:
            return cls(
                parameters["base64_signer_key"],
                parameters.get("base64_salt_separator", ""),
                int(parameters["rounds"]),
                int(parameters["mem_cost"]),
            )
        except KeyError as name:
            raise ValueError(f"the parameter {name} is missing") from None


def open_file(values: Iterable[Any], *, hashing: Hashing) -> System:
    """Return the users of a file; `hashing` has the parameters of their hashes."""
    return System([_from_csv(entry) for entry in flatten(values)], partial(read, hashing=hashing))


def _from_csv(entry: Any) -> Any:
    """Convert a CSV row to the form of the JSON export; return anything else unchanged."""
    if not isinstance(entry, Mapping) or "" not in entry:
        return entry
    providers = [
        {"providerId": name, **{part: entry[f"{name}/{part}"] for part in _PROVIDER_FIELDS if entry[f"{name}/{part}"]}}
        for name in _PROVIDERS
        if entry[f"{name}/rawId"]
    ]
    fields = {name: entry[name] for name in (*_FIELDS, *_LAST_FIELDS) if entry[name]}
    flags = {name: entry[name] == "true" for name in ("emailVerified", "disabled")}
    return {**fields, **flags, "providerUserInfo": providers}


def read(entry: Entry, *, hashing: Hashing) -> ParsedUser:
    """Read a user."""
    sub, secret = require_key(entry, "localId"), None
    if entry.get("passwordHash"):
        cost, salt = f"ln={hashing.memory},r={hashing.rounds}", _standard(require_key(entry, "salt"))
        digest = _standard(entry["passwordHash"])
        secret = f"$firebase-scrypt${cost}${salt}${digest}${hashing.signer}${hashing.separator}"
    row = to_row(
        login=entry.get("email") or entry.get("phoneNumber") or sub,
        email=entry.get("email"),
        sub=sub,
        secret=secret,
        metadata={name: entry.get(name) for name in _METADATA},
        disabled=entry.get("disabled") is True,
        verified=flag(entry, "emailVerified"),
        scope=from_json(entry.get("customAttributes")),
    )
    return ParsedUser(row, leftover(entry, _KNOWN))


def _standard(text: str) -> str:
    return text.replace("-", "+").replace("_", "/")
