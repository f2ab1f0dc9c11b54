"""A tenant: registering, recognised, its settings, its audit trail."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.http.fields import (
    Audience,
    IssuedAt,
    Milliseconds,
    Password,
    Seconds,
    SessionId,
    TenantEmail,
    TenantId,
    TenantPassword,
    Token,
    YesNo,
)
from doorward.http.validation import Fields, Whole


class NewTenantBody(msgspec.Struct):
    """A tenant to be."""

    email: TenantEmail
    password: TenantPassword


class TenantLoginBody(msgspec.Struct):
    """A tenant's e-mail address and password."""

    email: TenantEmail
    password: Password


class TenantCreated(msgspec.Struct):
    """A new tenant and a token of its first session."""

    id: TenantId
    email: Annotated[str, Meta(examples=["shop@example.org"])]
    login: Annotated[str, Meta(examples=["tenant:shop@example.org"])]
    token: Token


class TokenGiven(msgspec.Struct):
    """A tenant's new token."""

    token: Token


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


class TenantDecoded(msgspec.Struct):
    """The token is true right now, and this is what it says."""

    decoded: TenantClaimsShown


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


class TenantPasswordBody(msgspec.Struct):
    """The password that counts now, and the one that is to count."""

    current: Password
    password: TenantPassword


class FarewellBody(msgspec.Struct):
    """The tenant's password, so that nobody deletes it with a token alone."""

    password: Password


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
