"""Tenants come to be."""

from dataclasses import dataclass
from uuid import uuid4

from doorward.core.audit import event
from doorward.core.errors import TenantExists
from doorward.core.model import Caller, Tenant
from doorward.core.passwords import Passwords
from doorward.core.ports import Accounts, Clock
from doorward.core.sessions import SessionDoor
from doorward.core.throttle import TENANTS


@dataclass(frozen=True, slots=True)
class Tenants:
    """Registers tenants."""

    accounts: Accounts
    sessions: SessionDoor
    passwords: Passwords
    clock: Clock

    async def register(self, caller: Caller, email: str, password: str) -> tuple[Tenant, str]:
        """Register a tenant and return it with its first token; TenantExists where the address is taken.

        `caller` says where the request came from.
        """
        if await self.accounts.tenant_by_email(email):
            raise TenantExists
        password_hash = await self.passwords.hash(password, group=TENANTS)
        tenant = Tenant(str(uuid4()), email, password_hash, credentials=1, created_at=self.clock())
        created = event(caller._replace(tenant_id=tenant.id), tenant.created_at, "tenant.create")
        if not await self.accounts.add_tenant(tenant, events=[created]):
            raise TenantExists
        return tenant, (await self.sessions.open_tenant(tenant)).token
