"""Values of user management: new users, changes, searches, password hashes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypedDict

from doorward.core.model import User


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A hash of a user's password from another system, in a form that `passwords.formats` parses."""

    text: str


class HashToStore(NamedTuple):
    """The hash to store for a user; `given` where the caller gave it instead of a password."""

    hash: str
    given: bool = False

    @property
    def detail(self) -> str:
        """The `detail` of the audit event."""
        return "hash" if self.given else ""


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to create. `scope` and `metadata` are JSON text, or None where none was given.

    `email_verified` is whether the tenant has verified the e-mail address; None where it does not say.
    """

    login: str
    email: str
    password: str | PasswordHash
    sub: str
    company: str | None = None
    scope: str | None = None
    metadata: str | None = None
    email_verified: bool | None = None


class UserChanges(TypedDict, total=False):
    """Changes of a user. Absent fields stay, except that another `email` is not verified.

    A new `login` revokes the sessions, since their tokens contain the former one. `email_verified` is whether the
    tenant has verified the e-mail address; None where it does not say.
    """

    login: str
    email: str
    email_verified: bool | None
    sub: str
    company: str | None
    scope: str | None
    metadata: str | None
    disabled: bool
    password: str | PasswordHash


class SearchField(StrEnum):
    """A field that users are searched by, as the API names it: part of the login, or all of another field.

    E-mail addresses match in any spelling of the same canonical form, `sub` and `id` to the letter.
    """

    PART = "q"
    EMAIL = "email"
    SUB = "sub"
    ID = "id"


class SearchCriterion(NamedTuple):
    """A criterion of a search for users."""

    field: SearchField
    text: str


class PutResult(NamedTuple):
    """A user as stored, and whether it was created."""

    user: User
    created: bool
