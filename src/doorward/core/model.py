"""Domain values: tenants, users, sessions, callers, events.

Frozen; all times are milliseconds since the Unix epoch.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

MAX_CLOCK_SKEW = 30_000
"""Milliseconds that a stored time may lie ahead of the clock, since machines differ.

A time further ahead was stored before the clock was set back.
"""


class SessionKind(StrEnum):
    """The kind of a session's owner. KEY is an API key, which acts for its tenant with some of its permissions.

    Imported sessions have kinds of their own, because their tokens are signed by the rules of the predecessor: a token
    of one kind is never verified with a session of the other.
    """

    TENANT = "tenant"
    USER = "user"
    KEY = "key"
    IMPORTED_TENANT = "imported_tenant"
    IMPORTED_USER = "imported_user"


OWNERS = {
    SessionKind.TENANT: SessionKind.TENANT,
    SessionKind.USER: SessionKind.USER,
    SessionKind.KEY: SessionKind.KEY,
    SessionKind.IMPORTED_TENANT: SessionKind.TENANT,
    SessionKind.IMPORTED_USER: SessionKind.USER,
}
"""The kind under which sessions of a kind are stored, listed, counted and revoked: imported ones with the native ones.
"""


class Permission(StrEnum):
    """A permission of an API key. A tenant's own token has all of them."""

    VERIFY = "verify"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    SESSIONS = "sessions"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Tenant:
    """An owner of users. `email` is stored as given; `credentials` counts changes of the password and of `disabled`.

    `version` counts every change. `settings` is JSON text: the choices of the tenant (`core/tenants/settings.py`).
    """

    id: str
    email: str
    password_hash: str
    credentials: int
    created_at: int
    settings: str = "{}"
    disabled: bool = False
    version: int = 1

    @property
    def login(self) -> str:
        """The login in a tenant's token."""
        return f"tenant:{self.email}"


@dataclass(frozen=True, slots=True)
class User:
    """A person or machine that belongs to exactly one tenant.

    `scope` is JSON text in the one spelling that tokens use, or None where none was given; `null` is a scope too.
    `metadata` likewise, but it is in no token. A user without a password has an empty `password_hash`. `credentials`
    counts changes of the password and of `disabled`, so that a concurrent login notices them; `version` counts every
    change. `email_verified_at` is the time at which `email` was verified, None for unverified or unknown.
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
    metadata: str | None = None
    email_verified_at: int | None = None
    disabled: bool = False
    version: int = 1


class Session(NamedTuple):
    """One login of a tenant, or of a user on a device; or an API key.

    A tuple rather than a dataclass because verification makes two of these per request. `key` never leaves the store
    and this process: the session key, or the SHA-256 of an API key. An imported session has the predecessor's id and
    key, the key as UTF-8; one of a user without a known tenant has an empty `tenant_id`. `seen_at` may lag behind by a
    minute, or by a quarter of `idle`. `generation` counts the refresh tokens that were issued, from 1, the last one at
    `refreshed_at`; 0 for none. `permissions` are those of an API key, separated by spaces. `idle` and `lifetime` are
    the tenant's current policy for its users' sessions, in milliseconds.
    """

    id: str
    kind: str
    tenant_id: str
    user_id: str | None
    device_id: str | None
    key: bytes
    created_at: int
    expires_at: int | None
    seen_at: int = 0
    generation: int = 0
    refreshed_at: int = 0
    permissions: str | None = None
    idle: int | None = None
    lifetime: int | None = None

    def is_expired(self, now: int) -> bool:
        """Return whether the session has expired: by its own end, or by its tenant's lifetime or idle timeout."""
        return (
            (self.expires_at is not None and now >= self.expires_at)
            or (self.idle is not None and now - self.seen_at >= self.idle)
            or (self.lifetime is not None and now - self.created_at >= self.lifetime)
        )

    def permits(self, permission: Permission) -> bool:
        """Return whether a tenant's session or an API key has a permission; a tenant's own session has all."""
        return self.kind != SessionKind.KEY or permission in (self.permissions or "").split()

    def counted_from(self, since: int, now: int) -> Self:
        """Return the session with times that lie ahead of `now` moved to `since`, when the clock was set back.

        The session was opened, or used, before that. So from then on it lives no longer than its full lifetime. The
        expiry of an API key is the tenant's choice and stays.
        """
        latest, session = now + MAX_CLOCK_SKEW, self
        if self.created_at > latest and self.kind != SessionKind.KEY:
            end = None if self.expires_at is None else self.expires_at - (self.created_at - since)
            session = session._replace(created_at=since, expires_at=end)
        return session._replace(seen_at=since) if self.seen_at > latest else session


class Origin(NamedTuple):
    """The origin of a login, as the tenant reports it. Stored with the session, shown in lists, never trusted."""

    ip: str | None = None
    user_agent: str | None = None


class SessionInfo(NamedTuple):
    """A session with its origin, for lists."""

    session: Session
    origin: Origin


class Caller(NamedTuple):
    """The authenticated caller of a change, with the fields of the request that the audit log records.

    `actor` is "tenant", "key:<id>" or "operator". `address` is the client's address, `request_id` that of the response.
    """

    tenant_id: str
    actor: str
    address: str = ""
    request_id: str = ""


class Event(NamedTuple):
    """An event of the audit log (OWASP Logging). Contains no secret, and no name in clear.

    `subject` is the id of the affected user, key or tenant; `session` a fingerprint of the session id; `outcome` is
    "success" or "failure", `reason` the code of the error, if any. `detail` is "hash" where a password hash was given
    instead of a password.
    """

    at: int
    tenant_id: str
    action: str
    outcome: str
    actor: str
    subject: str = ""
    session: str = ""
    address: str = ""
    request_id: str = ""
    reason: str = ""
    detail: str = ""

    @property
    def is_failed_login(self) -> bool:
        """A failed login, which clients can cause without a credential."""
        return self.outcome == "failure" and self.action.endswith(".login")
