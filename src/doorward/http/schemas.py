"""What comes in and goes out, as structs with the published names. Rules of texts stand beside their types."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.core.identity import canonical, is_email, is_visible
from doorward.core.passwords import BCRYPT_MAX_COST, BCRYPT_MIN_COST, MAX_BYTES, MAX_CHARACTERS, bcrypt_cost
from doorward.http.validation import AnyJson, Text

NAME_CHARACTERS = 256
NAME_BYTES = 512
CANONICAL_BYTES = 1024
SCOPE_BYTES = 4096
SCOPE_DEPTH = 8
PAGE = 100
LONGEST_PAGE = 500
SEARCH_SHORTEST = 3
SEARCH_LONGEST = 120
_TENANT_PASSWORD_SHORTEST = 6

_Found = list[tuple[str, str, int | None]]


def _name(value: str) -> _Found:
    return [] if is_visible(value) else [("string.visible", "must not contain invisible characters", None)]


def _login(value: str) -> _Found:
    return _name(value) or _canonical(value)


def _canonical(value: str) -> _Found:
    # One character may become eighteen: indexes and cursors hold the canonical form, so that is what is bounded.
    if value.isascii() or len(canonical(value).encode()) <= CANONICAL_BYTES:
        return []
    text = f"must not take more than {CANONICAL_BYTES} bytes in its canonical form (NFKC, casefolded)"
    return [("string.max", text, CANONICAL_BYTES)]


def _email(value: str) -> _Found:
    return _canonical(value) if is_email(value) else [("string.email", "must be a valid email", None)]


def _password(value: str) -> _Found:
    if len(value.encode()) > MAX_BYTES:
        return [("string.max", f"must not take more than {MAX_BYTES} bytes", MAX_BYTES)]
    return []


def _user_password(value: str) -> _Found:
    cost = bcrypt_cost(value)
    if cost is not None and not BCRYPT_MIN_COST <= cost <= BCRYPT_MAX_COST:
        text = f"must be a bcrypt hash with a cost from {BCRYPT_MIN_COST} to {BCRYPT_MAX_COST}"
        return [("string.hash", text, BCRYPT_MAX_COST)]
    return _password(value)


def _tenant_password(value: str) -> _Found:
    found: _Found = []
    if len(value) < _TENANT_PASSWORD_SHORTEST:
        text = f"length must be at least {_TENANT_PASSWORD_SHORTEST} characters long"
        found.append(("string.min", text, _TENANT_PASSWORD_SHORTEST))
    if not (any(c.islower() for c in value) and any(c.isupper() for c in value) and any(c.isdecimal() for c in value)):
        text = "must contain a lowercase letter, an uppercase letter and a digit"
        found.append(("string.regex.base", text, None))
    return found + _password(value)


# The JSON spelling of a password may be six times its bytes; its own limit is the rule.
_HEAVY = 6 * MAX_BYTES

Email = Annotated[
    str,
    Text(NAME_CHARACTERS, NAME_BYTES, _email),
    Meta(min_length=1, max_length=NAME_CHARACTERS, examples=["a@localhost"]),
]
Login = Annotated[
    str,
    Text(NAME_CHARACTERS, NAME_BYTES, _login),
    Meta(min_length=1, max_length=NAME_CHARACTERS, description="Unique inside the tenant by its NFKC-casefolded form."),
]
DeviceId = Annotated[
    str,
    Text(NAME_CHARACTERS, NAME_BYTES, _name),
    Meta(min_length=1, max_length=NAME_CHARACTERS, description="Any name for the device; need not be unique."),
]
Line = Annotated[str, Text(NAME_CHARACTERS, NAME_BYTES, _name), Meta(min_length=1, max_length=NAME_CHARACTERS)]
Password = Annotated[
    str,
    Text(MAX_CHARACTERS, _HEAVY, _password),
    Meta(min_length=1, max_length=MAX_CHARACTERS, extra_json_schema={"format": "password"}),
]
UserPassword = Annotated[
    str,
    Text(MAX_CHARACTERS, _HEAVY, _user_password),
    Meta(
        min_length=1,
        max_length=MAX_CHARACTERS,
        description="A well-formed bcrypt string (60 characters) is taken as a ready hash; all else is a password.",
        extra_json_schema={"format": "password"},
    ),
]
TenantPassword = Annotated[
    str,
    Text(MAX_CHARACTERS, _HEAVY, _tenant_password),
    Meta(
        min_length=_TENANT_PASSWORD_SHORTEST,
        max_length=MAX_CHARACTERS,
        description="With a lowercase letter, an uppercase letter and a digit.",
        extra_json_schema={"format": "password"},
    ),
]
Scope = Annotated[
    Any,
    AnyJson(SCOPE_DEPTH, SCOPE_BYTES),
    Meta(description=f"Any JSON, at most {SCOPE_DEPTH} levels and {SCOPE_BYTES} bytes. It is copied into every token."),
]
# A token of any length is a question that can be answered; the body's limit bounds it.
Token = Annotated[str, Text(1_000_000, 6_000_000), Meta(description="A token, exactly as it was given.")]
Milliseconds = Annotated[int, Meta(description="Milliseconds since the Unix epoch.")]


class NewTenantBody(msgspec.Struct):
    """A tenant to be."""

    email: Email
    password: TenantPassword


class TenantLoginBody(msgspec.Struct):
    """A tenant's e-mail address and password."""

    email: Email
    password: Password


