"""A session of a user: opened, asked about, renewed, listed."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.http.fields import (
    MOST_TOKENS,
    TOKEN,
    Audience,
    DeviceId,
    Expiry,
    IssuedAt,
    Line,
    Login,
    Milliseconds,
    Password,
    SessionId,
    TenantId,
    Token,
    UserAgent,
    UserId,
    YesNo,
)
from doorward.http.validation import Items


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


class AccessGiven(msgspec.Struct):
    """A user's new token and how many seconds it lives; a refresh token where one was asked for."""

    accessToken: Token  # noqa: N815 - the published name
    expiresIn: Annotated[int, Meta(description="Seconds.", examples=[604_800])]  # noqa: N815 - the published name
    refreshToken: Token | UnsetType = UNSET  # noqa: N815 - the published name


class RefreshBody(msgspec.Struct):
    """A refresh token."""

    refreshToken: Token  # noqa: N815 - the published name


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


class UserDecoded(msgspec.Struct):
    """The token is true right now, and this is what it says."""

    decoded: UserClaimsShown


class TokensBody(msgspec.Struct):
    """Tokens to ask about."""

    tokens: Annotated[list[str], Items(1, MOST_TOKENS, TOKEN), Meta(min_length=1, max_length=MOST_TOKENS)]


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
