"""The nouns of the service, as plain frozen values. All times are milliseconds since the Unix epoch."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """Whom a session stands for."""

    TENANT = "tenant"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Tenant:
    """An owner of users. `email` is kept as given; `credentials` counts changes of the password."""

    id: str
    email: str
    password_hash: str
    credentials: int
    created_at: int

    @property
    def login(self) -> str:
        """The name a tenant token carries."""
        return f"tenant:{self.email}"


@dataclass(frozen=True, slots=True)
class User:
    """A person or machine that belongs to exactly one tenant.

    `scope` is JSON text in the one spelling tokens use, or None where it was never given; `null` is a scope too.
    `credentials` counts changes of the password, so that a login in flight can tell that it was overtaken.
    """

    id: str
    tenant_id: str
    login: str
    email: str
    company: str | None
    sub: str
    scope: str | None
    password_hash: str
    credentials: int
    registration_date: int
    last_activity: int


class Session(NamedTuple):
    """One login of a tenant, or of a user on a device.

    A tuple rather than a dataclass because verification makes two of these per request.
    `key` is the session's half of the signing key and never leaves the store and this process.
    """

    id: str
    kind: str
    tenant_id: str
    user_id: str | None
    device_id: str | None
    key: bytes
    created_at: int
    expires_at: int | None