class TokenBody(msgspec.Struct):
    """A token to ask about, or to end."""

    token: Token


class NewUserBody(msgspec.Struct):
    """A user to be."""

    login: Login
    email: Email
    password: UserPassword
    sub: Line
    company: Line | UnsetType = UNSET
    scope: Scope | UnsetType = UNSET


class LoginBody(msgspec.Struct):
    """A user's login and password, and the device the session is for."""

    login: Login
    password: Password
    deviceId: DeviceId  # noqa: N815 - the published name


class TenantCreated(msgspec.Struct):
    """A new tenant and a token of its first session."""

    id: str
    email: str
    login: Annotated[str, Meta(examples=["tenant:a@localhost"])]
    token: Token


class TokenGiven(msgspec.Struct):
    """A tenant's new token."""

    token: Token


class AccessGiven(msgspec.Struct):
    """A user's new token and how many seconds it lives."""

    accessToken: Token  # noqa: N815 - the published name
    expiresIn: int  # noqa: N815 - the published name


class UserShown(msgspec.Struct):
    """A user, as the tenant may see it."""

    id: str
    login: str
    email: str
    tenant: str
    company: str | UnsetType
    scope: Annotated[msgspec.Raw | UnsetType, Meta(extra_json_schema={})]
    sub: str
    registrationDate: Milliseconds  # noqa: N815 - the published name
    lastActivity: Milliseconds  # noqa: N815 - the published name


class UserPage(msgspec.Struct):
    """Some of the tenant's users, and where the next page begins; "0" on the last."""

    users: list[UserShown]
    nextCursor: str  # noqa: N815 - the published name


class Done(msgspec.Struct):
    """It is done."""

    result: int = 1


class UserClaimsShown(msgspec.Struct):
    """The claims of a user's token. `iat` and `exp` are seconds since the Unix epoch (RFC 7519)."""

    id: str
    login: str
    tenant: str
    deviceId: str  # noqa: N815 - the published name
    sub: str
    aud: str
    jti: str
    iat: int
    exp: int
    scope: Annotated[Any, Meta(description="Absent where the user has none.")] = None


class TenantClaimsShown(msgspec.Struct):
    """The claims of a tenant's token. `iat` and `exp` are seconds since the Unix epoch (RFC 7519)."""

    id: str
    login: str
    aud: str
    jti: str
    iat: int
    isTenant: bool  # noqa: N815 - the published name
    exp: Annotated[int | UnsetType, Meta(description="Absent where tenant tokens live until revoked.")] = UNSET


class UserDecoded(msgspec.Struct):
    """The token is true right now, and this is what it says."""

    decoded: UserClaimsShown


class TenantDecoded(msgspec.Struct):
    """The token is true right now, and this is what it says."""

    decoded: TenantClaimsShown


class Live(msgspec.Struct):
    """The process runs."""

    status: str = "live"


class Ready(msgspec.Struct):
    """Whether every store answers: "ok" or "away" for each."""

    status: str
    stores: dict[str, str]
