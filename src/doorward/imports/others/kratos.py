"""Reader of Ory Kratos identities, listed with `include_credential=password`."""

from collections.abc import Iterable
from typing import Any

from doorward.imports.others.reading import (
    Entry,
    ParsedUser,
    System,
    flatten,
    is_same_address,
    leftover,
    require_key,
    to_row,
)

_METADATA = ("traits", "metadata_public", "metadata_admin", "external_id", "organization_id", "created_at")
_KNOWN = {"id", "state", "credentials", "verifiable_addresses", *_METADATA}


def open_file(values: Iterable[Any]) -> System:
    """Return the identities of a file, which is one list, or has a list or an identity per line."""
    return System(list(flatten(values)), read)


def read(entry: Entry) -> ParsedUser:
    """Read an identity."""
    traits, credentials = require_key(entry, "traits"), entry.get("credentials") or {}
    password = credentials.get("password") or {}
    config = password.get("config") or {}
    login = traits.get("username") or traits.get("email")
    if not login and password.get("identifiers"):
        login = password["identifiers"][0]
    addresses = entry.get("verifiable_addresses") or []
    own = [
        address
        for address in addresses
        if not traits.get("email") or is_same_address(address["value"], traits["email"])
    ]
    row = to_row(
        login=login,
        email=traits.get("email"),
        sub=require_key(entry, "id"),
        secret=config.get("hashed_password"),
        metadata={name: entry.get(name) for name in _METADATA},
        disabled=entry.get("state") == "inactive",
        verified=any(address.get("verified") is True for address in own) if own else None,
    )
    not_kept = (
        *leftover(entry, _KNOWN),
        *(f"credentials.{name}" for name in credentials if name != "password"),
        *(["verifiable_addresses"] if len(own) < len(addresses) else []),
    )
    is_plain = config.get("password") and not config.get("hashed_password")
    return ParsedUser(row, not_kept, "plain_password" if is_plain else None)
