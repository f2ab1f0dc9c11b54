"""What comes in and goes out, as structs with the published names. Rules of texts stand beside their types."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.core.hash_formats import BCRYPT_MAX_COST, BCRYPT_MIN_COST, UnfitHash, bcrypt_cost
from doorward.core.hash_formats import LONGEST as LONGEST_HASH
from doorward.core.identity import canonical, is_email, is_visible
from doorward.core.model import Permission
from doorward.core.passwords import MAX_BYTES, MAX_CHARACTERS
from doorward.core.user_transfer import MOST_ROWS, Status
from doorward.http.validation import AnyJson, Fields, Flag, Items, OneOf, Text, Whole

NAME_CHARACTERS = 256
NAME_BYTES = 512
CANONICAL_BYTES = 1024
SCOPE_BYTES = 4096
SCOPE_DEPTH = 8
MOST_TOKENS = 500
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
    Meta(
        min_length=1,
        max_length=NAME_CHARACTERS,
        description="Need not be unique among users. An address without a dot, such as a@localhost, is one.",
        examples=["alice@example.org"],
    ),
]
TenantEmail = Annotated[
    Email, Meta(description="Unique among tenants, whatever its case.", examples=["shop@example.org"])
]
Login = Annotated[
    str,
    Text(NAME_CHARACTERS, NAME_BYTES, _login),
    Meta(
        min_length=1,
        max_length=NAME_CHARACTERS,
        description="Unique inside the tenant by its NFKC-casefolded form.",
        examples=["alice"],
    ),
]
DeviceId = Annotated[
    str,
    Text(NAME_CHARACTERS, NAME_BYTES, _name),
    Meta(
        min_length=1,
        max_length=NAME_CHARACTERS,
        description="Any name for the device; need not be unique.",
        examples=["laptop"],
    ),
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
TOKEN = Text(1_000_000, 6_000_000)
Token = Annotated[
    str,
    TOKEN,
    Meta(
        description="A token, exactly as it was given.",
        examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.e30.c2ln"],
    ),
]
Milliseconds = Annotated[int, Meta(description="Milliseconds since the Unix epoch.", examples=[1_767_225_600_000])]
IssuedAt = Annotated[int, Meta(description="Seconds since the Unix epoch.", examples=[1_767_225_600])]
Expiry = Annotated[int, Meta(description="Seconds since the Unix epoch.", examples=[1_767_830_400])]
UserId = Annotated[
    str, Meta(description="Never changes, never given twice.", examples=["7d4f5c3a-8a0e-4f2b-9b7a-52e6c1d0a9f4"])
]
TenantId = Annotated[
    str, Meta(description="Never changes, never given twice.", examples=["0b9d3f0e-6a53-4c1e-8d0e-2f6f4c0f7a11"])
]
SessionId = Annotated[str, Meta(description="The session's id.", examples=["q0rX3mJ1S5uWc2yVb8Kd9A"])]
Audience = Annotated[str, Meta(description="The setting JWT_AUDIENCE.", examples=["doorward"])]
YesNo = Annotated[bool, Flag()]
Seconds = Annotated[int, Whole(1, 315_360_000), Meta(ge=1, le=315_360_000, description="Seconds.")]
# What a row holds is judged row by row; the body's limit bounds it.
ANYTHING = AnyJson(1 << 20, 1 << 20)
Code = Annotated[str, Text(200, 800), Meta(max_length=200, description="A code, exactly as it was given.")]
Metadata = Annotated[
    Any,
    AnyJson(SCOPE_DEPTH, SCOPE_BYTES),
    Meta(description=f"Any JSON, at most {SCOPE_DEPTH} levels and {SCOPE_BYTES} bytes. It is in no token."),
]
UserAgent = Annotated[str, Text(NAME_CHARACTERS * 4, NAME_BYTES * 4), Meta(max_length=NAME_CHARACTERS * 4)]


class NewTenantBody(msgspec.Struct):
    """A tenant to be."""

    email: TenantEmail
    password: TenantPassword


class TenantLoginBody(msgspec.Struct):
    """A tenant's e-mail address and password."""

    email: TenantEmail
    password: Password


class TokenBody(msgspec.Struct):
    """A token to ask about, or to end."""

    token: Token


