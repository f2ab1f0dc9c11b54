"""Redis keys and values of sessions and epochs: encoding and decoding. `sessions.lua` describes the layout."""

import secrets
from functools import lru_cache
from typing import NamedTuple

import msgspec

from doorward.core.model import Origin, Session, SessionInfo, SessionKind
from doorward.core.ports import SessionPolicy, SessionRef

_CACHED = 4096
NEVER = "9" * 15
_UNSET = "-" * 15
_NO_POLICY = _UNSET.encode() * 2
_EPOCH = 32
_HEAD = 40 + 2 * _EPOCH
# Length of a realm's value without a policy.
_BARE = _EPOCH + 15


class KeyNames(NamedTuple):
    """Keys of an owner's sessions, in one slot through the hash tag of the owner's id.

    `users` is the epoch of all users of a tenant.
    """

    epoch: bytes
    index_key: bytes
    sessions: bytes
    users: bytes

    @staticmethod
    def of(kind: str, owner_id: str) -> "KeyNames":
        """Return the keys of an existing owner: a tenant, a user, or the API keys of a tenant."""
        return _cached_names(_owner_kind(kind), owner_id)

    @staticmethod
    def for_ref(ref: SessionRef) -> "KeyNames":
        """Return the keys of the owner in a session reference; not cached, since the owner may not exist."""
        kind_name = _owner_kind(ref.kind)
        return _names.get((kind_name, ref.owner_id)) or _make_names(kind_name, ref.owner_id)

    def session(self, session_id: str) -> bytes:
        """Return the key of a session."""
        return self.sessions + _bytes(session_id)

    def ended(self, epoch: bytes) -> bytes:
        """Return the key of the index of a revoked epoch, until it is swept."""
        return self.index_key + b":" + epoch


_USER, _IMPORTED_USER, _KEY = SessionKind.USER.value, SessionKind.IMPORTED_USER.value, SessionKind.KEY.value
_TENANT = b"tenant"


def _owner_kind(kind: str) -> bytes:
    """Return the kind of an owner in keys; faster than `OWNERS`, which hashes an enum member."""
    if kind in (_USER, _IMPORTED_USER):
        return b"user"
    return b"keys" if kind == _KEY else _TENANT


_names: dict[tuple[bytes, str], KeyNames] = {}


def _cached_names(kind_name: bytes, owner_id: str) -> KeyNames:
    names = _names.get((kind_name, owner_id))
    if names is None:
        if len(_names) >= _CACHED:
            del _names[next(iter(_names))]
        names = _names[kind_name, owner_id] = _make_names(kind_name, owner_id)
    return names


def _make_names(kind_name: bytes, owner_id: str) -> KeyNames:
    owner = b"dw:{%b}:" % _bytes(owner_id)
    base = owner + kind_name
    return KeyNames(base, base + b":index", base + b":session:", owner + b"users")


def names_of(session: Session) -> KeyNames:
    """Return the keys of a session's owner."""
    return KeyNames.of(session.kind, session.user_id or session.tenant_id)


def keys_of(ref: SessionRef) -> tuple[bytes, bytes]:
    """Return the key of a session, and that of its owner's epoch."""
    names = KeyNames.for_ref(ref)
    return names.session(ref.session_id), names.epoch


def realm_of(tenant_id: str) -> bytes:
    """Return the key of the epoch of all users of an existing tenant."""
    return _cached_names(_TENANT, tenant_id).users


def policy_version_of(tenant_id: str) -> bytes:
    """Return the key of the version of a tenant's session policy."""
    return realm_of(tenant_id) + b":version"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def new_epoch(now: int) -> str:
    """Return a new random epoch with the time `now`."""
    return f"{now:013}{secrets.randbits(63):019}"


def format_time(at: int | None) -> str:
    """Return a time as digits of fixed width; None is never."""
    return NEVER if at is None else f"{max(at, 0):015}"


def encode_policy(policy: SessionPolicy) -> str:
    """Return a policy as the value of a realm has it."""
    return "".join(_UNSET if value is None else f"{value:015}" for value in (policy.idle, policy.lifetime))


