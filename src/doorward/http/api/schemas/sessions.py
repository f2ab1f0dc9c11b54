"""Schemas of user sessions: login, verification, refresh, lists."""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.http.api.fields import (
    MAX_TOKENS,
    TOKEN,
    Audience,
    Boolean,
    DeviceId,
    DeviceIdOut,
    ExistingLogin,
    ExpiresIn,
    Expiry,
    Ip,
    IssuedAt,
    LoginOut,
    Milliseconds,
    Password,
    RefreshToken,
    SessionId,
    SubOut,
    TenantId,
    Token,
    UserAgent,
    UserId,
)
from doorward.http.validation import ListRule, Variants


class LoginRequest(msgspec.Struct):
    """Login and password of a user, and the device of the session.

    `refresh` requests a refresh token. `token` may be a live token of the same user: failures with it are counted
    separately from those of other clients. `ip` and `userAgent` are stored with the session.
    """

    NAME: ClassVar[str] = "LoginRequest"

    login: ExistingLogin
    password: Password
    deviceId: DeviceId
    refresh: Annotated[
        Boolean, Meta(description="Issue a refresh token, and a short-lived access token.", examples=[False])
    ] = False
    token: (
        Annotated[Token, Meta(description="A live token of the same user: failures with it are counted separately.")]
        | UnsetType
    ) = UNSET
    ip: Ip | UnsetType = UNSET
    userAgent: UserAgent | UnsetType = UNSET


class TokenResponse(msgspec.Struct):
    """A new access token of a user and its lifetime in seconds; a refresh token if requested."""

    NAME: ClassVar[str] = "TokenResponse"

    accessToken: Token
    expiresIn: ExpiresIn
    refreshToken: Annotated[RefreshToken | UnsetType, Meta(description="Only if requested. Valid for one use.")] = UNSET


class RefreshRequest(msgspec.Struct):
    """A refresh token."""

    NAME: ClassVar[str] = "RefreshRequest"

    refreshToken: RefreshToken


class UserClaimsResponse(msgspec.Struct):
    """The claims of a user's token. `iat` and `exp` are seconds since the Unix epoch (RFC 7519)."""

    NAME: ClassVar[str] = "UserClaims"

    id: UserId
    login: LoginOut
    tenant: TenantId
    deviceId: DeviceIdOut
    sub: SubOut
    aud: Audience
    jti: SessionId
    iat: IssuedAt
    exp: Expiry
    scope: Annotated[
        Any | UnsetType,
        Meta(description="Absent where the user has none.", extra_json_schema={"examples": [["orders:read"]]}),
    ] = UNSET


class VerifyResponse(msgspec.Struct):
    """The claims of a live token."""

    NAME: ClassVar[str] = "VerifyResponse"

    decoded: UserClaimsResponse


class BatchVerifyRequest(msgspec.Struct):
    """Tokens to verify."""

    NAME: ClassVar[str] = "BatchVerifyRequest"

    tokens: Annotated[
        list[str],
        ListRule(1, MAX_TOKENS, TOKEN),
        Meta(
            min_length=1,
            max_length=MAX_TOKENS,
            description="Users' tokens, exactly as issued.",
            extra_json_schema={"examples": [["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.e30.c2ln"]]},
        ),
    ]


class ActiveToken(msgspec.Struct, kw_only=True):
    """An active token and its claims."""

    NAME: ClassVar[str] = "ActiveToken"

    active: Annotated[bool, Meta(description="Always true.", extra_json_schema={"const": True})] = True
    decoded: Annotated[
        msgspec.Raw,
        Meta(description="The claims.", extra_json_schema={"$ref": "#/components/schemas/UserClaims"}),
    ]


class InactiveToken(msgspec.Struct):
    """A token that is not active. The response does not say why."""

    NAME: ClassVar[str] = "InactiveToken"

    active: Annotated[bool, Meta(description="Always false.", extra_json_schema={"const": False})] = False


class BatchVerifyResponse(msgspec.Struct):
    """A result per token, in the order of the request."""

    NAME: ClassVar[str] = "BatchVerifyResponse"

    VARIANTS: ClassVar[Variants] = {"results": (ActiveToken, InactiveToken)}

    results: Annotated[list[Any], Meta(description="In the order of the request. `active` distinguishes the variants.")]


class SessionResponse(msgspec.Struct):
    """A user's session."""

    NAME: ClassVar[str] = "Session"

    id: SessionId
    deviceId: DeviceIdOut
    createdAt: Milliseconds
    lastActivity: Milliseconds
    expiresAt: Annotated[Milliseconds | None, Meta(description="Milliseconds since the Unix epoch.")]
    ip: Annotated[str | UnsetType, Meta(description="As reported at the login.", examples=["192.0.2.7"])] = UNSET
    userAgent: Annotated[
        str | UnsetType,
        Meta(description="As reported at the login.", examples=["Mozilla/5.0 (X11; Linux x86_64)"]),
    ] = UNSET


class SessionList(msgspec.Struct):
    """A user's live sessions, newest first."""

    NAME: ClassVar[str] = "SessionList"

    sessions: Annotated[list[SessionResponse], Meta(description="Newest first.")]