class NewUserBody(msgspec.Struct):
    """A user to be."""

    login: Login
    email: Email
    password: UserPassword
    sub: Annotated[Line, Meta(description="Your own name for the user.", examples=["customer-17"])]
    company: Line | UnsetType = UNSET
    scope: Scope | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class ImportedUser(msgspec.Struct):
    """A user of another system. Without `passwordHash` nobody can log in as it until its password is set."""

    login: Login
    email: Email
    sub: Annotated[Line, Meta(description="Your own name for the user.", examples=["customer-17"])]
    passwordHash: (  # noqa: N815 - the published name
        Annotated[
            str,
            Text(LONGEST_HASH, LONGEST_HASH),
            Meta(min_length=1, max_length=LONGEST_HASH, description="As the other system spells it: see the guide."),
        ]
        | UnsetType
        | None
    ) = UNSET
    company: Line | UnsetType | None = UNSET
    scope: Scope | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    disabled: YesNo | UnsetType = UNSET


class UsersBody(msgspec.Struct):
    """Users of another system. Each is judged by itself, by the rules of a user to be."""

    users: Annotated[list[ImportedUser], Items(1, MOST_ROWS, ANYTHING), Meta(min_length=1, max_length=MOST_ROWS)]


class LoginOfPath(msgspec.Struct):
    """A login that came in the path."""

    login: Login


class PutUserBody(msgspec.Struct):
    """All of a user but its login, which is in the path."""

    email: Email
    password: UserPassword
    sub: Line
    company: Line | UnsetType = UNSET
    scope: Scope | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class UserChangesBody(msgspec.Struct):
    """What of a user is to be changed; what is absent stays. null removes `company` and `metadata`."""

    email: Email | UnsetType = UNSET
    sub: Line | UnsetType = UNSET
    scope: Scope | UnsetType = UNSET
    company: Line | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    disabled: YesNo | UnsetType = UNSET
    password: UserPassword | UnsetType = UNSET


class PasswordChangeBody(msgspec.Struct):
    """The password that counts now, the one that is to count, and a token whose session goes on."""

    current: Password
    password: Password
    keepToken: Token | UnsetType = UNSET  # noqa: N815 - the published name


class ResetBody(msgspec.Struct):
    """A code and the password it is to set."""

    code: Code
    password: Password


class RefreshBody(msgspec.Struct):
    """A refresh token."""

    refreshToken: Token  # noqa: N815 - the published name


class TokensBody(msgspec.Struct):
    """Tokens to ask about."""

    tokens: Annotated[list[str], Items(1, MOST_TOKENS, TOKEN), Meta(min_length=1, max_length=MOST_TOKENS)]


class PasswordPolicyBody(msgspec.Struct):
    """What users' new passwords have to satisfy, beyond not being empty."""

    minLength: Annotated[int, Whole(6, 128)] | UnsetType | None = UNSET  # noqa: N815 - the published name
    requireClasses: YesNo | UnsetType = UNSET  # noqa: N815 - the published name
    blockCommon: YesNo | UnsetType = UNSET  # noqa: N815 - the published name


class SettingsBody(msgspec.Struct):
    """A tenant's choices. Times in seconds; null: as the service has it, for `sessionIdle` off."""

    sessionLifetime: Seconds | UnsetType | None = UNSET  # noqa: N815 - the published name
    sessionIdle: Seconds | UnsetType | None = UNSET  # noqa: N815 - the published name
    sessionsPerUser: Annotated[int, Whole(1, 100000)] | UnsetType | None = UNSET  # noqa: N815 - the published name
    tenantSessionLifetime: Seconds | UnsetType | None = UNSET  # noqa: N815 - the published name
    passwordPolicy: (  # noqa: N815 - the published name
        Annotated[PasswordPolicyBody, Fields(PasswordPolicyBody)] | UnsetType
    ) = UNSET


class TenantChangesBody(msgspec.Struct):
    """The settings to change; what is absent stays."""

    settings: Annotated[SettingsBody, Fields(SettingsBody)]


class TenantPasswordBody(msgspec.Struct):
    """The password that counts now, and the one that is to count."""

    current: Password
    password: TenantPassword


class FarewellBody(msgspec.Struct):
    """The tenant's password, so that nobody deletes it with a token alone."""

    password: Password


class NewKeyBody(msgspec.Struct):
    """A machine credential to be."""

    name: Line
    permissions: Annotated[
        list[Permission],
        Items(1, len(Permission), OneOf(tuple(Permission))),
        Meta(min_length=1, max_length=len(Permission)),
    ]
    expiresAt: Annotated[int, Whole(0, 1 << 52)] | UnsetType | None = UNSET  # noqa: N815 - the published name


class TokenForm(msgspec.Struct):
    """A form with a token (RFC 7662, RFC 7009)."""

    token: Token
    token_type_hint: Code | UnsetType = UNSET


