"""A tenant: registering, recognised, its settings, its audit trail."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.core.tenants.settings import NAMED_POLICIES
from doorward.http.api.fields import (
    AUDIENCE,
    MAX_AUDIENCES,
    Audience,
    Boolean,
    ExistingTenantEmail,
    IdleSeconds,
    IssuedAt,
    Milliseconds,
    NextCursor,
    Password,
    Seconds,
    SessionId,
    TenantEmail,
    TenantEmailOut,
    TenantId,
    TenantLoginOut,
    TenantPassword,
    Token,
)
from doorward.http.validation import IntegerRule, ListRule, NamedObjectRule, ObjectRule


class TenantLoginRequest(msgspec.Struct):
    """A tenant's e-mail address and password.

    `token` may be a live token of the same tenant: failures with it are counted apart from those of other clients.
    """

    NAME: ClassVar[str] = "TenantLoginRequest"

    email: ExistingTenantEmail
    password: Password
    token: (
        Annotated[Token, Meta(description="A live token of the same tenant: failures with it are counted apart.")]
        | UnsetType
    ) = UNSET


class TenantCreated(msgspec.Struct):
    """A new tenant and a token of its first session."""

    NAME: ClassVar[str] = "TenantCreated"

    id: TenantId
    email: TenantEmailOut
    login: TenantLoginOut
    token: Token


class TenantTokenResponse(msgspec.Struct):
    """A tenant's new token, under two names: `accessToken` is the one that the older versions of backend-auth use."""

    NAME: ClassVar[str] = "TenantTokenResponse"

    token: Token
    accessToken: Annotated[Token, Meta(description="The same as `token`.")]


class TenantClaimsResponse(msgspec.Struct):
    """The claims of a tenant's token. `iat` and `exp` are seconds since the Unix epoch (RFC 7519)."""

    NAME: ClassVar[str] = "TenantClaims"

    id: TenantId
    login: TenantLoginOut
    aud: Audience
    jti: SessionId
    iat: IssuedAt
    isTenant: Annotated[bool, Meta(description="Always true: it is what tells the two kinds apart.", examples=[True])]
    exp: Annotated[
        int | UnsetType,
        Meta(description="Absent where tenant tokens live until they are revoked.", examples=[1_767_830_400]),
    ] = UNSET


class TenantVerifyResponse(msgspec.Struct):
    """The token is true right now, and this is what it says."""

    NAME: ClassVar[str] = "TenantVerifyResponse"

    decoded: TenantClaimsResponse


class PasswordPolicyInput(msgspec.Struct):
    """What users' new passwords have to satisfy, beyond not being empty."""

    NAME: ClassVar[str] = "PasswordPolicyInput"

    minLength: (
        Annotated[int, IntegerRule(6, 128), Meta(ge=6, le=128, description="Characters, at least.", examples=[15])]
        | UnsetType
        | None
    ) = UNSET
    requireClasses: (
        Annotated[Boolean, Meta(description="A lowercase letter, an uppercase letter and a digit.", examples=[False])]
        | UnsetType
    ) = UNSET
    blockCommon: (
        Annotated[
            Boolean,
            Meta(description="Refuse what is tried first: common ones, rows of keys, the login.", examples=[True]),
        ]
        | UnsetType
    ) = UNSET


