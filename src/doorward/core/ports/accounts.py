"""Store of tenants and users."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from doorward.core.model import Tenant, User
from doorward.core.ports.audit import Events
from doorward.core.ports.sessions import RevocationScope, SessionPolicy


class UserMatches(NamedTuple):
    """Users that a search found.

    `searched_up_to` is the canonical login where it stopped; "" where it is complete or full.
    """

    users: list[User]
    searched_up_to: str = ""


class AccountStore(Protocol):
    """Tenants and users; durable. A write that returned survives a crash of every process.

    `events` are stored in the same transaction as the change that they describe, or not at all. `revokes` names the
    sessions that a change revokes: in the same transaction, or, where sessions are in another store, before the change,
    so that no session outlives it even if every process crashes in between. A concurrent login may still open a session
    until they are revoked once more.
    """

    async def add_tenant(self, tenant: Tenant, *, events: Events = ()) -> bool:
        """Store a new tenant; return False, and store nothing, where the canonical e-mail address is taken."""
        ...

    async def tenant_by_email(self, email: str) -> Tenant | None:
        """Return the tenant with this address, in any spelling of the same canonical form."""
        ...

    async def tenant_by_id(self, tenant_id: str) -> Tenant | None:
        """Return the tenant with this id."""
        ...

    async def list_tenants(self, *, after: str, limit: int) -> list[Tenant]:
        """Return up to `limit` tenants by canonical e-mail address, those after `after` (a canonical address)."""
        ...

    async def set_tenant_hash(self, tenant: Tenant, password_hash: str) -> bool:
        """Replace the stored hash of an unchanged password.

        Returns False where the password was changed in the meantime.
        """
        ...

    async def change_tenant(
        self,
        tenant: Tenant,
        *,
        events: Events = (),
        revokes: RevocationScope | None = None,
        policy: SessionPolicy | None = None,
    ) -> bool:
        """Store hash, credentials, settings and `disabled` of `tenant`, and increment its version.

        Returns False, and stores nothing, where the stored version differs from that of `tenant`, or the tenant was
        deleted. `policy` applies to its users' sessions from then on: in the same transaction, or, where sessions are
        in another store, right after it, unless a newer policy is there. StoreUnavailable may mean that only the first
        was done; the next login updates the other store.
        """
        ...

    async def delete_tenant(self, tenant_id: str, *, events: Events = ()) -> bool:
        """Delete a tenant: it is not found any more, and its address is free. Return False where it did not exist.

        `purge` removes its users and all other rows.
        """
        ...

    async def purge(self, *, limit: int, forget: Callable[[Sequence[str]], Awaitable[object]]) -> int:
        """Remove up to about `limit` rows of deleted tenants; return 0 when none are left.

        `forget` is called with the ids of their users before these are removed, and removes the data of their sessions.
        """
        ...

    async def add_user(self, user: User, *, events: Events = ()) -> bool:
        """Store a new user; return False, and store nothing, where its canonical login is taken in its tenant.

        Raises QuotaExceeded, and stores nothing, where the login is free and the tenant has as many users as it may
        have.
        """
        ...

    async def add_users(self, users: Sequence[User], *, events: Events = ()) -> list[bool]:
        """Store new users of one tenant in one transaction; return for each False where its canonical login was taken.

        Raises QuotaExceeded, and stores nothing, where the quota does not admit all of them.
        """
        ...

    async def room_for_users(self, tenant_id: str) -> int | None:
        """Return the number of users that a tenant may still create; None where there is no quota."""
        ...

    async def forget_user_counts(self) -> None:
        """Count every tenant's users again before the quota is next applied.

        For the start of a process: earlier processes may have run without the quota, and those do not count.
        """
        ...

    async def put_user(
        self, user: User, *, keep_verified: bool = True, events: Events = (), revokes: RevocationScope | None = None
    ) -> User:
        """Create or replace a user and return it as stored.

        An existing user with the same canonical login retains its id and registration date. `credentials` is one more
        than before. With `keep_verified`, an e-mail address that stays the same, to the letter, stays verified as of
        the same time. Raises QuotaExceeded as `add_user` does.
        """
        ...

    async def change_user(self, user: User, *, events: Events = (), revokes: RevocationScope | None = None) -> bool:
        """Store everything of `user` but its dates, and increment its version.

        Returns False, and stores nothing, where the stored version differs from that of `user`, the user was deleted,
        or another user of the tenant has its canonical login.
        """
        ...

    async def user_by_login(self, tenant_id: str, login: str) -> User | None:
        """Return the tenant's user with this login, in any spelling of the same canonical form."""
        ...

    async def user_by_id(self, tenant_id: str, user_id: str) -> User | None:
        """Return the tenant's user with this id."""
        ...

    async def tenants_of(self, user_ids: Sequence[str]) -> dict[str, str]:
        """Return the tenant ids of users by user id, without unknown ids."""
        ...

    async def list_users(self, tenant_id: str, *, after: str, limit: int, prefix: str = "") -> list[User]:
        """Return up to `limit` users of the tenant by canonical login, those after `after` (a canonical login).

        With `prefix` (canonical), only users whose login begins with it, and no other rows are read.
        """
        ...

    async def users_by_email(self, tenant_id: str, email: str, *, after: str, limit: int) -> UserMatches:
        """Return up to `limit` users in the order of `list_users` whose e-mail address has the same canonical form.

        The result may be incomplete, as that of `search_users`.
        """
        ...

    async def users_by_sub(self, tenant_id: str, sub: str, *, after: str, limit: int) -> list[User]:
        """Return up to `limit` users in the order of `list_users` with this `sub`, to the letter."""
        ...

    async def list_password_hashes(self, tenant_id: str, *, after: str, limit: int) -> list[str]:
        """Return the password hashes of the users that `list_users` would return; "" for a user without a password."""
        ...

    async def search_users(self, tenant_id: str, *, part: str, after: str, limit: int) -> UserMatches:
        """Return up to `limit` users in the order of `list_users` whose canonical login contains `part`, literally.

        `part` is canonical and not empty. The work is bounded for any size of the tenant: where it ends before `limit`
        users are found, `searched_up_to` is where to continue.
        """
        ...

    async def index_logins(self, *, limit: int) -> bool:
        """Add up to `limit` logins to the search index; return False where nothing is left to do for now.

        A search finds logins that are not in the index as well.
        """
        ...

    async def set_user_hash(self, user: User, password_hash: str) -> bool:
        """Replace the stored hash of an unchanged password.

        Returns False where the password was changed in the meantime.
        """
        ...

    async def delete_user(self, tenant_id: str, user_id: str, *, events: Events = ()) -> bool:
        """Delete the tenant's user with its reset codes; return False where it did not exist.

        `SessionStore.revoke_user` revokes its sessions, `SessionStore.erase_users` removes them.
        """
        ...

    async def touch_users(self, seen: Mapping[str, int], *, now: int) -> None:
        """Move `last_activity` of these user ids forward.

        It moves back only where it is more than `MAX_CLOCK_SKEW` ahead of `now`. Deleted users stay deleted.
        """
        ...