class LoginBody(msgspec.Struct):
    """A user's login and password, and the device the session is for.

    `refresh` asks for a refresh token. `token` may be a live token of the same user: failures with it are counted apart
    from everybody else's. `ip` and `userAgent` are kept with the session.
    """

    login: Login
    password: Password
    deviceId: DeviceId  # noqa: N815 - the published name
    refresh: YesNo = False
    token: Token | UnsetType = UNSET
    ip: Line | UnsetType = UNSET
    userAgent: UserAgent | UnsetType = UNSET  # noqa: N815 - the published name


class TenantCreated(msgspec.Struct):
    """A new tenant and a token of its first session."""

    id: TenantId
    email: Annotated[str, Meta(examples=["shop@example.org"])]
    login: Annotated[str, Meta(examples=["tenant:shop@example.org"])]
    token: Token


class TokenGiven(msgspec.Struct):
    """A tenant's new token."""

    token: Token


class AccessGiven(msgspec.Struct):
    """A user's new token and how many seconds it lives; a refresh token where one was asked for."""

    accessToken: Token  # noqa: N815 - the published name
    expiresIn: Annotated[int, Meta(description="Seconds.", examples=[604_800])]  # noqa: N815 - the published name
    refreshToken: Token | UnsetType = UNSET  # noqa: N815 - the published name


class UserShown(msgspec.Struct, kw_only=True):
    """A user, as the tenant may see it."""

    id: UserId
    login: Annotated[str, Meta(examples=["alice"])]
    email: Annotated[str, Meta(examples=["alice@example.org"])]
    tenant: TenantId
    company: Annotated[str | UnsetType, Meta(description="Absent where none was given.", examples=["Example Ltd"])] = (
        UNSET
    )
    scope: Annotated[
        msgspec.Raw | UnsetType,
        Meta(description="Absent where none was given.", extra_json_schema={"examples": [["orders:read"]]}),
    ] = UNSET
    sub: Annotated[str, Meta(examples=["customer-17"])]
    registrationDate: Milliseconds  # noqa: N815 - the published name
    lastActivity: Milliseconds  # noqa: N815 - the published name
    metadata: Annotated[msgspec.Raw | UnsetType, Meta(extra_json_schema={})] = UNSET
    disabled: bool | UnsetType = UNSET


class UserExported(UserShown, kw_only=True):
    """A user with everything that is kept of it."""

    passwordHash: str | UnsetType = UNSET  # noqa: N815 - the published name


class UserPage(msgspec.Struct):
    """Some of the tenant's users, and where the next page begins; "0" on the last."""

    users: list[UserShown]
    nextCursor: Annotated[str, Meta(examples=["0"])]  # noqa: N815 - the published name


class Done(msgspec.Struct):
    """It is done."""

    result: int = 1


class UserClaimsShown(msgspec.Struct):
    """The claims of a user's token. `iat` and `exp` are seconds since the Unix epoch (RFC 7519)."""

    id: UserId
    login: Annotated[str, Meta(examples=["alice"])]
    tenant: TenantId
    deviceId: Annotated[str, Meta(examples=["laptop"])]  # noqa: N815 - the published name
    sub: Annotated[str, Meta(examples=["customer-17"])]
    aud: Audience
    jti: SessionId
    iat: IssuedAt
    exp: Expiry
    scope: Annotated[
        Any | UnsetType,
        Meta(description="Absent where the user has none.", extra_json_schema={"examples": [["orders:read"]]}),
    ] = UNSET


class TenantClaimsShown(msgspec.Struct):
    """The claims of a tenant's token. `iat` and `exp` are seconds since the Unix epoch (RFC 7519)."""

    id: TenantId
    login: Annotated[str, Meta(examples=["tenant:shop@example.org"])]
    aud: Audience
    jti: SessionId
    iat: IssuedAt
    isTenant: Annotated[bool, Meta(examples=[True])]  # noqa: N815 - the published name
    exp: Annotated[
        int | UnsetType,
        Meta(description="Absent where tenant tokens live until they are revoked.", examples=[1_767_830_400]),
    ] = UNSET


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

    status: Annotated[str, Meta(examples=["ready"], extra_json_schema={"enum": ["ready", "unready"]})]
    stores: Annotated[
        dict[str, str],
        Meta(examples=[{"database": "ok"}], extra_json_schema={"additionalProperties": {"enum": ["ok", "away"]}}),
    ]


class RowOutcome(msgspec.Struct, kw_only=True):
    """What became of a row. `login` is absent where the row has none; `code` and `error` say why it was refused."""

    login: str | UnsetType = UNSET
    status: Status
    code: Annotated[str | UnsetType, Meta(examples=["hash_unreadable"])] = UNSET
    error: Annotated[str | UnsetType, Meta(examples=[UnfitHash.sentence])] = UNSET


