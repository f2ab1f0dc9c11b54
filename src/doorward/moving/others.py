"""What other systems write when they are asked for their users, turned into rows of `POST /users/import`. Pure.

Each reader takes one user as the system writes it and returns a row, or None for what is no user any more. What it
cannot make sense of raises one of UNREADABLE. Whether a row will do is judged where rows are judged, hashes included.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

Entry = Mapping[str, Any]
Row = dict[str, Any]
Reader = Callable[[Entry], Row | None]

UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What a reader may raise over an entry that is none of its system's."""

_TRUE = {"t", "true", "1", "yes"}
_ALLAUTH = "account.emailaddress"


def kratos(entry: Entry) -> Row | None:
    """Read an identity of Ory Kratos, listed with `include_credential=password`."""
    traits = entry["traits"]
    password = (entry.get("credentials") or {}).get("password") or {}
    login = traits.get("username") or traits.get("email")
    if not login and password.get("identifiers"):
        login = password["identifiers"][0]
    metadata = {"traits": traits, "metadata_public": entry.get("metadata_public")}
    return _row(
        login=login,
        email=traits.get("email"),
        sub=entry["id"],
        secret=(password.get("config") or {}).get("hashed_password"),
        metadata=metadata,
        disabled=entry.get("state") == "inactive",
        verified=_kratos_verified(entry.get("verifiable_addresses") or (), traits.get("email")),
    )


def _kratos_verified(addresses: Iterable[Entry], email: str | None) -> bool | None:
    own = [one for one in addresses if not email or _is_same_address(one["value"], email)]
    return any(one.get("verified") is True for one in own) if own else None


def supabase(entry: Entry) -> Row | None:
    """Read a row of `auth.users` of Supabase Auth, from CSV or JSON; one banned, until whenever, is disabled."""
    if entry.get("deleted_at"):
        return None
    name = entry.get("email") or entry.get("phone")
    metadata = {name: _json(entry.get(name)) for name in ("raw_user_meta_data", "raw_app_meta_data", "phone")}
    return _row(
        login=name,
        email=entry.get("email"),
        sub=entry["id"],
        secret=entry.get("encrypted_password"),
        metadata=metadata,
        disabled=bool(entry.get("banned_until")),
        verified=_supabase_verified(entry),
    )


def _supabase_verified(entry: Entry) -> bool | None:
    # `confirmed_at` is all that old versions have. In newer ones it is set when either address is confirmed.
    own = "email_confirmed_at" if entry.get("email") else "phone_confirmed_at"
    name = own if own in entry else "confirmed_at"
    return bool(entry[name]) if name in entry else None


def keycloak(entry: Entry) -> Row | None:
    """Read a user of a Keycloak realm export."""
    names = ("firstName", "lastName", "attributes", "realmRoles", "clientRoles", "groups")
    return _row(
        login=entry["username"],
        email=entry.get("email"),
        sub=entry["id"],
        secret=next((_keycloak_hash(one) for one in entry.get("credentials") or () if one["type"] == "password"), None),
        metadata={name: entry.get(name) for name in names},
        disabled=entry.get("enabled") is False,
        verified=_flag(entry, "emailVerified"),
    )


def _keycloak_hash(credential: Entry) -> str:
    secret, data = json.loads(credential["secretData"]), json.loads(credential["credentialData"])
    algorithm, salt, value = data["algorithm"], secret.get("salt", ""), secret["value"]
    more = data.get("additionalParameters") or {}
    if algorithm == "argon2":
        version = {"1.0": 16, "1.3": 19}[more["version"][0]]
        cost = f"m={more['memory'][0]},t={data['hashIterations']},p={more['parallelism'][0]}"
        return f"$argon2{more['type'][0]}$v={version}${cost}${salt.rstrip('=')}${value.rstrip('=')}"
    if algorithm in {"pbkdf2", "pbkdf2-sha256", "pbkdf2-sha512"}:
        name = "pbkdf2-sha1" if algorithm == "pbkdf2" else algorithm
        return f"${name}$i={data['hashIterations']}${salt}${value}"
    return str(value)