class TenantSettingsInput(msgspec.Struct):
    """A tenant's choices. Times in seconds; null: as the service has it, for `sessionIdle` off."""

    NAME: ClassVar[str] = "TenantSettingsInput"

    sessionLifetime: (
        Annotated[Seconds, Meta(description="Of a user's session, from its login. Counts at once.")] | UnsetType | None
    ) = UNSET
    sessionIdle: (
        Annotated[
            IdleSeconds, Meta(description="A user's session ends when it is not used for this long. Counts at once.")
        ]
        | UnsetType
        | None
    ) = UNSET
    sessionsPerUser: (
        Annotated[
            int,
            IntegerRule(1, 100_000),
            Meta(ge=1, le=100_000, description="One more ends the oldest. Counts at the next login.", examples=[10]),
        ]
        | UnsetType
        | None
    ) = UNSET
    tenantSessionLifetime: (
        Annotated[Seconds, Meta(description="Of the tenant's own sessions, from the next login on.")] | UnsetType | None
    ) = UNSET
    passwordPolicy: (
        Annotated[
            PasswordPolicyInput | Literal["recommended"],
            NamedObjectRule(tuple(NAMED_POLICIES), ObjectRule(PasswordPolicyInput)),
            Meta(description="`recommended`: at least 15 characters, and none of the common passwords."),
        ]
        | UnsetType
    ) = UNSET
    readyHashes: (
        Annotated[
            Boolean,
            Meta(
                description="Take a bcrypt string in the `password` of `POST /user` for a hash, as the newest version "
                "of backend-auth does.",
                examples=[False],
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    introspectionAudience: (
        Annotated[
            list[str],
            ListRule(1, MAX_AUDIENCES, AUDIENCE),
            Meta(
                min_length=1,
                max_length=MAX_AUDIENCES,
                description="`aud` of every introspection response. Without it: `JWT_AUDIENCE` and the id of the API "
                "key that asks.",
                extra_json_schema={"examples": [["https://api.example.org"]]},
            ),
        ]
        | UnsetType
        | None
    ) = UNSET


class CreateTenantRequest(msgspec.Struct):
    """A new tenant. `settings` are its choices from the beginning, as `PATCH /tenant` takes them."""

    NAME: ClassVar[str] = "CreateTenantRequest"

    email: TenantEmail
    password: TenantPassword
    settings: Annotated[TenantSettingsInput, ObjectRule(TenantSettingsInput)] | UnsetType = UNSET


class UpdateTenantRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The settings to change; what is absent stays."""

    NAME: ClassVar[str] = "UpdateTenantRequest"

    settings: Annotated[TenantSettingsInput, ObjectRule(TenantSettingsInput)]


class PasswordPolicyResponse(msgspec.Struct):
    """What users' new passwords have to satisfy, beyond not being empty."""

    NAME: ClassVar[str] = "PasswordPolicy"

    minLength: Annotated[int | None, Meta(description="Characters, at least; null: one.", examples=[15])]
    requireClasses: Annotated[
        bool, Meta(description="A lowercase letter, an uppercase letter and a digit.", examples=[False])
    ]
    blockCommon: Annotated[bool, Meta(description="Nothing that is tried first.", examples=[True])]


class TenantSettingsResponse(msgspec.Struct):
    """What counts for this tenant: its own choice, or the service's. Times in seconds; null: off, or no limit."""

    NAME: ClassVar[str] = "TenantSettings"

    sessionLifetime: Annotated[int, Meta(description="Of a user's session, from its login.", examples=[604_800])]
    sessionIdle: Annotated[
        int | None, Meta(description="After so long without a question a user's session ends.", examples=[3600])
    ]
    sessionsPerUser: Annotated[int | None, Meta(description="One more ends the oldest.", examples=[100])]
    tenantSessionLifetime: Annotated[
        int | None, Meta(description="Of the tenant's own sessions.", examples=[2_592_000])
    ]
    passwordPolicy: PasswordPolicyResponse
    readyHashes: Annotated[
        bool, Meta(description="A bcrypt string in the `password` of `POST /user` is a hash.", examples=[False])
    ]
    introspectionAudience: Annotated[
        list[str] | None,
        Meta(
            description="`aud` of every introspection response. null: `JWT_AUDIENCE` and the id of the API key that "
            "asks.",
            extra_json_schema={"examples": [None]},
        ),
    ]


class TenantResponse(msgspec.Struct):
    """A tenant, as it sees itself."""

    NAME: ClassVar[str] = "Tenant"

    id: TenantId
    email: TenantEmailOut
    login: TenantLoginOut
    createdAt: Milliseconds
    settings: TenantSettingsResponse


class ChangeTenantPasswordRequest(msgspec.Struct):
    """The password that counts now, and the one that is to count."""

    NAME: ClassVar[str] = "ChangeTenantPasswordRequest"

    current: Password
    password: TenantPassword


class DeleteTenantRequest(msgspec.Struct):
    """The tenant's password, so that nobody deletes it with a token alone."""

    NAME: ClassVar[str] = "DeleteTenantRequest"

    password: Password


class AuditEventResponse(msgspec.Struct):
    """Something that happened. `subject` is a user's or a key's id, `session` a fingerprint of a session's id."""

    NAME: ClassVar[str] = "AuditEvent"

    at: Milliseconds
    action: Annotated[str, Meta(description="What happened.", examples=["user.login"])]
    outcome: Annotated[str, Meta(extra_json_schema={"enum": ["success", "failure"]}, description="How it ended.")]
    actor: Annotated[
        str, Meta(description="`tenant`, `key:` and its id, `operator`, or `anybody`.", examples=["tenant"])
    ]
    subject: Annotated[
        str | UnsetType,
        Meta(description="Whom or what it happened to.", examples=["7d4f5c3a-8a0e-4f2b-9b7a-52e6c1d0a9f4"]),
    ] = UNSET
    session: Annotated[str | UnsetType, Meta(description="Which session.", examples=["3c59dc048e885024"])] = UNSET
    ip: Annotated[str | UnsetType, Meta(description="Where the request came from.", examples=["192.0.2.1"])] = UNSET
    requestId: Annotated[
        str | UnsetType, Meta(description="`X-Request-Id` of the answer.", examples=["5f2c9a1e-1"])
    ] = UNSET
    reason: Annotated[str | UnsetType, Meta(description="Why it failed.", examples=["password"])] = UNSET
    detail: Annotated[
        str | UnsetType, Meta(description="`hash`: a password hash was given, not a password.", examples=["hash"])
    ] = UNSET


class AuditEventPage(msgspec.Struct):
    """Some of the tenant's events, newest first, and where the next page begins; "0" on the last."""

    NAME: ClassVar[str] = "AuditEventPage"

    events: Annotated[list[AuditEventResponse], Meta(description="Newest first.")]
    nextCursor: NextCursor
