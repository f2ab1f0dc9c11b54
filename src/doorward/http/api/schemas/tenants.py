"""Schemas of tenants: registration, login, settings, password."""

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

    `token` may be a live token of the same tenant: failures with it are counted separately from those of other clients.
    """

    NAME: ClassVar[str] = "TenantLoginRequest"

    email: ExistingTenantEmail
    password: Password
    token: (
        Annotated[Token, Meta(description="A live token of the same tenant: failures with it are counted separately.")]
        | UnsetType
    ) = UNSET


class TenantCreated(msgspec.Struct):
    """A new tenant with the token of its first session."""

    NAME: ClassVar[str] = "TenantCreated"

    id: TenantId
    email: TenantEmailOut
    login: TenantLoginOut
    token: Token


class TenantTokenResponse(msgspec.Struct):
    """A new token of a tenant, under two names: older versions of backend-auth use `accessToken`."""

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
    isTenant: Annotated[
        bool, Meta(description="Always true: it distinguishes the two kinds of tokens.", examples=[True])
    ]
    exp: Annotated[
        int | UnsetType,
        Meta(description="Absent without an expiry of tenant tokens.", examples=[1_767_830_400]),
    ] = UNSET


class TenantVerifyResponse(msgspec.Struct):
    """The claims of a live token."""

    NAME: ClassVar[str] = "TenantVerifyResponse"

    decoded: TenantClaimsResponse


class PasswordPolicyInput(msgspec.Struct):
    """Rules for users' new passwords, beyond not being empty."""

    NAME: ClassVar[str] = "PasswordPolicyInput"

    minLength: (
        Annotated[
            int, IntegerRule(6, 128), Meta(ge=6, le=128, description="Minimum length in characters.", examples=[15])
        ]
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
            Meta(description="Reject easily guessed passwords: common ones, rows of keys, the login.", examples=[True]),
        ]
        | UnsetType
    ) = UNSET


class TenantSettingsInput(msgspec.Struct):
    """Settings of a tenant. Times in seconds; null: the value of the service, for `sessionIdle` off."""

    NAME: ClassVar[str] = "TenantSettingsInput"

    sessionLifetime: (
        Annotated[Seconds, Meta(description="Lifetime of a user's session, from its login. Applies at once.")]
        | UnsetType
        | None
    ) = UNSET
    sessionIdle: (
        Annotated[IdleSeconds, Meta(description="Idle timeout of a user's session. Applies at once.")]
        | UnsetType
        | None
    ) = UNSET
    sessionsPerUser: (
        Annotated[
            int,
            IntegerRule(1, 100_000),
            Meta(
                ge=1, le=100_000, description="One more revokes the oldest. Applies at the next login.", examples=[10]
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    tenantSessionLifetime: (
        Annotated[Seconds, Meta(description="Lifetime of the tenant's own sessions, from the next login on.")]
        | UnsetType
        | None
    ) = UNSET
    passwordPolicy: (
        Annotated[
            PasswordPolicyInput | Literal["recommended"],
            NamedObjectRule(tuple(NAMED_POLICIES), ObjectRule(PasswordPolicyInput)),
            Meta(description="`recommended`: at least 15 characters, and no common password."),
        ]
        | UnsetType
    ) = UNSET
    readyHashes: (
        Annotated[
            Boolean,
            Meta(
                description="Treat a bcrypt string in the `password` of `POST /user` as a hash, as the newest version "
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
                description="`aud` of every introspection response. Without it: `JWT_AUDIENCE` and the id of the "
                "calling API key.",
                extra_json_schema={"examples": [["https://api.example.org"]]},
            ),
        ]
        | UnsetType
        | None
    ) = UNSET


class CreateTenantRequest(msgspec.Struct):
    """A new tenant. `settings` are its first settings, in the form of `PATCH /tenant`."""

    NAME: ClassVar[str] = "CreateTenantRequest"

    email: TenantEmail
    password: TenantPassword
    settings: Annotated[TenantSettingsInput, ObjectRule(TenantSettingsInput)] | UnsetType = UNSET


class UpdateTenantRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Settings to change; absent ones stay."""

    NAME: ClassVar[str] = "UpdateTenantRequest"

    settings: Annotated[TenantSettingsInput, ObjectRule(TenantSettingsInput)]


class PasswordPolicyResponse(msgspec.Struct):
    """Rules for users' new passwords, beyond not being empty."""

    NAME: ClassVar[str] = "PasswordPolicy"

    minLength: Annotated[int | None, Meta(description="Minimum length in characters; null: one.", examples=[15])]
    requireClasses: Annotated[
        bool, Meta(description="A lowercase letter, an uppercase letter and a digit.", examples=[False])
    ]
    blockCommon: Annotated[bool, Meta(description="Easily guessed passwords are rejected.", examples=[True])]


class TenantSettingsResponse(msgspec.Struct):
    """The effective settings of a tenant: its own, or those of the service.

    Times in seconds; null: off, or no limit.
    """

    NAME: ClassVar[str] = "TenantSettings"

    sessionLifetime: Annotated[
        int, Meta(description="Lifetime of a user's session, from its login.", examples=[604_800])
    ]
    sessionIdle: Annotated[int | None, Meta(description="Idle timeout of a user's session.", examples=[3600])]
    sessionsPerUser: Annotated[int | None, Meta(description="One more revokes the oldest.", examples=[100])]
    tenantSessionLifetime: Annotated[
        int | None, Meta(description="Lifetime of the tenant's own sessions.", examples=[2_592_000])
    ]
    passwordPolicy: PasswordPolicyResponse
    readyHashes: Annotated[
        bool, Meta(description="A bcrypt string in the `password` of `POST /user` is a hash.", examples=[False])
    ]
    introspectionAudience: Annotated[
        list[str] | None,
        Meta(
            description="`aud` of every introspection response. null: `JWT_AUDIENCE` and the id of the calling "
            "API key.",
            extra_json_schema={"examples": [None]},
        ),
    ]


class TenantResponse(msgspec.Struct):
    """A tenant."""

    NAME: ClassVar[str] = "Tenant"

    id: TenantId
    email: TenantEmailOut
    login: TenantLoginOut
    createdAt: Milliseconds
    settings: TenantSettingsResponse


class ChangeTenantPasswordRequest(msgspec.Struct):
    """The current password and the new one."""

    NAME: ClassVar[str] = "ChangeTenantPasswordRequest"

    current: Password
    password: TenantPassword


class DeleteTenantRequest(msgspec.Struct):
    """The tenant's password, so that a stolen token does not suffice."""

    NAME: ClassVar[str] = "DeleteTenantRequest"

    password: Password
