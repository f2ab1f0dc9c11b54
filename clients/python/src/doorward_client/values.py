"""Responses of the API as frozen dataclasses. Unknown fields are ignored; missing ones raise BadAnswer.

Times are integers as in the API: milliseconds since the epoch, in claims seconds (RFC 7519). Reprs contain no secrets.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from doorward_client.errors import BadAnswer

T = TypeVar("T")

_shapes: dict[type[Any], tuple[tuple[str, str, Any, bool], ...]] = {}


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims of a user token. `iat` and `exp` are seconds; `scope` is any JSON that the tenant has set."""

    id: str
    login: str
    tenant: str
    device_id: str
    sub: str
    aud: str
    jti: str
    iat: int
    exp: int
    scope: Any = None


@dataclass(frozen=True, slots=True)
class TenantClaims:
    """Claims of a tenant token. `exp` is None if the token is valid until it is revoked."""

    id: str
    login: str
    aud: str
    jti: str
    iat: int
    exp: int | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """A session's tokens; `expires_in` is the access token's lifetime in seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class User:
    """A user of the tenant."""

    id: str
    login: str
    email: str
    tenant: str
    sub: str
    registration_date: int
    last_activity: int
    company: str | None = None
    scope: Any = None
    metadata: Any = None
    disabled: bool = False
    email_verified: bool = False


class Put(NamedTuple):
    """Result of `users.put`: the user, and whether it was created."""

    user: User
    created: bool


@dataclass(frozen=True, slots=True)
class UserPage:
    """A page of users; `next_cursor` is "0" on the last page."""

    users: tuple[User, ...]
    next_cursor: str


@dataclass(frozen=True, slots=True)
class ResetCode:
    """A code that sets a user's password once, for `expires_in` seconds. Deliver it to the user."""

    code: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True)
class ExportedUser:
    """A user in an export. `password_hash` is included on request, if the permissions allow it."""

    login: str
    email: str
    sub: str
    id: str | None = None
    registration_date: int | None = None
    last_activity: int | None = None
    company: str | None = None
    scope: Any = None
    metadata: Any = None
    disabled: bool = False
    email_verified: bool = False
    password_hash: str | None = field(default=None, repr=False)


Unconfirmed = Literal["disable", "admit", "skip"]
"""Treatment of imported users whose e-mail address was never verified."""


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of one user of an import: "created", "exists", "skipped", or "refused" with `code` and `error`.

    `unconfirmed` marks a created or skipped user whose e-mail address was never verified. With the code `login_taken`,
    `taken_by` is the existing login.
    """

    login: str
    status: str
    code: str | None = None
    error: str | None = None
    unconfirmed: bool = False
    taken_by: str | None = None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Result of an import, with the result of each user in order."""

    created: int
    refused: int
    results: tuple[Imported, ...]
    skipped: int = 0
    unconfirmed: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """An open session of a user."""

    id: str
    device_id: str
    created_at: int
    last_activity: int
    expires_at: int | None
    ip: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """Requirements for new passwords of users, which always must not be empty."""

    min_length: int | None
    require_classes: bool
    block_common: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """Effective settings of the tenant. Times are in seconds; None means off, or no limit."""

    session_lifetime: int
    session_idle: int | None
    sessions_per_user: int | None
    tenant_session_lifetime: int | None
    password_policy: PasswordPolicy
    ready_hashes: bool = False
    introspection_audience: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """The tenant and its settings."""

    id: str
    email: str
    login: str
    created_at: int
    settings: Settings


@dataclass(frozen=True, slots=True)
class Registered:
    """A new tenant, and the token of its first session."""

    id: str
    email: str
    login: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TenantToken:
    """A tenant's new token."""

    token: str = field(repr=False)


Permission = Literal["verify", "users:read", "users:write", "sessions", "tenant"]
"""Permissions of API keys. A key with only "verify" can verify tokens and nothing else."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its secret."""

    id: str
    name: str
    permissions: tuple[str, ...]
    created_at: int
    expires_at: int | None
    last_used: int | None


@dataclass(frozen=True, slots=True)
class NewKey(Key):
    """A new API key. `key` is the secret, which is returned only once."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyList:
    """The tenant's API keys, oldest first."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class SessionList:
    """A user's open sessions, newest first."""

    sessions: tuple[Session, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """An audit event. `subject` is the id of a user or an API key, `session` a fingerprint of a session's id.

    `detail` is "hash" if a password hash was set instead of a password.
    """

    at: int
    action: str
    outcome: str
    actor: str
    subject: str | None = None
    session: str | None = None
    ip: str | None = None
    request_id: str | None = None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of audit events, newest first; `next_cursor` is "0" on the last page."""

    events: tuple[Event, ...]
    next_cursor: str


@dataclass(frozen=True, slots=True)
class Introspection:
    """Introspection response (RFC 7662). If the token is not active, it has no other field."""

    active: bool
    token_type: str | None = None
    client_id: str | None = None
    username: str | None = None
    sub: str | None = None
    aud: tuple[str, ...] | None = None
    jti: str | None = None
    iat: int | None = None
    exp: int | None = None
    user_id: str | None = None
    device_id: str | None = None
    scope: str | None = None
    scope_data: Any = None


@dataclass(frozen=True, slots=True)
class Health:
    """Readiness of Doorward, and "ok" or "away" for each of its stores."""

    status: str
    stores: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """True if every store responds."""
        return self.status == "ready"


def read(kind: type[T], content: object) -> T:
    """Convert a JSON object to a value of `kind`. Names may be user_agent or userAgent.

    Raises BadAnswer if a field is missing or of another type.
    """
    if not isinstance(content, dict):
        raise BadAnswer(f"the response has no {kind.__name__}")
    given: dict[str, Any] = {}
    for name, spelled, hint, optional in _shape(kind):
        if name in content or spelled in content:
            given[name] = _fit(hint, content[name] if name in content else content[spelled], f"{kind.__name__}.{name}")
        elif not optional:
            raise BadAnswer(f"the response lacks {kind.__name__}.{name}")
    return kind(**given)


def _shape(kind: type[Any]) -> tuple[tuple[str, str, Any, bool], ...]:
    if kind not in _shapes:
        hints = get_type_hints(kind)
        _shapes[kind] = tuple((f.name, camel(f.name), hints[f.name], f.default is not MISSING) for f in fields(kind))
    return _shapes[kind]


def camel(name: str) -> str:
    """Return a name in the camel case of the API."""
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _fit(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if get_origin(hint) is UnionType:
        return None if value is None else _fit(get_args(hint)[0], value, where)
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_fit(get_args(hint)[0], item, where) for item in value)
    if is_dataclass(hint) and isinstance(hint, type):
        return read(hint, value)
    wanted = get_origin(hint) or hint
    if wanted is Mapping:
        wanted = dict
    # In Python, bool is a subclass of int.
    if not isinstance(wanted, type) or not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise BadAnswer(f"{where} has the wrong type")
    return value
