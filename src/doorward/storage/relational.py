"""Rows to values and back, once for every relational database."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from doorward.core.errors import StoreUnavailable
from doorward.core.identity import canonical
from doorward.core.model import Kind, Session, Tenant, User
from doorward.core.ports import Backoff, Claimed, Revocation, Verdict

Row = Sequence[Any]

_BATCH = 500
_OPEN_TRIES = 3


class Step(NamedTuple):
    """One statement of `queries.sql`, by name, with its parameters."""

    statement: str
    values: Mapping[str, object]


class Database(Protocol):
    """What an adapter has to do: run statements by name. Raises StoreUnavailable when it cannot."""

    async def open(self) -> None:
        """Open the database, of the newest schema already, inside the event loop that will use it.

        CannotStart where that is impossible.
        """
        ...

    async def close(self) -> None:
        """Finish what is under way and close the database."""
        ...

    async def read(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """Return the rows of a statement that answers by key, at once."""
        ...

    async def look_up(self, statement: str, keys: Sequence[str]) -> list[Row]:
        """Return the rows of a statement on a list, `IN (:name)`, whose first column is one of `keys`.

        A database behind a network asks for the keys of all callers of one moment in one trip.
        """
        ...

    async def scan(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """Return the rows of a statement that may take a while, without holding up anything else."""
        ...

    async def write(self, *steps: Step) -> list[list[Row]]:
        """Run steps in order as one durable transaction and return the rows of each."""
        ...


class RelationalAccounts:
    """Accounts (see the port) in two tables."""

    def __init__(self, database: Database) -> None:
        """Keep accounts in `database`."""
        self._db = database

    async def add_tenant(self, tenant: Tenant) -> bool:
        """See `Accounts.add_tenant`."""
        row = {
            "id": tenant.id,
            "email": tenant.email,
            "email_key": canonical(tenant.email),
            "password_hash": tenant.password_hash,
            "credentials": tenant.credentials,
            "created_at": tenant.created_at,
        }
        return await self._write("add_tenant", row)

    async def tenant_by_email(self, email: str) -> Tenant | None:
        """See `Accounts.tenant_by_email`."""
        rows = await self._db.read("tenant_by_email", {"email_key": canonical(email)})
        return Tenant(*rows[0]) if rows else None

    async def tenant_by_id(self, tenant_id: str) -> Tenant | None:
        """See `Accounts.tenant_by_id`."""
        rows = await self._db.read("tenant_by_id", {"id": tenant_id})
        return Tenant(*rows[0]) if rows else None

    async def set_tenant_hash(self, tenant: Tenant, password_hash: str) -> bool:
        """See `Accounts.set_tenant_hash`."""
        row = {"id": tenant.id, "credentials": tenant.credentials, "password_hash": password_hash}
        return await self._write("set_tenant_hash", row)

    async def add_user(self, user: User) -> bool:
        """See `Accounts.add_user`."""
        return await self._write("add_user", _user_row(user))

    async def put_user(self, user: User) -> User:
        """See `Accounts.put_user`."""
        [[row]] = await self._db.write(Step("put_user", _user_row(user)))
        return User(*row)

    async def user_by_login(self, tenant_id: str, login: str) -> User | None:
        """See `Accounts.user_by_login`."""
        rows = await self._db.read("user_by_login", {"tenant_id": tenant_id, "login_key": canonical(login)})
        return User(*rows[0]) if rows else None

    async def user_by_id(self, tenant_id: str, user_id: str) -> User | None:
        """See `Accounts.user_by_id`."""
        rows = await self._db.read("user_by_id", {"tenant_id": tenant_id, "id": user_id})
        return User(*rows[0]) if rows else None

    async def list_users(self, tenant_id: str, *, part: str, after: str, limit: int) -> list[User]:
        """See `Accounts.list_users`."""
        values = {"tenant_id": tenant_id, "after": after, "limit": limit}
        if part:
            rows = await self._db.scan("search_users", {**values, "pattern": f"%{_literal(part)}%"})
        else:
            rows = await self._db.scan("list_users", values)
        return [User(*row) for row in rows]

    async def set_user_hash(self, user: User, password_hash: str) -> bool:
        """See `Accounts.set_user_hash`."""
        row = {
            "id": user.id,
            "tenant_id": user.tenant_id,
            "credentials": user.credentials,
            "password_hash": password_hash,
        }
        return await self._write("set_user_hash", row)

    async def delete_user(self, tenant_id: str, user_id: str) -> bool:
        """See `Accounts.delete_user`."""
        return await self._write("delete_user", {"tenant_id": tenant_id, "id": user_id})

    async def touch_users(self, seen: Mapping[str, int]) -> None:
        """See `Accounts.touch_users`."""
        # Sorted, so that two processes that touch the same users lock them in the same order.
        steps = [Step("touch_user", {"id": user_id, "seen": at}) for user_id, at in sorted(seen.items())]
        for start in range(0, len(steps), _BATCH):
            await self._db.write(*steps[start : start + _BATCH])

    async def _write(self, statement: str, values: Mapping[str, object]) -> bool:
        [rows] = await self._db.write(Step(statement, values))
        return bool(rows)


def _user_row(user: User) -> dict[str, object]:
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
    }


def _literal(part: str) -> str:
    return part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _user(user_id: str) -> str:
    return f"user:{user_id}"


def _tenant(tenant_id: str) -> str:
    return f"tenant:{tenant_id}"


def _users_of(tenant_id: str) -> str:
    return f"users:{tenant_id}"


class RelationalSessions:
    """Sessions (see the port) as rows that count only while their epochs are current."""

    def __init__(self, database: Database) -> None:
        """Keep sessions in `database`."""
        self._db = database

    async def open(self, session: Session, *, cap: int | None) -> None:
        """See `Sessions.open`."""
        if session.kind == Kind.TENANT:
            owner = realm = _tenant(session.tenant_id)
        else:
            owner, realm = _user(session.user_id or ""), _users_of(session.tenant_id)
        steps = [
            Step("lock_epoch", {"owner": owner, "fresh": secrets.randbits(63)}),
            Step("draw_epoch", {"owner": realm, "fresh": secrets.randbits(63)}),
            Step("open_session", {**session._asdict(), "owner": owner, "realm": realm}),
        ]
        if cap is not None:
            steps.append(Step("evict_sessions", {"owner": owner, "cap": cap}))
        for _ in range(_OPEN_TRIES):
            # The realm may be ended between two statements; then nothing was opened, and the next try draws again.
            if (await self._db.write(*steps))[2]:
                return
        raise StoreUnavailable

    async def find(self, tenant: Claimed) -> Session | None:
        """See `Sessions.find`."""
        rows = await self._db.look_up("find_sessions", (tenant.session_id,))
        return Session._make(rows[0]) if rows else None

    async def find_pair(self, tenant: Claimed, user: Claimed) -> tuple[Session | None, Session | None]:
        """See `Sessions.find_pair`."""
        one = other = None
        first, second = tenant.session_id, user.session_id
        for row in await self._db.look_up("find_sessions", (first, second)):
            if row[0] == first:
                one = Session._make(row)
            if row[0] == second:
                other = Session._make(row)
        return one, other

    async def close(self, session: Session) -> bool:
        """See `Sessions.close`."""
        [rows] = await self._db.write(Step("close_session", {"id": session.id}))
        return bool(rows)

    async def end_user(self, tenant_id: str, user_id: str) -> None:  # noqa: ARG002 - other stores keep users by tenant
        """See `Sessions.end_user`."""
        await self._end(_user(user_id))

    async def end_tenant(self, tenant_id: str) -> None:
        """See `Sessions.end_tenant`."""
        await self._end(_tenant(tenant_id))

    async def end_users_of(self, tenant_id: str) -> None:
        """See `Sessions.end_users_of`."""
        await self._end(_users_of(tenant_id))

    async def _end(self, owner: str) -> None:
        await self._db.write(Step("end_owner", {"owner": owner}), Step("note_ended", {"owner": owner}))

    async def sweep(self, now: int, *, limit: int) -> int:
        """See `Sessions.sweep`."""
        expired, ended = await self._db.write(
            Step("sweep_expired_sessions", {"now": now, "limit": limit}),
            Step("sweep_ended_sessions", {"limit": limit}),
        )
        if len(ended) < limit:
            await self._db.write(Step("forget_ended", {}))
        return len(expired) + len(ended)


class RelationalCounters:
    """Counters (see the port), each operation one upsert."""

    def __init__(self, database: Database) -> None:
        """Keep counters in `database`."""
        self._db = database

    async def take(self, key: str, *, period: int, burst: int, now: int) -> int:
        """See `Counters.take`."""
        taken, state = await self._db.write(
            Step("take", {"key": key, "period": period, "burst": burst, "now": now}), Step("budget", {"key": key})
        )
        return 0 if taken else max(1, state[0][0] + period - now - period * burst)

    async def reserve(self, key: str, rule: Backoff, *, now: int) -> Verdict:
        """See `Counters.reserve`."""
        values = {"key": key, "now": now, "lease": rule.lease, "cap": rule.cap, "free": rule.free}
        reserved, state = await self._db.write(Step("reserve", values), Step("attempts", {"key": key}))
        if reserved:
            return Verdict(0)
        failures, blocked_until = state[0]
        if failures >= rule.cap:
            return Verdict(rule.longest)
        if blocked_until > now:
            return Verdict(blocked_until - now)
        return Verdict(rule.first, busy=True)

    async def settle(self, key: str, rule: Backoff, *, now: int) -> None:
        """See `Counters.settle`."""
        values = {
            "key": key,
            "now": now,
            "free": rule.free,
            "first": rule.first,
            "longest": rule.longest,
            "doublings": (rule.longest // rule.first).bit_length(),
            "cap": rule.cap,
            "memory": rule.memory,
        }
        await self._db.write(Step("settle", values))

    async def release(self, key: str) -> None:
        """See `Counters.release`."""
        await self._db.write(Step("release", {"key": key}))

    async def forget(self, key: str) -> None:
        """See `Counters.forget`."""
        await self._db.write(Step("forget_last", {"key": key}), Step("forget_failures", {"key": key}))

    async def sweep(self, now: int, *, limit: int) -> int:
        """See `Counters.sweep`."""
        budgets, attempts = await self._db.write(
            Step("sweep_budgets", {"now": now, "limit": limit}), Step("sweep_attempts", {"now": now, "limit": limit})
        )
        return len(budgets) + len(attempts)


class RelationalRevocations:
    """Revocations (see the port) in two tables."""

    def __init__(self, database: Database) -> None:
        """Keep revocations in `database`."""
        self._db = database

    async def note(self, ended: Revocation) -> None:
        """See `Revocations.note`."""
        await self._db.write(Step("note_revocation", ended._asdict()))

    async def page(self, *, after: str, limit: int) -> list[Revocation]:
        """See `Revocations.page`."""
        return [Revocation(*row) for row in await self._db.scan("page_revocations", {"after": after, "limit": limit})]

    async def is_trusted(self, server: str) -> bool:
        """See `Revocations.is_trusted`."""
        return bool(await self._db.read("trusted_server", {"server": server}))

    async def trust(self, server: str, *, now: int) -> None:
        """See `Revocations.trust`."""
        await self._db.write(Step("trust_server", {"server": server, "now": now}))

    async def sweep(self, now: int, *, limit: int) -> int:
        """See `Revocations.sweep`."""
        [swept] = await self._db.write(Step("sweep_revocations", {"now": now, "limit": limit}))
        return len(swept)
