"""Reader of Keycloak users from realm exports, files per realm, and lists of its API."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from doorward.imports.others.reading import (
    Entry,
    ParsedUser,
    SkippedEntry,
    System,
    Unreadable,
    choose_single,
    flag,
    leftover,
    require_key,
    to_row,
)

_METADATA = (
    "firstName",
    "lastName",
    "attributes",
    "realmRoles",
    "clientRoles",
    "groups",
    "federatedIdentities",
    "createdTimestamp",
)
_KNOWN = {"id", "username", "email", "emailVerified", "enabled", "credentials", "requiredActions", *_METADATA}
_NEW_PASSWORD = "UPDATE_PASSWORD"  # noqa: S105 - the name of an action
_ARGON2 = {"type": ["id"], "version": ["1.3"], "memory": ["7168"], "parallelism": ["1"]}
"""Keycloak's defaults for parameters that a credential does not have."""


def open_file(values: Iterable[Any], *, realm: str | None = None) -> System:
    """Return the users of a file, or of one `realm` of it; CannotStart if it has several and none was chosen."""
    by_realm: dict[str | None, list[Any]] = {}
    for value in _objects(values):
        if isinstance(value, dict) and ("realm" in value or "users" in value):
            entries = by_realm.setdefault(value.get("realm"), [])
            entries += value.get("users") or []
            entries += [SkippedEntry("federated_user") for _ in value.get("federatedUsers") or []]
        else:
            by_realm.setdefault(None, []).append(value)
    realms = {str(name): entries for name, entries in by_realm.items() if name is not None and entries}
    if realm is not None:
        if realm not in realms:
            raise choose_single(
                "--realm", f"The file has no users of the realm {realm!r}; its realms with users are", realms
            )
        # Entries without a realm, such as unreadable lines, are included, so that they are imported or reported.
        return System([*realms[realm], *by_realm.get(None, ())], read)
    if len(realms) > 1:
        raise choose_single("--realm", "The file has users of several realms", realms)
    return System([entry for entries in by_realm.values() for entry in entries], read)


def _objects(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        yield from value if isinstance(value, list) else [value]


def read(entry: Entry) -> ParsedUser | SkippedEntry:
    """Read a user."""
    if entry.get("serviceAccountClientId"):
        return SkippedEntry("service_account")
    if entry.get("federationLink"):
        return SkippedEntry("federated_user")
    username = require_key(entry, "username")
    credentials, actions = entry.get("credentials") or [], entry.get("requiredActions") or []
    password = next((item for item in credentials if require_key(item, "type") == "password"), None)
    left_out = None
    if password and (password.get("temporary") is True or _NEW_PASSWORD in actions):
        left_out = "temporary_password"
    elif password and password.get("value") and "secretData" not in password:
        left_out = "plain_password"
    row = to_row(
        login=username,
        email=entry.get("email"),
        # Import files and partial exports may have users without ids.
        sub=entry.get("id") or username,
        secret=_hash(password) if password and not left_out else None,
        metadata={name: entry.get(name) for name in _METADATA},
        disabled=entry.get("enabled") is False,
        verified=flag(entry, "emailVerified"),
    )
    not_kept = (
        *leftover(entry, _KNOWN),
        *sorted({f"credentials.{item['type']}" for item in credentials if item is not password}),
        *(f"requiredActions.{action}" for action in actions if action != _NEW_PASSWORD),
    )
    return ParsedUser(row, not_kept, left_out)


def _hash(credential: Entry) -> str:
    if "hashedSaltedValue" in credential:
        # Before Keycloak 8, these were fields of the credential.
        value, salt = credential["hashedSaltedValue"], credential.get("salt") or ""
        iterations, more = credential.get("hashIterations"), credential.get("config") or {}
        algorithm = credential.get("algorithm") or "pbkdf2"
    else:
        secret, data = (
            json.loads(require_key(credential, "secretData")),
            json.loads(require_key(credential, "credentialData")),
        )
        value, salt = require_key(secret, "value"), secret.get("salt") or ""
        iterations, more = data.get("hashIterations"), data.get("additionalParameters") or {}
        algorithm = require_key(data, "algorithm")
    if algorithm == "argon2":
        more = {**_ARGON2, **more}
        version = {"1.0": 16, "1.3": 19}.get(more["version"][0])
        if version is None:
            raise Unreadable("The entry has an unknown version of argon2")
        cost = f"m={more['memory'][0]},t={iterations},p={more['parallelism'][0]}"
        return f"$argon2{more['type'][0]}$v={version}${cost}${salt.rstrip('=')}${value.rstrip('=')}"
    if algorithm in {"pbkdf2", "pbkdf2-sha256", "pbkdf2-sha512"}:
        name = "pbkdf2-sha1" if algorithm == "pbkdf2" else algorithm
        return f"${name}$i={iterations}${salt}${value}"
    return str(value)
