"""Stores of API keys and reset codes."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from doorward.core.model import Session, SessionKind
from doorward.core.ports.audit import Events


class ApiKey(NamedTuple):
    """An API key without its secret, which is only in its session, as a digest."""

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
        """The session that makes the key valid."""
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
    """API keys; durable. A key is valid through its session; this list is what sessions are restored from."""

    async def add(self, key: ApiKey, *, cap: int, events: Events = ()) -> bool:
        """Store a new key; return False, and store nothing, where the tenant has `cap` keys already."""
        ...

    async def list_of_tenant(self, tenant_id: str) -> list[ApiKey]:
        """Return the tenant's keys, oldest first."""
        ...

    async def find(self, tenant_id: str, key_id: str) -> ApiKey | None:
        """Return one of the tenant's keys, unless the tenant is disabled or deleted."""
        ...

    async def delete(self, tenant_id: str, key_id: str, *, events: Events = ()) -> bool:
        """Delete a key; return False where the tenant has none with this id."""
        ...

    async def touch(self, seen: Mapping[str, int], *, now: int) -> None:
        """Move `last_used` of these key ids forward.

        It moves back only where it is more than `MAX_CLOCK_SKEW` ahead of `now`.
        """
        ...


class ResetCode(NamedTuple):
    """A single-use code that sets a user's password, stored as a digest.

    It is valid for the credentials of the user that it was issued for.
    """

    digest: bytes
    tenant_id: str
    user_id: str
    credentials: int
    expires_at: int


class ResetCodeStore(Protocol):
    """Reset codes; durable."""

    async def add(self, code: ResetCode, *, events: Events = ()) -> None:
        """Store a code and remove an earlier one of the same user."""
        ...

    async def consume(self, tenant_id: str, digest: bytes) -> ResetCode | None:
        """Return a code of the tenant and invalidate it. Of two concurrent callers, one gets it."""
        ...

    async def restore(self, code: ResetCode) -> None:
        """Make a consumed code valid again, unless a newer one of the same user was added in the meantime."""
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` expired codes; return the number."""
        ...
