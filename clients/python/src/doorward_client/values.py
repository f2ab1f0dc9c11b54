"""What Doorward says, as frozen values. What it adds in later versions is ignored; what it leaves out is a bad answer.

Times are whole numbers as the API has them: milliseconds since the epoch, but seconds in claims (RFC 7519).
Secrets are in no repr.
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
    """Who a live token's user is. `iat` and `exp` are seconds; `scope` is whatever JSON the tenant keeps there."""

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
    """Which tenant a live tenant token belongs to. `exp` is None where tenant tokens live until they are revoked."""

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
    """What `users.put` did: the user, and whether it is new."""

    user: User
    created: bool


@dataclass(frozen=True, slots=True)
class UserPage:
    """Some of the tenant's users; `next_cursor` is "0" on the last page."""

    users: tuple[User, ...]
    next_cursor: str


@dataclass(frozen=True, slots=True)
class ResetCode:
    """A code that sets a user's password once, for `expires_in` seconds. Deliver it to the user."""

    code: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True)
class ExportedUser:
    """A user as an export has it. `password_hash` is there where it was asked for and may be given."""

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
    """What became of one user of an import: "created", "exists", "skipped", or "refused" with its reason.

    `unconfirmed` marks a user that was created or skipped and whose e-mail address was never verified. `taken_by` is
    the login that is in the way, with the code `login_taken`.
    """

    login: str
    status: str
    code: str | None = None
    error: str | None = None
    unconfirmed: bool = False
    taken_by: str | None = None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of an import, user by user and in their order."""

    created: int
    refused: int
    results: tuple[Imported, ...]
    skipped: int = 0
    unconfirmed: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """A live session of a user."""

    id: str
    device_id: str
    created_at: int
    last_activity: int
    expires_at: int | None
    ip: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """What users' new passwords have to satisfy, beyond not being empty."""

    min_length: int | None
    require_classes: bool
    block_common: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """What counts for the tenant. Times in seconds; None: off, or no limit."""

    session_lifetime: int
    session_idle: int | None
    sessions_per_user: int | None
    tenant_session_lifetime: int | None
    password_policy: PasswordPolicy
    ready_hashes: bool = False
    introspection_audience: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """The tenant, as it sees itself."""

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
"""What an API key may be allowed to do. A key with "verify" alone can ask about tokens and nothing else."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without the key."""

    id: str
    name: str
    permissions: tuple[str, ...]
    created_at: int
    expires_at: int | None
    last_used: int | None


@dataclass(frozen=True, slots=True)
class NewKey(Key):
    """A new API key. `key` is the key itself, shown this once."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyList:
    """The tenant's API keys, oldest first."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class SessionList:
    """A user's live sessions, newest first."""

    sessions: tuple[Session, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `subject` is a user's or a key's id, `session` a fingerprint of a session's id.

    `detail` is "hash" where a password hash was given instead of a password.
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
    """Some of the tenant's events, newest first; `next_cursor` is "0" on the last page."""

    events: tuple[Event, ...]
    next_cursor: str


@dataclass(frozen=True, slots=True)
class Introspection:
    """What RFC 7662 says of a token. Only `active` is there for one that is not."""

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
    """Whether Doorward is ready, and "ok" or "away" for each of its stores."""

    status: str
    stores: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """Whether every store answers."""
        return self.status == "ready"


def read(kind: type[T], said: object) -> T:
    """Return JSON as a value of `kind`. Names may be spelled user_agent or userAgent.

    Raises BadAnswer where a field is missing or of another type: half an identity is none.
    """
    if not isinstance(said, dict):
        raise BadAnswer(f"the answer is no {kind.__name__}")
    given: dict[str, Any] = {}
    for name, spelled, hint, optional in _shape(kind):
        if name in said or spelled in said:
            given[name] = _fit(hint, said[name] if name in said else said[spelled], f"{kind.__name__}.{name}")
        elif not optional:
            raise BadAnswer(f"the answer lacks {kind.__name__}.{name}")
    return kind(**given)


def _shape(kind: type[Any]) -> tuple[tuple[str, str, Any, bool], ...]:
    if kind not in _shapes:
        hints = get_type_hints(kind)
        _shapes[kind] = tuple((f.name, camel(f.name), hints[f.name], f.default is not MISSING) for f in fields(kind))
    return _shapes[kind]


def camel(name: str) -> str:
    """Return a name as the API spells it."""
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
    # True is an int to Python and none to anybody else.
    if not isinstance(wanted, type) or not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise BadAnswer(f"{where} is of another type than it should be")
    return value
