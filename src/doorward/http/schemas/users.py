"""A user: made, shown, changed, its password."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.http.fields import (
    Code,
    Email,
    Line,
    Login,
    Metadata,
    Milliseconds,
    Password,
    Scope,
    TenantId,
    Token,
    UserId,
    UserPassword,
    YesNo,
)


class NewUserBody(msgspec.Struct):
    """A user to be."""

    login: Login
    email: Email
    password: UserPassword
    sub: Annotated[Line, Meta(description="Your own name for the user.", examples=["customer-17"])]
    company: Line | UnsetType = UNSET
    scope: Scope | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


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


class UserPage(msgspec.Struct):
    """Some of the tenant's users, and where the next page begins; "0" on the last."""

    users: list[UserShown]
    nextCursor: Annotated[str, Meta(examples=["0"])]  # noqa: N815 - the published name


class PasswordChangeBody(msgspec.Struct):
    """The password that counts now, the one that is to count, and a token whose session goes on."""

    current: Password
    password: Password
    keepToken: Token | UnsetType = UNSET  # noqa: N815 - the published name


class CodeGiven(msgspec.Struct):
    """A code for the user, and how many seconds it is good for."""

    code: Code
    expiresIn: int  # noqa: N815 - the published name


class ResetBody(msgspec.Struct):
    """A code and the password it is to set."""

    code: Code
    password: Password
