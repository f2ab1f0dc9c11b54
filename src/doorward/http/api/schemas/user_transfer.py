"""Many users at once, in and out."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.core.passwords.formats import MAX_HASH_LENGTH as LONGEST_HASH
from doorward.core.passwords.formats import UnsupportedHash
from doorward.core.users.transfer import MAX_ROWS, RowStatus
from doorward.http.api.fields import Boolean, Company, Email, Login, LoginOut, Metadata, Scope, Sub
from doorward.http.api.schemas.users import UserResponse
from doorward.http.validation import JsonRule, ListRule, TextRule

# What a row holds is judged row by row; the body's limit bounds it.
ANYTHING = JsonRule(1 << 20, 1 << 20)


class ImportUser(msgspec.Struct):
    """A user of another system. Without `passwordHash` nobody can log in as it until its password is set."""

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
                description="As the other system spells it: see the guide.",
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
                description="Whether the other system has verified the e-mail address. Users with false come in "
                "disabled, unless `unconfirmed` says otherwise.",
                examples=[True],
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    disabled: Annotated[Boolean, Meta(description="Whether it may not log in.", examples=[False])] | UnsetType = UNSET


class ImportUsersRequest(msgspec.Struct):
    """Users of another system. Each is judged by itself, by the rules of a user to be."""

    NAME: ClassVar[str] = "ImportUsersRequest"

    users: Annotated[
        list[ImportUser],
        ListRule(1, MAX_ROWS, ANYTHING),
        Meta(min_length=1, max_length=MAX_ROWS, description="The users, in any order."),
    ]


class ExportedUser(UserResponse, kw_only=True):
    """A user with everything that is kept of it."""

    NAME: ClassVar[str] = "ExportedUser"

    passwordHash: Annotated[
        str | UnsetType,
        Meta(description="Only where hashes were asked for.", examples=["$argon2id$v=19$m=19456,t=2,p=1$..."]),
    ] = UNSET


class ImportRowResult(msgspec.Struct, kw_only=True):
    """What became of a row. `login` is absent where the row has none; `code` and `error` say why it was refused.

    `unconfirmed` marks a user that was created or skipped and whose e-mail address was never verified.
    """

    NAME: ClassVar[str] = "ImportRowResult"

    login: LoginOut | UnsetType = UNSET
    status: Annotated[RowStatus, Meta(description="What became of it.", examples=["created"])]
    code: Annotated[
        str | UnsetType, Meta(description="Why it was refused, for programs.", examples=["hash_unreadable"])
    ] = UNSET
    error: Annotated[str | UnsetType, Meta(description="Why, for people.", examples=[UnsupportedHash.sentence])] = UNSET
    takenBy: Annotated[
        str | UnsetType,
        Meta(description="With `login_taken`: the login of the user that is in the way.", examples=["Alice"]),
    ] = UNSET
    unconfirmed: Annotated[bool | UnsetType, Meta(description="Absent unless it is true.", examples=[True])] = UNSET


class ImportUsersResponse(msgspec.Struct):
    """How many rows there were of each kind, and what became of each, in their order."""

    NAME: ClassVar[str] = "ImportUsersResponse"

    created: Annotated[int, Meta(description="Users that are new.", examples=[1])]
    exists: Annotated[int, Meta(description="Users that were there already, with the same `sub`.", examples=[0])]
    refused: Annotated[
        int, Meta(description="Rows that cannot be users, or whose login another user has.", examples=[0])
    ]
    skipped: Annotated[int, Meta(description="Users that `unconfirmed=skip` left out.", examples=[0])]
    unconfirmed: Annotated[
        int,
        Meta(
            description="Of those that are new or left out: users whose e-mail address was never verified.",
            examples=[0],
        ),
    ]
    results: Annotated[list[ImportRowResult], Meta(description="In the order of the rows.")]
