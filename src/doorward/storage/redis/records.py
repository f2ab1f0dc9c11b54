"""How sessions and epochs are spelled in Redis: names and values, pure. `sessions.lua` says what lies where."""

import secrets
from functools import lru_cache
from typing import NamedTuple

import msgspec

from doorward.core.model import OWNERS, Device, Kind, Origin, Session
from doorward.core.ports import Claimed, Policy

_REMEMBERED = 4096
NEVER = "9" * 15
_UNSET = "-" * 15
_NO_POLICY = _UNSET.encode() * 2
_EPOCH = 32
_HEAD = 40 + 2 * _EPOCH


class Names(NamedTuple):
    """The keys of an owner's sessions; they share the hash tag of the owner's id, and so a slot."""

    epoch: bytes
    listed: bytes
    sessions: bytes

    @classmethod
    @lru_cache(maxsize=_REMEMBERED)
    def of(cls, kind: str, owner_id: str) -> "Names":
        """Return the names of a tenant's own sessions, of a user's, or of a tenant's API keys."""
        base = b"dw:{%b}:%b" % (_bytes(owner_id), b"keys" if kind == Kind.KEY else OWNERS[Kind(kind)].encode())
        return cls(base, base + b":index", base + b":session:")

    def session(self, session_id: str) -> bytes:
        """Return where a session is."""
        return self.sessions + _bytes(session_id)

    def ended(self, epoch: bytes) -> bytes:
        """Return where the index of an ended epoch waits to be swept."""
        return self.listed + b":" + epoch


def names_of(session: Session) -> Names:
    """Return the names of a session's owner."""
    return Names.of(session.kind, session.user_id or session.tenant_id)


@lru_cache(maxsize=_REMEMBERED)
def realm_of(tenant_id: str) -> bytes:
    """Return the epoch of all users of a tenant."""
    return b"dw:{%b}:users" % _bytes(tenant_id)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def fresh(now: int) -> str:
    """Return a new epoch, drawn at `now`."""
    return f"{now:013}{secrets.randbits(63):019}"


def moment(at: int | None) -> str:
    """Return a time as it is written; None is never."""
    return NEVER if at is None else f"{max(at, 0):015}"


def written(policy: Policy) -> str:
    """Return a policy as it is written in a realm."""
    return "".join(_UNSET if value is None else f"{value:015}" for value in policy)


class Epoch(NamedTuple):
    """The value of an epoch: its name, and when the last of its sessions is over."""

    name: bytes
    until: int | None

    @classmethod
    def read(cls, value: bytes) -> "Epoch":
        """Read a value."""
        until = value[_EPOCH : _EPOCH + 15]
        return cls(value[:_EPOCH], None if until == NEVER.encode() else int(until))


def read_policy(value: bytes) -> tuple[int | None, int | None]:
    """Return idle and lifetime of a realm's value."""
    policy = value[_EPOCH + 15 :]
    if not policy or policy == _NO_POLICY:
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
    return f"{moment(session.seen_at)}{moment(session.refreshed_at)}{session.generation:010}", _encode(rest)


class Stored(NamedTuple):
    """A session's value, read but not judged yet."""

    epoch: bytes
    realm: bytes
    session: Session
    origin: Origin

    @classmethod
    @lru_cache(maxsize=_REMEMBERED)
    def read(cls, value: bytes) -> "Stored":
        """Read a value. The same bytes say the same: a spelling is remembered, never what Redis answered."""
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
        return cls(value[40:72], value[72:_HEAD], session, Origin(rest.ip, rest.user_agent))

    def is_of(self, claimed: Claimed) -> bool:
        """Tell whether this is the session that was claimed."""
        session = self.session
        kind = OWNERS[claimed.kind]
        owner_id = session.user_id if kind == Kind.USER else session.tenant_id
        return session.id == claimed.session_id and OWNERS[Kind(session.kind)] == kind and owner_id == claimed.owner_id

    def under(self, epoch: bytes | None, realm: bytes | None) -> Session | None:
        """Return the session if it was opened under these epochs (their values), with what its realm demands."""
        if epoch is None or epoch[:_EPOCH] != self.epoch:
            return None
        if OWNERS[Kind(self.session.kind)] != Kind.USER:
            return self.session
        if realm is None or realm[:_EPOCH] != self.realm:
            return None
        idle, lifetime = read_policy(realm)
        return self.session if idle is lifetime is None else self.session._replace(idle=idle, lifetime=lifetime)

    def device(self, session: Session) -> Device:
        """Return `session` as lists show it."""
        return Device(session, self.origin)
