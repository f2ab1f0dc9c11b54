"""`AccountStore` on a relational database: tenants and users, and the removal of deleted tenants."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from doorward.core.errors import QuotaExceeded
from doorward.core.model import MAX_CLOCK_SKEW, Tenant, User
from doorward.core.normalization import canonical
from doorward.core.ports import Events, RevocationScope, SessionPolicy, SessionStore, UserMatches
from doorward.storage.relational.database import Database, Row, Step, audit_steps
from doorward.storage.relational.email_keys import email_key
from doorward.storage.relational.login_search import LAST_LOGIN_KEY, LoginSearch
from doorward.storage.relational.sessions import policy_steps, revocation_steps
from doorward.storage.relational.user_quota import UserQuota

_BATCH = 500
# Appended to a login, the next possible key: only NUL sorts before it, which no login contains.
_NEXT = "\x01"
_PURGE_STATEMENTS = ("api_keys", "reset_codes", "user_count", "chain", "realm", "tenant", "departed")


class RelationalAccountStore:
    """`AccountStore` in the tables `tenants` and `users`."""

    def __init__(
        self, database: Database, session_store: SessionStore | None = None, *, quota: UserQuota | None = None
    ) -> None:
        """Store accounts in `database`.

        Args:
            database: Database of the accounts.
            session_store: Session store, unless sessions are in the same database.
            quota: Quota of users per tenant; None for no limit, and no count.
        """
        self._db = database
        self._session_store = session_store
        self._quota = quota
        self._login_search = LoginSearch(database)

    async def add_tenant(self, tenant: Tenant, *, events: Events = ()) -> bool:
        """See `AccountStore.add_tenant`."""
        row = {
            "id": tenant.id,
            "email": tenant.email,
            "email_key": canonical(tenant.email),
            "password_hash": tenant.password_hash,
            "credentials": tenant.credentials,
            "created_at": tenant.created_at,
            "settings": tenant.settings,
        }
        return await self._write("add_tenant", row, events)

    async def tenant_by_email(self, email: str) -> Tenant | None:
        """See `AccountStore.tenant_by_email`."""
        rows = await self._db.read("tenant_by_email", {"email_key": canonical(email)})
        return _tenant(rows[0]) if rows else None

    async def tenant_by_id(self, tenant_id: str) -> Tenant | None:
        """See `AccountStore.tenant_by_id`."""
        rows = await self._db.read("tenant_by_id", {"id": tenant_id})
        return _tenant(rows[0]) if rows else None

    async def list_tenants(self, *, after: str, limit: int) -> list[Tenant]:
        """See `AccountStore.list_tenants`."""
        return [_tenant(row) for row in await self._db.scan("list_tenants", {"after": after, "limit": limit})]

    async def set_tenant_hash(self, tenant: Tenant, password_hash: str) -> bool:
        """See `AccountStore.set_tenant_hash`."""
        row = {"id": tenant.id, "credentials": tenant.credentials, "password_hash": password_hash}
        return await self._write("set_tenant_hash", row)

    async def change_tenant(
        self,
        tenant: Tenant,
        *,
        events: Events = (),
        revokes: RevocationScope | None = None,
        policy: SessionPolicy | None = None,
    ) -> bool:
        """See `AccountStore.change_tenant`."""
        row = {
            "id": tenant.id,
            "password_hash": tenant.password_hash,
            "credentials": tenant.credentials,
            "settings": tenant.settings,
            "disabled": int(tenant.disabled),
            "version": tenant.version,
        }
        if policy is None:
            return await self._write("change_tenant", row, events, revokes)
        if self._session_store is None:
            return await self._write("change_tenant", row, events, revokes, policy_steps(tenant.id, policy))
        changed = await self._write("change_tenant", row, events, revokes)
        if changed:
            await self._session_store.set_policy(tenant.id, policy)
        return changed

    async def delete_tenant(self, tenant_id: str, *, events: Events = ()) -> bool:
        """See `AccountStore.delete_tenant`."""
        row = {"id": tenant_id}
        departed, *_ = await self._db.write(
            Step("delete_tenant", row, vital=True), Step("blank_tenant", row), *audit_steps(events)
        )
        return bool(departed)

    async def purge(self, *, limit: int, forget: Callable[[Sequence[str]], Awaitable[object]]) -> int:
        """See `AccountStore.purge`."""
        departed = await self._db.read("departed", {})
        if not departed:
            return 0
        values = {"tenant_id": departed[0][0], "limit": limit}
        steps = [Step("purge_audit", values)]
        users = [row[0] for row in await self._db.scan("departed_users", values)]
        if users:
            await forget(users)
            steps.append(Step("purge_users", {**values, "last": users[-1]}))
        removed = sum(map(len, await self._db.write(*steps)))
        if not removed and not users:
            # After the large tables are empty: the small ones, and at last the tenant itself.
            await self._db.write(*(Step(f"purge_{rows}", values) for rows in _PURGE_STATEMENTS))
        return max(1, removed)

    async def add_user(self, user: User, *, events: Events = ()) -> bool:
        """See `AccountStore.add_user`."""
        steps = [Step("add_user", _user_row(user), vital=True), *audit_steps(events)]
        try:
            rows, *_ = await self._create(user.tenant_id, 1, *steps)
        except QuotaExceeded:
            if await self.user_by_login(user.tenant_id, user.login) is None:
                raise
            return False
        return bool(rows)

    async def add_users(self, users: Sequence[User], *, events: Events = ()) -> list[bool]:
        """See `AccountStore.add_users`."""
        if not users:
            return []
        tenant_id, rows = users[0].tenant_id, [_user_row(user) for user in users]
        # Sorted, so that two processes that add the same users take locks in the same order.
        order = sorted(range(len(rows)), key=lambda number: (rows[number]["login_key"], number))
        steps = [Step("add_user", rows[number]) for number in order]
        results = await self._create(tenant_id, len(rows), *steps, *audit_steps(events))
        added = {number: bool(result) for number, result in zip(order, results, strict=False)}
        unused = len(rows) - sum(added.values())
        if unused and self._quota:
            await self._quota.release(tenant_id, unused)
        return [added[number] for number in range(len(rows))]

    async def room_for_users(self, tenant_id: str) -> int | None:
        """See `AccountStore.room_for_users`."""
        return await self._quota.remaining(tenant_id) if self._quota else None

    async def forget_user_counts(self) -> None:
        """See `AccountStore.forget_user_counts`."""
        if self._quota:
            await self._quota.reset()

    async def _create(self, tenant_id: str, places: int, *steps: Step) -> list[list[Row]]:
        if self._quota is None:
            return await self._db.write(*steps)
        return await self._quota.create(tenant_id, places, *steps)

    async def put_user(
        self, user: User, *, keep_verified: bool = True, events: Events = (), revokes: RevocationScope | None = None
    ) -> User:
        """See `AccountStore.put_user`."""
        revocations = await self._revocation_steps(revokes)
        values = _user_row(user) | {"keep_verified": int(keep_verified)}
        steps = [Step("put_user", values), *revocations, *audit_steps(events)]
        if self._quota is None:
            [row], *_ = await self._db.write(*steps)
        else:
            [row], *_ = await self._quota.put(user.tenant_id, values["login_key"], *steps)
        return _user(row)

    async def change_user(self, user: User, *, events: Events = (), revokes: RevocationScope | None = None) -> bool:
        """See `AccountStore.change_user`."""
        return await self._write("change_user", _user_row(user) | {"version": user.version}, events, revokes)

    async def user_by_login(self, tenant_id: str, login: str) -> User | None:
        """See `AccountStore.user_by_login`."""
        rows = await self._db.read("user_by_login", {"tenant_id": tenant_id, "login_key": canonical(login)})
        return _user(rows[0]) if rows else None

    async def user_by_id(self, tenant_id: str, user_id: str) -> User | None:
        """See `AccountStore.user_by_id`."""
        rows = await self._db.read("user_by_id", {"tenant_id": tenant_id, "id": user_id})
        return _user(rows[0]) if rows else None

    async def tenants_of(self, user_ids: Sequence[str]) -> dict[str, str]:
        """See `AccountStore.tenants_of`."""
        return {row[0]: row[1] for row in await self._db.look_up("tenants_of_users", user_ids)} if user_ids else {}

    async def list_users(self, tenant_id: str, *, after: str, limit: int, prefix: str = "") -> list[User]:
        """See `AccountStore.list_users`."""
        first = max(prefix, after + _NEXT) if after else prefix
        values = {"tenant_id": tenant_id, "first": first, "beyond": prefix + LAST_LOGIN_KEY, "limit": limit}
        return [_user(row) for row in await self._db.scan("list_users", values)]

    async def users_by_email(self, tenant_id: str, email: str, *, after: str, limit: int) -> UserMatches:
        """See `AccountStore.users_by_email`."""
        values = {"tenant_id": tenant_id, "email_key": email_key(email), "after": after, "limit": limit}
        users = [_user(row) for row in await self._db.scan("users_by_email", values)]
        same = [user for user in users if canonical(user.email) == canonical(email)]
        is_incomplete = len(users) == limit and len(same) < limit
        return UserMatches(same, canonical(users[-1].login) if is_incomplete else "")

    async def users_by_sub(self, tenant_id: str, sub: str, *, after: str, limit: int) -> list[User]:
        """See `AccountStore.users_by_sub`."""
        values = {"tenant_id": tenant_id, "sub": sub, "after": after, "limit": limit}
        return [_user(row) for row in await self._db.scan("users_by_sub", values)]

    async def list_password_hashes(self, tenant_id: str, *, after: str, limit: int) -> list[str]:
        """See `AccountStore.list_password_hashes`."""
        values = {"tenant_id": tenant_id, "after": after, "limit": limit}
        return [row[0] for row in await self._db.scan("list_password_hashes", values)]

    async def search_users(self, tenant_id: str, *, part: str, after: str, limit: int) -> UserMatches:
        """See `AccountStore.search_users`."""
        found, searched_up_to = await self._login_search.search(tenant_id, part=part, after=after, limit=limit)
        return UserMatches([_user(row) for row in found], searched_up_to)

    async def index_logins(self, *, limit: int) -> bool:
        """See `AccountStore.index_logins`."""
        return await self._login_search.index(limit=limit)

    async def set_user_hash(self, user: User, password_hash: str) -> bool:
        """See `AccountStore.set_user_hash`."""
        row = {
            "id": user.id,
            "tenant_id": user.tenant_id,
            "credentials": user.credentials,
            "password_hash": password_hash,
        }
        return await self._write("set_user_hash", row)

    async def delete_user(self, tenant_id: str, user_id: str, *, events: Events = ()) -> bool:
        """See `AccountStore.delete_user`."""
        row = {"tenant_id": tenant_id, "id": user_id}
        counted = [self._quota.deletion_step(tenant_id)] if self._quota else []
        results = await self._db.write(
            *counted,
            Step("delete_user", row, vital=True),
            Step("forget_reset_codes", {"id": user_id}),
            *audit_steps(events),
        )
        return bool(results[len(counted)])

    async def touch_users(self, seen: Mapping[str, int], *, now: int) -> None:
        """See `AccountStore.touch_users`."""
        # Sorted, so that two processes that touch the same users lock them in the same order.
        latest = now + MAX_CLOCK_SKEW
        steps = [Step("touch_user", {"id": user, "seen": at, "latest": latest}) for user, at in sorted(seen.items())]
        for start in range(0, len(steps), _BATCH):
            await self._db.write(*steps[start : start + _BATCH])

    async def _write(
        self,
        statement: str,
        values: Mapping[str, object],
        events: Events = (),
        revokes: RevocationScope | None = None,
        *more: Step,
    ) -> bool:
        revocations = await self._revocation_steps(revokes)
        rows, *_ = await self._db.write(Step(statement, values, vital=True), *more, *revocations, *audit_steps(events))
        return bool(rows)

    async def _revocation_steps(self, scope: RevocationScope | None) -> list[Step]:
        """Return the steps that revoke sessions in the transaction of a change; revoke those in another store now."""
        if scope is None:
            return []
        if self._session_store is None:
            return revocation_steps(scope)
        if scope.user_id is not None:
            await self._session_store.revoke_user(scope.tenant_id, scope.user_id, keep=scope.keep)
            return []
        await self._session_store.revoke_tenant(scope.tenant_id, keep=scope.keep)
        if scope.include_users_and_keys:
            await self._session_store.revoke_keys(scope.tenant_id)
            await self._session_store.revoke_users_of(scope.tenant_id)
        return []


def _tenant(row: Row) -> Tenant:
    return Tenant(*(*row[:-2], bool(row[-2]), row[-1]))


def _user(row: Row) -> User:
    return User(*(*row[:-2], bool(row[-2]), row[-1]))


def _user_row(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "tenant_id": user.tenant_id,
        "login": user.login,
        "login_key": canonical(user.login),
        "email": user.email,
        "email_key": email_key(user.email),
        "company": user.company,
        "sub": user.sub,
        "scope": user.scope,
        "password_hash": user.password_hash,
        "credentials": user.credentials,
        "registration_date": user.registration_date,
        "last_activity": user.last_activity,
        "metadata": user.metadata,
        "email_verified_at": user.email_verified_at,
        "disabled": int(user.disabled),
    }