class _Address(NamedTuple):
    """An e-mail address of django-allauth. `owner` is a user, by "id" or, in an export with natural keys, by "name"."""

    owner: tuple[str, str]
    email: str
    verified: bool

    @classmethod
    def read(cls, entry: Entry) -> "_Address":
        fields = entry["fields"]
        user = fields["user"]
        owner = ("name", str(user[0])) if isinstance(user, list) else ("id", str(user))
        return cls(owner, fields["email"].strip(), fields["verified"] is True)


def django_with(entries: Iterable[Any]) -> Reader:
    """Return a reader for the users among entries that may hold e-mail addresses of django-allauth as well."""
    addresses: dict[tuple[str, str], list[_Address]] = {}
    for entry in entries:
        with suppress(*UNREADABLE):
            if entry.get("model") == _ALLAUTH:
                address = _Address.read(entry)
                addresses.setdefault(address.owner, []).append(address)

    def read(entry: Entry) -> Row | None:
        if entry.get("model") == _ALLAUTH:
            _Address.read(entry)
            return None
        row = django(entry)
        if row is None:
            return None
        owned = [*addresses.get(("id", row["sub"]), ()), *addresses.get(("name", row["login"]), ())]
        own = [one.verified for one in owned if _is_same_address(one.email, row["email"])]
        return {**row, "emailVerified": any(own)} if own else row

    return read


def django(entry: Entry) -> Row | None:
    """Read a row of `auth_user` of Django, from CSV, or from `dumpdata`."""
    fields = {"id": entry["pk"], **entry["fields"]} if "fields" in entry else entry
    secret = fields["password"]
    names = ("first_name", "last_name", "is_staff", "is_superuser", "groups")
    return _row(
        login=fields["username"],
        email=fields.get("email"),
        sub=str(fields["id"]),
        secret=None if secret.startswith("!") else secret,
        metadata={name: fields.get(name) for name in names},
        disabled=str(fields.get("is_active", True)).lower() not in _TRUE,
    )


class FirebaseHashing(NamedTuple):
    """The parameters of a Firebase project's hashes, as its console shows them."""

    signer: str
    separator: str
    rounds: int
    memory: int

    @classmethod
    def read(cls, text: str) -> "FirebaseHashing":
        """Read the text that the console shows; ValueError where a parameter is missing."""
        found = dict(re.findall(r"(\w+)\s*[:=]\s*\"?([A-Za-z0-9+/_=-]+)", text))
        try:
            return cls(
                found["base64_signer_key"],
                found.get("base64_salt_separator", ""),
                int(found["rounds"]),
                int(found["mem_cost"]),
            )
        except KeyError as name:
            raise ValueError(f"the parameter {name} is missing") from None

    def reader(self) -> Reader:
        """Return what reads a user of this project's `auth:export`."""

        def firebase(entry: Entry) -> Row | None:
            secret = None
            if entry.get("passwordHash"):
                cost = f"ln={self.memory},r={self.rounds}"
                digest = _standard(entry["passwordHash"])
                secret = f"$firebase-scrypt${cost}${_standard(entry['salt'])}${digest}${self.signer}${self.separator}"
            name = entry.get("email") or entry.get("phoneNumber") or entry["localId"]
            names = ("displayName", "phoneNumber", "photoUrl", "providerUserInfo")
            return _row(
                login=name,
                email=entry.get("email"),
                sub=entry["localId"],
                secret=secret,
                metadata={name: entry.get(name) for name in names},
                disabled=entry.get("disabled") is True,
                verified=_flag(entry, "emailVerified"),
                scope=_json(entry.get("customAttributes")),
            )

        return firebase


def _standard(text: str) -> str:
    return text.replace("-", "+").replace("_", "/")


def _flag(entry: Entry, name: str) -> bool | None:
    """Return what an entry says of its e-mail address, None where it has no address or does not say."""
    found = entry.get(name)
    return found if isinstance(found, bool) and entry.get("email") else None


def _is_same_address(one: str, other: str) -> bool:
    # Systems lower the case of addresses to compare them. Beyond ASCII that makes one of different mailboxes.
    return one == other or (one.isascii() and other.isascii() and one.lower() == other.lower())


def _json(value: Any) -> Any:
    """Return a value that CSV holds as JSON text, and JSON as itself."""
    return json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value or None


def _row(  # noqa: PLR0913 - a row has as many fields
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
    # Every user here has an address; one that nobody can be given stands for those that have none.
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
