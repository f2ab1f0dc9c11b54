"""Accounts (see the port) in two tables."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from doorward.core.identity import canonical
from doorward.core.model import Tenant, User
from doorward.core.ports import Ending, Events
from doorward.storage.database import Database, Row, Step, happened
from doorward.storage.sessions import end

_BATCH = 500
_REMAINS = ("api_keys", "reset_codes", "chain", "realm", "tenant", "departed")


class RelationalAccounts:
    """Accounts (see the port) in two tables."""

    def __init__(self, database: Database, *, with_sessions: bool) -> None:
        """Keep accounts in `database`, with the sessions or without them."""
        self._db = database
        self.ends_sessions = with_sessions

    async def add_tenant(self, tenant: Tenant, *, events: Events = ()) -> bool:
        """See `Accounts.add_tenant`."""
        row = {
            "id": tenant.id,
            "email": tenant.email,
            "email_key": canonical(tenant.email),
            "password_hash": tenant.password_hash,
            "credentials": tenant.credentials,
            "created_at": tenant.created_at,
        }
        return await self._write("add_tenant", row, events)

    async def tenant_by_email(self, email: str) -> Tenant | None:
        """See `Accounts.tenant_by_email`."""
        rows = await self._db.read("tenant_by_email", {"email_key": canonical(email)})
        return _tenant(rows[0]) if rows else None

    async def tenant_by_id(self, tenant_id: str) -> Tenant | None:
        """See `Accounts.tenant_by_id`."""
        rows = await self._db.read("tenant_by_id", {"id": tenant_id})
        return _tenant(rows[0]) if rows else None

    async def list_tenants(self, *, after: str, limit: int) -> list[Tenant]:
        """See `Accounts.list_tenants`."""
        return [_tenant(row) for row in await self._db.scan("list_tenants", {"after": after, "limit": limit})]

    async def set_tenant_hash(self, tenant: Tenant, password_hash: str) -> bool:
        """See `Accounts.set_tenant_hash`."""
        row = {"id": tenant.id, "credentials": tenant.credentials, "password_hash": password_hash}
        return await self._write("set_tenant_hash", row)

    async def change_tenant(self, tenant: Tenant, *, events: Events = (), ends: Ending | None = None) -> bool:
        """See `Accounts.change_tenant`."""
        row = {
            "id": tenant.id,
            "password_hash": tenant.password_hash,
            "credentials": tenant.credentials,
            "settings": tenant.settings,
            "disabled": int(tenant.disabled),
            "version": tenant.version,
        }
        return await self._write("change_tenant", row, events, ends)

    async def delete_tenant(self, tenant_id: str, *, events: Events = ()) -> bool:
        """See `Accounts.delete_tenant`."""
        row = {"id": tenant_id}
        departed, *_ = await self._db.write(
            Step("delete_tenant", row, vital=True), Step("blank_tenant", row), *happened(events)
        )
        return bool(departed)

    async def purge(self, *, limit: int, forget: Callable[[Sequence[str]], Awaitable[object]]) -> int:
        """See `Accounts.purge`."""
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
            # Only when nothing of that much is left: what there is little of, and at last the tenant itself.
            await self._db.write(*(Step(f"purge_{rows}", values) for rows in _REMAINS))
        return max(1, removed)

    async def add_user(self, user: User, *, events: Events = ()) -> bool:
        """See `Accounts.add_user`."""
        return await self._write("add_user", _user_row(user), events)

    async def add_users(self, users: Sequence[User], *, events: Events = ()) -> list[bool]:
        """See `Accounts.add_users`."""
        rows = [_user_row(user) for user in users]
        # Sorted, so that two processes that add the same users wait for one another in the same order.
        order = sorted(range(len(rows)), key=lambda number: (rows[number]["login_key"], number))
        results = await self._db.write(*(Step("add_user", rows[number]) for number in order), *happened(events))
        added = {number: bool(result) for number, result in zip(order, results, strict=False)}
        return [added[number] for number in range(len(rows))]

    async def put_user(self, user: User, *, events: Events = (), ends: Ending | None = None) -> User:
        """See `Accounts.put_user`."""
        [row], *_ = await self._db.write(Step("put_user", _user_row(user)), *self._end(ends), *happened(events))
        return _user(row)

    async def change_user(self, user: User, *, events: Events = (), ends: Ending | None = None) -> bool:
        """See `Accounts.change_user`."""
        return await self._write("change_user", _user_row(user) | {"version": user.version}, events, ends)

    async def user_by_login(self, tenant_id: str, login: str) -> User | None:
        """See `Accounts.user_by_login`."""
        rows = await self._db.read("user_by_login", {"tenant_id": tenant_id, "login_key": canonical(login)})
        return _user(rows[0]) if rows else None

    async def user_by_id(self, tenant_id: str, user_id: str) -> User | None:
        """See `Accounts.user_by_id`."""
        rows = await self._db.read("user_by_id", {"tenant_id": tenant_id, "id": user_id})
        return _user(rows[0]) if rows else None

    async def tenants_of(self, user_ids: Sequence[str]) -> dict[str, str]:
        """See `Accounts.tenants_of`."""
        return {row[0]: row[1] for row in await self._db.look_up("tenants_of_users", user_ids)} if user_ids else {}

    async def list_users(self, tenant_id: str, *, part: str, after: str, limit: int) -> list[User]:
        """See `Accounts.list_users`."""
        values = {"tenant_id": tenant_id, "after": after, "limit": limit}
        if part:
            rows = await self._db.scan("search_users", {**values, "pattern": f"%{_literal(part)}%"})
        else:
            rows = await self._db.scan("list_users", values)
        return [_user(row) for row in rows]

    async def set_user_hash(self, user: User, password_hash: str) -> bool:
        """See `Accounts.set_user_hash`."""
        row = {
            "id": user.id,
            "tenant_id": user.tenant_id,
            "credentials": user.credentials,
            "password_hash": password_hash,
        }
        return await self._write("set_user_hash", row)

    async def delete_user(self, tenant_id: str, user_id: str, *, events: Events = ()) -> bool:
        """See `Accounts.delete_user`."""
        row = {"tenant_id": tenant_id, "id": user_id}
        deleted, *_ = await self._db.write(
            Step("delete_user", row, vital=True),
            Step("forget_reset_codes", {"id": user_id}),
            *happened(events),
        )
        return bool(deleted)

    async def touch_users(self, seen: Mapping[str, int]) -> None:
        """See `Accounts.touch_users`."""
        # Sorted, so that two processes that touch the same users lock them in the same order.
        steps = [Step("touch_user", {"id": user_id, "seen": at}) for user_id, at in sorted(seen.items())]
        for start in range(0, len(steps), _BATCH):
            await self._db.write(*steps[start : start + _BATCH])

    async def _write(
        self, statement: str, values: Mapping[str, object], events: Events = (), ends: Ending | None = None
    ) -> bool:
        rows, *_ = await self._db.write(Step(statement, values, vital=True), *self._end(ends), *happened(events))
        return bool(rows)

    def _end(self, ends: Ending | None) -> list[Step]:
        return end(ends) if ends and self.ends_sessions else []


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
        "company": user.company,
        "sub": user.sub,
        "scope": user.scope,
        "password_hash": user.password_hash,
        "credentials": user.credentials,
        "registration_date": user.registration_date,
        "last_activity": user.last_activity,
        "metadata": user.metadata,
        "disabled": int(user.disabled),
    }


def _literal(part: str) -> str:
    return part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
