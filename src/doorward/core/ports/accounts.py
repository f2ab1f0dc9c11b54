"""Tenants and users."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from doorward.core.model import Tenant, User
from doorward.core.ports.audit import Events
from doorward.core.ports.sessions import RevocationScope, SessionPolicy


class UserMatches(NamedTuple):
    """Users that a search found, and the canonical login up to which it looked; "" where it is done or has enough."""

    users: list[User]
    searched_up_to: str = ""


class AccountStore(Protocol):
    """Tenants and users; durable. A write that returned survives a crash of every process.

    `events` are kept in the same transaction as what they tell of, or not at all. `ends` says which sessions end with a
    change: with it, or, where they are kept in another store, before it, so that none of them outlives it even if every
    process dies in between. A login in flight may still open one until they are ended once more.
    """

    async def add_tenant(self, tenant: Tenant, *, events: Events = ()) -> bool:
        """Keep a new tenant; False, and nothing kept, where the canonical e-mail address is taken."""
        ...

    async def tenant_by_email(self, email: str) -> Tenant | None:
        """Return the tenant of this address, in any spelling of the same canonical form."""
        ...

    async def tenant_by_id(self, tenant_id: str) -> Tenant | None:
        """Return the tenant of this id."""
        ...

    async def list_tenants(self, *, after: str, limit: int) -> list[Tenant]:
        """Return up to `limit` tenants by canonical e-mail address, those after `after` (a canonical address)."""
        ...

    async def set_tenant_hash(self, tenant: Tenant, password_hash: str) -> bool:
        """Replace the stored hash of an unchanged password; False where the password has changed meanwhile."""
        ...

    async def change_tenant(
        self,
        tenant: Tenant,
        *,
        events: Events = (),
        revokes: RevocationScope | None = None,
        policy: SessionPolicy | None = None,
    ) -> bool:
        """Keep a tenant's hash, credentials, settings and disabled as they are in `tenant`, and count its version up.

        False, and nothing kept, where its version is not that of `tenant` any more, or it is gone. `policy` counts for
        its users' sessions from then on: in the same transaction, or, where sessions are kept in another store, right
        after it, unless a newer one counts there already. StoreUnavailable may mean that only the first was done; the
        next login brings the other store up to date.
        """
        ...

    async def delete_tenant(self, tenant_id: str, *, events: Events = ()) -> bool:
        """Forget a tenant at once: it is found no more, and its address is free. False where there was none.

        What it owned is removed by `purge`.
        """
        ...

    async def purge(self, *, limit: int, forget: Callable[[Sequence[str]], Awaitable[object]]) -> int:
        """Remove up to about `limit` of what a deleted tenant left behind; return 0 when nobody left anything.

        `forget` is given the ids of its users before they are removed: what is kept of their sessions goes with them.
        """
        ...

    async def add_user(self, user: User, *, events: Events = ()) -> bool:
        """Keep a new user; False, and nothing kept, where its canonical login is taken in its tenant.

        QuotaExceeded, and nothing kept, where the login is free and the tenant has no room for another user.
        """
        ...

    async def add_users(self, users: Sequence[User], *, events: Events = ()) -> list[bool]:
        """Keep new users of one tenant in one transaction; for each, False where its canonical login was taken.

        QuotaExceeded, and nothing kept, where the tenant has no room for all of them.
        """
        ...

    async def room_for_users(self, tenant_id: str) -> int | None:
        """Return the number of users that a tenant may still create; None where there is no quota."""
        ...

    async def forget_user_counts(self) -> None:
        """Count every tenant's users again before the quota is next applied.

        For the start of a process: processes without the quota may have run before, and they count nothing.
        """
        ...

    async def put_user(
        self, user: User, *, keep_verified: bool = True, events: Events = (), revokes: RevocationScope | None = None
    ) -> User:
        """Keep a user; one that has its canonical login keeps id and registration date and takes over the rest.

        Returns what is kept now. `credentials` is one more than before. With `keep_verified`, an e-mail address that
        stays the same, to the letter, stays verified as of the time it was. QuotaExceeded as for `add_user`.
        """
        ...

    async def change_user(self, user: User, *, events: Events = (), revokes: RevocationScope | None = None) -> bool:
        """Keep everything of `user` but its dates, and count its version up.

        False, and nothing kept, where its version is not that of `user` any more, it is gone, or another user of the
        tenant has its canonical login.
        """
        ...

    async def user_by_login(self, tenant_id: str, login: str) -> User | None:
        """Return the tenant's user of this login, in any spelling of the same canonical form."""
        ...

    async def user_by_id(self, tenant_id: str, user_id: str) -> User | None:
        """Return the tenant's user of this id."""
        ...

    async def tenants_of(self, user_ids: Sequence[str]) -> dict[str, str]:
        """Return the tenant's id of each of these user ids that is a user's."""
        ...

    async def list_users(self, tenant_id: str, *, after: str, limit: int, prefix: str = "") -> list[User]:
        """Return up to `limit` users of the tenant by canonical login, those after `after` (a canonical login).

        With `prefix` (canonical), only those whose login begins with it. No others are looked at.
        """
        ...

    async def users_by_email(self, tenant_id: str, email: str, *, after: str, limit: int) -> UserMatches:
        """Return up to `limit` users like `list_users`, those whose e-mail address has the same canonical form.

        The result may be short, as that of `search_users`.
        """
        ...

    async def users_by_sub(self, tenant_id: str, sub: str, *, after: str, limit: int) -> list[User]:
        """Return up to `limit` users like `list_users`, those with this `sub`, to the letter."""
        ...

    async def list_password_hashes(self, tenant_id: str, *, after: str, limit: int) -> list[str]:
        """Return the password hashes of the users that `list_users` would return; "" of one without a password."""
        ...

    async def search_users(self, tenant_id: str, *, part: str, after: str, limit: int) -> UserMatches:
        """Return up to `limit` users like `list_users`, those whose canonical login contains `part`, literally.

        `part` is canonical and not empty. The work is bounded whatever the tenant's size: where `limit` users were not
        found by then, `looked_up_to` says from where to go on.
        """
        ...

    async def index_logins(self, *, limit: int) -> bool:
        """Bring up to `limit` logins into what searches look at; False where nothing is left to do for now.

        A search finds the others as well.
        """
        ...

    async def set_user_hash(self, user: User, password_hash: str) -> bool:
        """Replace the stored hash of an unchanged password; False where the password has changed meanwhile."""
        ...

    async def delete_user(self, tenant_id: str, user_id: str, *, events: Events = ()) -> bool:
        """Remove the tenant's user for good, with its codes; False where there was none.

        Its sessions are ended by `Sessions.end_user` and removed by `Sessions.forget_users`.
        """
        ...

    async def touch_users(self, seen: Mapping[str, int], *, now: int) -> None:
        """Move `last_activity` of these user ids forward; back only where it lies further ahead of `now` than `AHEAD`.

        Users that are gone stay gone.
        """
        ...
