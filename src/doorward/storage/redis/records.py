"""How sessions and epochs are spelled in Redis: names and values, pure. `sessions.lua` says what lies where."""

import secrets
from functools import lru_cache
from typing import NamedTuple

import msgspec

from doorward.core.model import Origin, Session, SessionInfo, SessionKind
from doorward.core.ports import SessionPolicy, SessionRef

_REMEMBERED = 4096
NEVER = "9" * 15
_UNSET = "-" * 15
_NO_POLICY = _UNSET.encode() * 2
_EPOCH = 32
_HEAD = 40 + 2 * _EPOCH
# A realm's value up to what it demands, if it demands anything.
_BARE = _EPOCH + 15


class KeyNames(NamedTuple):
    """The keys of an owner's sessions; they share the hash tag of the owner's id, and so a slot.

    `users` is the epoch of all users of the owner, where that is a tenant.
    """

    epoch: bytes
    listed: bytes
    sessions: bytes
    users: bytes

    @staticmethod
    def of(kind: str, owner_id: str) -> "KeyNames":
        """Return the names of a tenant's own sessions, of a user's, or of a tenant's API keys: of one that exists."""
        return _remembered(_owner_kind(kind), owner_id)

    @staticmethod
    def claimed(claimed: SessionRef) -> "KeyNames":
        """Return the names of an owner that is claimed. They are not remembered: there may be no such owner."""
        whose = _owner_kind(claimed.kind)
        return _known.get((whose, claimed.owner_id)) or _spelled(whose, claimed.owner_id)

    def session(self, session_id: str) -> bytes:
        """Return where a session is."""
        return self.sessions + _bytes(session_id)

    def ended(self, epoch: bytes) -> bytes:
        """Return where the index of an ended epoch waits to be swept."""
        return self.listed + b":" + epoch


_USER, _IMPORTED_USER, _KEY = SessionKind.USER.value, SessionKind.IMPORTED_USER.value, SessionKind.KEY.value
_TENANT = b"tenant"


def _owner_kind(kind: str) -> bytes:
    """Return how the kind of an owner is spelled: what `OWNERS` says, without the hash of an enumeration's member."""
    if kind in (_USER, _IMPORTED_USER):
        return b"user"
    return b"keys" if kind == _KEY else _TENANT


_known: dict[tuple[bytes, str], KeyNames] = {}


def _remembered(whose: bytes, owner_id: str) -> KeyNames:
    names = _known.get((whose, owner_id))
    if names is None:
        if len(_known) >= _REMEMBERED:
            del _known[next(iter(_known))]
        names = _known[whose, owner_id] = _spelled(whose, owner_id)
    return names


def _spelled(whose: bytes, owner_id: str) -> KeyNames:
    owner = b"dw:{%b}:" % _bytes(owner_id)
    base = owner + whose
    return KeyNames(base, base + b":index", base + b":session:", owner + b"users")


def names_of(session: Session) -> KeyNames:
    """Return the names of a session's owner."""
    return KeyNames.of(session.kind, session.user_id or session.tenant_id)


def places_of(claimed: SessionRef) -> tuple[bytes, bytes]:
    """Return where a session that is claimed would be, and where its epoch."""
    names = KeyNames.claimed(claimed)
    return names.session(claimed.session_id), names.epoch


def realm_of(tenant_id: str) -> bytes:
    """Return the epoch of all users of a tenant that exists."""
    return _remembered(_TENANT, tenant_id).users


def policy_version_of(tenant_id: str) -> bytes:
    """Return where the version of the policy lies that counts in a tenant's realm."""
    return realm_of(tenant_id) + b":version"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def new_epoch(now: int) -> str:
    """Return a new epoch, drawn at `now`."""
    return f"{now:013}{secrets.randbits(63):019}"


def parse_time(at: int | None) -> str:
    """Return a time as it is written; None is never."""
    return NEVER if at is None else f"{max(at, 0):015}"


def encode_policy(policy: SessionPolicy) -> str:
    """Return a policy as it is written in a realm."""
    return "".join(_UNSET if value is None else f"{value:015}" for value in (policy.idle, policy.lifetime))


class Epoch(NamedTuple):
    """The value of an epoch: its name, and when the last of its sessions is over."""

    name: bytes
    until: int | None

    @classmethod
    def read(cls, value: bytes) -> "Epoch":
        """Read a value."""
        until = value[_EPOCH : _EPOCH + 15]
        return cls(value[:_EPOCH], None if until == NEVER.encode() else int(until))


def decode_policy(value: bytes) -> tuple[int | None, int | None]:
    """Return idle and lifetime of a realm's value."""
    policy = value[_BARE:]
    if not policy:
        return None, None
    idle, lifetime = policy[:15], policy[15:]
    return None if idle.startswith(b"-") else int(idle), None if lifetime.startswith(b"-") else int(lifetime)


class _Rest(msgspec.Struct, array_like=True, frozen=True, gc=False):
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
_decode = msgspec.msgpack.Decoder(_Rest).decode


def pack(session: Session, origin: Origin) -> tuple[str, bytes]:
    """Return what comes before a session's epochs, and what comes after them."""
    rest = _Rest(
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
    return f"{parse_time(session.seen_at)}{parse_time(session.refreshed_at)}{session.generation:010}", _encode(rest)


class StoredSession(NamedTuple):
    """A session's value, read but not judged yet.

    `claim` is what has to be claimed to get it: how its owner's kind is spelled, its owner's id, and its own. `realm`
    is where the epoch of all users of its tenant is; empty where it is no user's.
    """

    epoch: bytes
    realm_epoch: bytes
    session: Session
    origin: Origin
    claim: tuple[bytes, str | None, str]
    realm: bytes

    @classmethod
    def read(cls, value: bytes) -> "StoredSession":
        """Read a value."""
        return _read(value)

    def is_of(self, claimed: SessionRef) -> bool:
        """Tell whether this is the session that was claimed."""
        return self.claim == (_owner_kind(claimed.kind), claimed.owner_id, claimed.session_id)

    def under(self, epoch: bytes | None, realm: bytes | None) -> Session | None:
        """Return the session if it was opened under these epochs (their values), with what its realm demands."""
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

    def device(self, session: Session) -> SessionInfo:
        """Return `session` as lists show it."""
        return SessionInfo(session, self.origin)


# The same bytes say the same: a spelling is remembered, never what Redis answered.
@lru_cache(maxsize=_REMEMBERED)
def _read(value: bytes) -> StoredSession:
    rest = _decode(value[_HEAD:])
    session = Session(
        rest.id,
        rest.kind,
        rest.tenant_id,
        rest.user_id,
        rest.device_id,
        rest.key,
        rest.created_at,
        rest.expires_at,
        int(value[:15]),
        int(value[30:40]),
        int(value[15:30]),
        rest.permissions,
    )
    whose = _owner_kind(session.kind)
    is_users = whose == _owner_kind(_USER)
    owner_id = session.user_id if is_users else session.tenant_id
    # It exists, so the next token of the same owner finds its names spelled.
    _remembered(whose, owner_id or "")
    return StoredSession(
        value[40:72],
        value[72:_HEAD],
        session,
        Origin(rest.ip, rest.user_agent),
        (whose, owner_id, session.id),
        realm_of(session.tenant_id) if is_users else b"",
    )