class UsersImported(msgspec.Struct):
    """How many rows there were of each kind, and what became of each, in their order."""

    created: int
    exists: int
    refused: int
    results: list[RowOutcome]


class CodeGiven(msgspec.Struct):
    """A code for the user, and how many seconds it is good for."""

    code: Code
    expiresIn: int  # noqa: N815 - the published name


class Active(msgspec.Struct):
    """The token is true right now, and this is what it says; or it is not, and nobody says why."""

    active: bool
    decoded: Annotated[msgspec.Raw | UnsetType, Meta(extra_json_schema={})] = UNSET


class BatchAnswered(msgspec.Struct):
    """An answer for each token, in their order."""

    results: list[Active]


class SessionShown(msgspec.Struct):
    """A user's session, as its tenant may see it."""

    id: str
    deviceId: str  # noqa: N815 - the published name
    createdAt: Milliseconds  # noqa: N815 - the published name
    lastActivity: Milliseconds  # noqa: N815 - the published name
    expiresAt: Milliseconds | None  # noqa: N815 - the published name
    ip: str | UnsetType = UNSET
    userAgent: str | UnsetType = UNSET  # noqa: N815 - the published name


class SessionsShown(msgspec.Struct):
    """A user's live sessions, newest first."""

    sessions: list[SessionShown]


class PasswordPolicyShown(msgspec.Struct):
    """What users' new passwords have to satisfy, beyond not being empty."""

    minLength: int | None  # noqa: N815 - the published name
    requireClasses: bool  # noqa: N815 - the published name
    blockCommon: bool  # noqa: N815 - the published name


class SettingsShown(msgspec.Struct):
    """What counts for this tenant: its own choice, or the service's. Times in seconds; null: off, or no limit."""

    sessionLifetime: int  # noqa: N815 - the published name
    sessionIdle: int | None  # noqa: N815 - the published name
    sessionsPerUser: int | None  # noqa: N815 - the published name
    tenantSessionLifetime: int | None  # noqa: N815 - the published name
    passwordPolicy: PasswordPolicyShown  # noqa: N815 - the published name


class TenantShown(msgspec.Struct):
    """A tenant, as it sees itself."""

    id: str
    email: str
    login: Annotated[str, Meta(examples=["tenant:a@localhost"])]
    createdAt: Milliseconds  # noqa: N815 - the published name
    settings: SettingsShown


class KeyShown(msgspec.Struct):
    """An API key, without the key."""

    id: str
    name: str
    permissions: list[str]
    createdAt: Milliseconds  # noqa: N815 - the published name
    expiresAt: Milliseconds | None  # noqa: N815 - the published name
    lastUsed: Milliseconds | None  # noqa: N815 - the published name


class KeyMade(KeyShown):
    """A new API key. The key itself is shown this once."""

    key: Annotated[str, Meta(description="Keep it; nobody can show it again.")] = ""


class KeysShown(msgspec.Struct):
    """The tenant's API keys, oldest first."""

    keys: list[KeyShown]
    nextCursor: str = "0"  # noqa: N815 - the published name


class EventShown(msgspec.Struct):
    """Something that happened. `subject` is a user's or a key's id, `session` a fingerprint of a session's id."""

    at: Milliseconds
    action: str
    outcome: str
    actor: str
    subject: str | UnsetType = UNSET
    session: str | UnsetType = UNSET
    ip: str | UnsetType = UNSET
    requestId: str | UnsetType = UNSET  # noqa: N815 - the published name
    reason: str | UnsetType = UNSET


class EventPage(msgspec.Struct):
    """Some of the tenant's events, newest first, and where the next page begins; "0" on the last."""

    events: list[EventShown]
    nextCursor: str  # noqa: N815 - the published name


class Introspected(msgspec.Struct):
    """Whether the token is active, and what it says (RFC 7662). `scope` where it is a text, else `scope_data`."""

    active: bool
    token_type: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    username: str | UnsetType = UNSET
    sub: str | UnsetType = UNSET
    aud: str | UnsetType = UNSET
    jti: str | UnsetType = UNSET
    iat: int | UnsetType = UNSET
    exp: int | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    device_id: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    scope_data: Any = UNSET


class ServerMetadata(msgspec.Struct):
    """What of OAuth 2.0 is here (RFC 8414)."""

    issuer: str
    introspection_endpoint: str
    introspection_endpoint_auth_methods_supported: list[str]
    revocation_endpoint: str
    revocation_endpoint_auth_methods_supported: list[str]
    response_types_supported: list[str]
    grant_types_supported: list[str]
    service_documentation: str


class Nothing(msgspec.Struct):
    """An empty object."""
