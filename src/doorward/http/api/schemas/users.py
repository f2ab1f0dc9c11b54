"""Schemas of users: create, show, update, list, passwords."""

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
    """A new user, with a password or a password hash."""

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
    """A login in the path."""

    login: Login


class PutUserRequest(msgspec.Struct, kw_only=True):
    """All attributes of a user except its login, which is in the path, with a password or a password hash."""

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
    """Attributes of a user to change; absent ones stay. null removes `company` and `metadata`."""

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
        Annotated[Boolean, Meta(description="true revokes the sessions and rejects logins.", examples=[True])]
        | UnsetType
    ) = UNSET
    password: Password | UnsetType = UNSET
    passwordHash: PasswordHash | UnsetType = UNSET


class UserResponse(msgspec.Struct, kw_only=True):
    """A user."""

    NAME: ClassVar[str] = "User"

    id: UserId
    login: LoginOut
    email: EmailOut
    tenant: TenantId
    company: Annotated[str | UnsetType, Meta(description="Absent without a value.", examples=["Example Ltd"])] = UNSET
    scope: Annotated[
        msgspec.Raw | UnsetType,
        Meta(description="Absent without a value.", extra_json_schema={"examples": [["orders:read"]]}),
    ] = UNSET
    sub: SubOut
    registrationDate: Milliseconds
    lastActivity: Milliseconds
    metadata: Annotated[
        msgspec.Raw | UnsetType,
        Meta(description="Absent without a value.", extra_json_schema={"examples": [{"plan": "gold"}]}),
    ] = UNSET
    emailVerified: Annotated[
        bool | UnsetType,
        Meta(description="The e-mail address is verified. Absent unless true.", examples=[True]),
    ] = UNSET
    disabled: Annotated[bool | UnsetType, Meta(description="Absent unless true.", examples=[True])] = UNSET


class UserPage(msgspec.Struct):
    """Users of the tenant, and the cursor of the next page; "0" on the last."""

    NAME: ClassVar[str] = "UserPage"

    users: Annotated[list[UserResponse], Meta(description="In the order of their logins.")]
    nextCursor: NextCursor


class ChangeUserPasswordRequest(msgspec.Struct):
    """The current password, the new one, and a token whose session stays valid."""

    NAME: ClassVar[str] = "ChangeUserPasswordRequest"

    current: Password
    password: Password
    keepToken: Token | UnsetType = UNSET


class ResetCodeResponse(msgspec.Struct):
    """A reset code of a user and its lifetime in seconds."""

    NAME: ClassVar[str] = "ResetCodeResponse"

    code: Code
    expiresIn: Annotated[int, Meta(description="Lifetime in seconds.", examples=[600])]


class ResetPasswordRequest(msgspec.Struct):
    """A reset code and the new password."""

    NAME: ClassVar[str] = "ResetPasswordRequest"

    code: Code
    password: Password
