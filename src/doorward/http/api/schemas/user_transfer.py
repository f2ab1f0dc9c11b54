"""Schemas of user import and export."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.core.passwords.formats import MAX_HASH_LENGTH as LONGEST_HASH
from doorward.core.passwords.formats import UnsupportedHash
from doorward.core.users.transfer import MAX_ROWS, RowStatus
from doorward.http.api.fields import Boolean, Company, Email, Login, LoginOut, Metadata, Scope, Sub
from doorward.http.api.schemas.users import UserResponse
from doorward.http.validation import JsonRule, ListRule, TextRule

# The content is checked row by row; the limit of the body bounds it.
ANYTHING = JsonRule(1 << 20, 1 << 20)


class ImportUser(msgspec.Struct):
    """A user of another system. Without `passwordHash` no login succeeds until a password is set."""

    NAME: ClassVar[str] = "ImportUser"

    login: Login
    email: Email
    sub: Sub
    passwordHash: (
        Annotated[
            str,
            TextRule(LONGEST_HASH, LONGEST_HASH),
            Meta(
                min_length=1,
                max_length=LONGEST_HASH,
                description="In the spelling of the other system: see the guide.",
                examples=["pbkdf2_sha256$1000000$Qd3Zt8Vw1yLm$5oQ0yXhJ3mE1cWq8nT2bR7uK9vL4sZ6aF0dG1hI2jK4="],
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    company: Company | UnsetType | None = UNSET
    scope: Scope | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    emailVerified: (
        Annotated[
            Boolean,
            Meta(
                description="The other system has verified the e-mail address. Users with false are imported as "
                "disabled, unless `unconfirmed` says otherwise.",
                examples=[True],
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    disabled: Annotated[Boolean, Meta(description="The user cannot log in.", examples=[False])] | UnsetType = UNSET


class ImportUsersRequest(msgspec.Struct):
    """Users of another system. Each row is checked by itself, with the rules for new users."""

    NAME: ClassVar[str] = "ImportUsersRequest"

    users: Annotated[
        list[ImportUser],
        ListRule(1, MAX_ROWS, ANYTHING),
        Meta(min_length=1, max_length=MAX_ROWS, description="The users, in any order."),
    ]


class ExportedUser(UserResponse, kw_only=True):
    """A user with all of its data."""

    NAME: ClassVar[str] = "ExportedUser"

    passwordHash: Annotated[
        str | UnsetType,
        Meta(description="Only with `hashes=true`.", examples=["$argon2id$v=19$m=19456,t=2,p=1$..."]),
    ] = UNSET


class ImportRowResult(msgspec.Struct, kw_only=True):
    """The result of a row. `login` is absent where the row has none; `code` and `error` are the reason of a rejection.

    `unconfirmed` marks a user that was created or skipped and whose e-mail address was never verified.
    """

    NAME: ClassVar[str] = "ImportRowResult"

    login: LoginOut | UnsetType = UNSET
    status: Annotated[RowStatus, Meta(description="The result of the row.", examples=["created"])]
    code: Annotated[
        str | UnsetType, Meta(description="The reason of a rejection, for programs.", examples=["hash_unreadable"])
    ] = UNSET
    error: Annotated[
        str | UnsetType, Meta(description="The reason, for people.", examples=[UnsupportedHash.sentence])
    ] = UNSET
    takenBy: Annotated[
        str | UnsetType,
        Meta(description="With `login_taken`: the login of the conflicting user.", examples=["Alice"]),
    ] = UNSET
    unconfirmed: Annotated[bool | UnsetType, Meta(description="Absent unless it is true.", examples=[True])] = UNSET


class ImportUsersResponse(msgspec.Struct):
    """The number of rows per result, and the result of each row, in their order."""

    NAME: ClassVar[str] = "ImportUsersResponse"

    created: Annotated[int, Meta(description="New users.", examples=[1])]
    exists: Annotated[int, Meta(description="Users that exist already, with the same `sub`.", examples=[0])]
    refused: Annotated[
        int, Meta(description="Rows that are no valid users, or whose login belongs to another user.", examples=[0])
    ]
    skipped: Annotated[int, Meta(description="Users that `unconfirmed=skip` left out.", examples=[0])]
    unconfirmed: Annotated[
        int,
        Meta(
            description="Of the created or skipped ones: users whose e-mail address was never verified.",
            examples=[0],
        ),
    ]
    results: Annotated[list[ImportRowResult], Meta(description="In the order of the rows.")]
