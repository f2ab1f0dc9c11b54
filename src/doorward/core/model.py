"""The nouns of the service, as plain frozen values. All times are milliseconds since the Unix epoch."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

MAX_CLOCK_SKEW = 30_000
"""How many milliseconds a stored time may lie ahead of the clock, since machines differ. One further ahead was stored
before the clock was set back."""


class SessionKind(StrEnum):
    """Whom a session stands for. A key is an API key: it stands for its tenant, with some of its permissions.

    Sessions of the predecessor's are of kinds of their own, because their tokens are signed by its rules: no token of
    one kind is ever held against a session of the other.
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
"""With which kind's sessions a session is kept, listed, counted and ended: imported ones go with the native ones."""


class Permission(StrEnum):
    """What a tenant may do, and what an API key may be allowed of it. A tenant's own token may do everything."""

    VERIFY = "verify"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    SESSIONS = "sessions"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Tenant:
    """An owner of users. `email` is kept as given; `credentials` counts changes of the password.

    `version` counts every change. `settings` is JSON text: what the tenant has chosen for itself
    (`core/tenants/settings.py`).
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
        """The name a tenant token carries."""
        return f"tenant:{self.email}"


@dataclass(frozen=True, slots=True)
class User:
    """A person or machine that belongs to exactly one tenant.

    `scope` is JSON text in the one spelling tokens use, or None where it was never given; `null` is a scope too.
    `metadata` is likewise, but never in a token. A user without a password has an empty `password_hash`.
    `credentials` counts changes of the password and of `disabled`, so that a login in flight can tell that it was
    overtaken; `version` counts every change. `email_verified_at` is the time at which `email` was verified, None where
    it was not or that is not known.
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

    A tuple rather than a dataclass because verification makes two of these per request.
    `key` never leaves the store and this process: the session's half of the signing key, or an API key's SHA-256.
    An imported session has the predecessor's id and key, the key as UTF-8. One of a user whose tenant is not known yet
    has an empty `tenant_id`.
    `seen_at` is written down now and then, so it may lag behind by a minute, or by a quarter of `idle`.
    `generation` counts the refresh tokens handed out, from 1, the last one at `refreshed_at`; 0: it has none.
    `permissions` are an API key's, separated by spaces.
    `idle` and `lifetime` are what the tenant demands of its users' sessions right now, in milliseconds.
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
        """Tell whether the session's time is up: its end, its tenant's limit on lifetimes, or on idleness."""
        return (
            (self.expires_at is not None and now >= self.expires_at)
            or (self.idle is not None and now - self.seen_at >= self.idle)
            or (self.lifetime is not None and now - self.created_at >= self.lifetime)
        )

    def permits(self, permission: Permission) -> bool:
        """Return whether a tenant's session or an API key may act under a permission; a tenant's own may do all."""
        return self.kind != SessionKind.KEY or permission in (self.permissions or "").split()

    def counted_from(self, since: int, now: int) -> Self:
        """Return the session with the times that lie ahead of `now` moved to `since`, when the clock was set back.

        It was opened, or seen, before that. So it lives no longer from then on than it would have lived at first. The
        end of an API key is the tenant's choice and stays.
        """
        latest, found = now + MAX_CLOCK_SKEW, self
        if self.created_at > latest and self.kind != SessionKind.KEY:
            end = None if self.expires_at is None else self.expires_at - (self.created_at - since)
            found = found._replace(created_at=since, expires_at=end)
        return found._replace(seen_at=since) if self.seen_at > latest else found


class Origin(NamedTuple):
    """Where a login came from, as far as the tenant says. Kept with the session, shown in lists, never believed."""

    ip: str | None = None
    user_agent: str | None = None


class SessionInfo(NamedTuple):
    """A session as lists show it: with where it came from."""

    session: Session
    origin: Origin


class Caller(NamedTuple):
    """Who asks for a change, proven; and what the audit log wants to know of the request.

    `actor` is "tenant", "key:<id>" or "operator". `address` is the client's, `request_id` the answer's.
    """

    tenant_id: str
    actor: str
    address: str = ""
    request_id: str = ""


class Event(NamedTuple):
    """Something that happened and that the audit log keeps (OWASP Logging). Holds no secret, and no name in clear.

    `subject` is the id of whom or what it happened to; `session` a fingerprint of the session's id; `outcome` is
    "success" or "failure", `reason` the code of the refusal, if there was one. `detail` is "hash" where a password hash
    was given instead of a password.
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
        """Whether this is a failed login, which clients can cause without any credential."""
        return self.outcome == "failure" and self.action.endswith(".login")