class Epoch(NamedTuple):
    """Value of an epoch: its name, and the expiry of its last session; None if one does not expire."""

    name: bytes
    until: int | None

    @classmethod
    def read(cls, value: bytes) -> "Epoch":
        """Decode a value."""
        until = value[_EPOCH : _EPOCH + 15]
        return cls(value[:_EPOCH], None if until == NEVER.encode() else int(until))


def decode_policy(value: bytes) -> tuple[int | None, int | None]:
    """Return the idle timeout and the lifetime in a realm's value."""
    policy = value[_BARE:]
    if not policy:
        return None, None
    idle, lifetime = policy[:15], policy[15:]
    return None if idle.startswith(b"-") else int(idle), None if lifetime.startswith(b"-") else int(lifetime)


class _Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    id: str
    kind: str
    tenant_id: str
    user_id: str | None
    device_id: str | None
    key: bytes
    created_at: int
    expires_at: int | None
    permissions: str | None
    ip: str | None
    user_agent: str | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Record).decode


def pack(session: Session, origin: Origin) -> tuple[str, bytes]:
    """Return the parts of a session's value before and after its epochs."""
    record = _Record(
        session.id,
        session.kind,
        session.tenant_id,
        session.user_id,
        session.device_id,
        session.key,
        session.created_at,
        session.expires_at,
        session.permissions,
        origin.ip,
        origin.user_agent,
    )
    return f"{format_time(session.seen_at)}{format_time(session.refreshed_at)}{session.generation:010}", _encode(record)


class StoredSession(NamedTuple):
    """Decoded value of a session, kind_name epochs are not checked yet.

    `owner` is the kind and id of its owner, with the id of the session. `realm` is the key of the epoch of all users
    of its tenant; empty unless it is a user's session.
    """

    epoch: bytes
    realm_epoch: bytes
    session: Session
    origin: Origin
    owner: tuple[bytes, str | None, str]
    realm: bytes

    @classmethod
    def read(cls, value: bytes) -> "StoredSession":
        """Decode a value."""
        return _read(value)

    def matches(self, ref: SessionRef) -> bool:
        """Return whether this is the session of a reference."""
        return self.owner == (_owner_kind(ref.kind), ref.owner_id, ref.session_id)

    def if_current(self, epoch: bytes | None, realm: bytes | None) -> Session | None:
        """Return the session with its policy if these values of its epochs are current, else None."""
        if epoch is None or not epoch.startswith(self.epoch):
            return None
        if not self.realm:
            return self.session
        if realm is None or not realm.startswith(self.realm_epoch):
            return None
        if len(realm) == _BARE or realm.endswith(_NO_POLICY):
            return self.session
        idle, lifetime = decode_policy(realm)
        return self.session._replace(idle=idle, lifetime=lifetime)

    def info(self, session: Session) -> SessionInfo:
        """Return `session` with its origin, for lists."""
        return SessionInfo(session, self.origin)


# Caches the decoding of equal bytes, never a result of Redis.
@lru_cache(maxsize=_CACHED)
def _read(value: bytes) -> StoredSession:
    record = _decode(value[_HEAD:])
    session = Session(
        record.id,
        record.kind,
        record.tenant_id,
        record.user_id,
        record.device_id,
        record.key,
        record.created_at,
        record.expires_at,
        int(value[:15]),
        int(value[30:40]),
        int(value[15:30]),
        record.permissions,
    )
    kind_name = _owner_kind(session.kind)
    is_users = kind_name == _owner_kind(_USER)
    owner_id = session.user_id if is_users else session.tenant_id
    # The owner exists, so its keys are cached for its next token.
    _cached_names(kind_name, owner_id or "")
    return StoredSession(
        value[40:72],
        value[72:_HEAD],
        session,
        Origin(record.ip, record.user_agent),
        (kind_name, owner_id, session.id),
        realm_of(session.tenant_id) if is_users else b"",
    )
