"""A user: made, shown, changed, its password."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.http.api.fields import (
    Boolean,
    Code,
    Company,
    Email,
    EmailOut,
    EmailVerified,
    Login,
    LoginOut,
    Metadata,
    Milliseconds,
    NextCursor,
    Password,
    PasswordHash,
    Scope,
    Sub,
    SubOut,
    TenantId,
    Token,
    UserId,
)
from doorward.http.validation import ExclusiveFields


class CreateUserRequest(msgspec.Struct, kw_only=True):
    """A new user, with a password or a hash of one."""

    NAME: ClassVar[str] = "CreateUserRequest"

    ALTERNATIVES: ClassVar[ExclusiveFields] = ExclusiveFields("password", "passwordHash")

    login: Login
    email: Email
    password: Password | UnsetType = UNSET
    passwordHash: PasswordHash | UnsetType = UNSET
    sub: Sub
    company: Company | UnsetType = UNSET
    scope: Scope | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    emailVerified: EmailVerified | UnsetType = UNSET


class PathLogin(msgspec.Struct):
    """A login that came in the path."""

    login: Login


class PutUserRequest(msgspec.Struct, kw_only=True):
    """All of a user but its login, which is in the path, with a password or a hash of one."""

    NAME: ClassVar[str] = "PutUserRequest"

    ALTERNATIVES: ClassVar[ExclusiveFields] = ExclusiveFields("password", "passwordHash")

    email: Email
    password: Password | UnsetType = UNSET
    passwordHash: PasswordHash | UnsetType = UNSET
    sub: Sub
    company: Company | UnsetType = UNSET
    scope: Scope | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    emailVerified: EmailVerified | UnsetType = UNSET


class UpdateUserRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What of a user is to be changed; what is absent stays. null removes `company` and `metadata`."""

    NAME: ClassVar[str] = "UpdateUserRequest"

    ALTERNATIVES: ClassVar[ExclusiveFields] = ExclusiveFields("password", "passwordHash", required=False)

    login: Login | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    emailVerified: EmailVerified | UnsetType = UNSET
    sub: Sub | UnsetType = UNSET
    scope: Scope | UnsetType = UNSET
    company: Company | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    disabled: (
        Annotated[Boolean, Meta(description="true ends the sessions and refuses logins.", examples=[True])] | UnsetType
    ) = UNSET
    password: Password | UnsetType = UNSET
    passwordHash: PasswordHash | UnsetType = UNSET


class UserResponse(msgspec.Struct, kw_only=True):
    """A user, as the tenant may see it."""

    NAME: ClassVar[str] = "User"

    id: UserId
    login: LoginOut
    email: EmailOut
    tenant: TenantId
    company: Annotated[str | UnsetType, Meta(description="Absent where none was given.", examples=["Example Ltd"])] = (
        UNSET
    )
    scope: Annotated[
        msgspec.Raw | UnsetType,
        Meta(description="Absent where none was given.", extra_json_schema={"examples": [["orders:read"]]}),
    ] = UNSET
    sub: SubOut
    registrationDate: Milliseconds
    lastActivity: Milliseconds
    metadata: Annotated[
        msgspec.Raw | UnsetType,
        Meta(description="Absent where none was given.", extra_json_schema={"examples": [{"plan": "gold"}]}),
    ] = UNSET
    emailVerified: Annotated[
        bool | UnsetType,
        Meta(description="Whether the e-mail address was verified. Absent unless it is true.", examples=[True]),
    ] = UNSET
    disabled: Annotated[bool | UnsetType, Meta(description="Absent unless it is true.", examples=[True])] = UNSET


class UserPage(msgspec.Struct):
    """Some of the tenant's users, and where the next page begins; "0" on the last."""

    NAME: ClassVar[str] = "UserPage"

    users: Annotated[list[UserResponse], Meta(description="In the order of their logins.")]
    nextCursor: NextCursor


class ChangeUserPasswordRequest(msgspec.Struct):
    """The password that counts now, the one that is to count, and a token whose session goes on."""

    NAME: ClassVar[str] = "ChangeUserPasswordRequest"

    current: Password
    password: Password
    keepToken: Token | UnsetType = UNSET


class ResetCodeResponse(msgspec.Struct):
    """A code for the user, and how many seconds it is good for."""

    NAME: ClassVar[str] = "ResetCodeResponse"

    code: Code
    expiresIn: Annotated[int, Meta(description="How long it is good for, in seconds.", examples=[600])]


class ResetPasswordRequest(msgspec.Struct):
    """A code and the password it is to set."""

    NAME: ClassVar[str] = "ResetPasswordRequest"

    code: Code
    password: Password
