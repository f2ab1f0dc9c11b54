"""What proves who somebody is, beside passwords and sessions: API keys and reset codes."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from doorward.core.model import Session, SessionKind
from doorward.core.ports.audit import Events


class ApiKey(NamedTuple):
    """A tenant's long-lived credential, as lists show it; the secret itself is known to its session only, hashed."""

    id: str
    tenant_id: str
    name: str
    permissions: str
    digest: bytes
    created_at: int
    expires_at: int | None
    last_used: int | None = None

    @property
    def session(self) -> Session:
        """The session that makes it live."""
        return Session(
            id=self.id,
            kind=SessionKind.KEY,
            tenant_id=self.tenant_id,
            user_id=None,
            device_id=None,
            key=self.digest,
            created_at=self.created_at,
            expires_at=self.expires_at,
            seen_at=self.created_at,
            permissions=self.permissions,
        )


class ApiKeyStore(Protocol):
    """API keys, durable. What makes one live is its session; this is what it is restored and listed from."""

    async def add(self, key: ApiKey, *, cap: int, events: Events = ()) -> bool:
        """Keep a new key; False, and nothing kept, where the tenant has `cap` keys already."""
        ...

    async def list_of_tenant(self, tenant_id: str) -> list[ApiKey]:
        """Return the tenant's keys, oldest first."""
        ...

    async def find(self, tenant_id: str, key_id: str) -> ApiKey | None:
        """Return one of the tenant's keys, unless the tenant is disabled or gone."""
        ...

    async def delete(self, tenant_id: str, key_id: str, *, events: Events = ()) -> bool:
        """Forget a key; False where the tenant has none of this id."""
        ...

    async def touch(self, seen: Mapping[str, int], *, now: int) -> None:
        """Move `last_used` of these key ids forward; back only where it lies further ahead of `now` than `AHEAD`."""
        ...


class ResetCode(NamedTuple):
    """A code that may set a user's password once, known by its digest, good for the credentials it was made for."""

    digest: bytes
    tenant_id: str
    user_id: str
    credentials: int
    expires_at: int


class ResetCodeStore(Protocol):
    """Codes for setting a password, durable."""

    async def add(self, code: ResetCode, *, events: Events = ()) -> None:
        """Keep a code; an earlier one of the same user is forgotten."""
        ...

    async def consume(self, tenant_id: str, digest: bytes) -> ResetCode | None:
        """Return a code of the tenant, which is good no more. Of two callers at once, one gets it."""
        ...

    async def restore(self, code: ResetCode) -> None:
        """Make a code that was taken good again, unless a newer one of the same user was added meanwhile."""
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` expired codes; return how many were removed."""
        ...
