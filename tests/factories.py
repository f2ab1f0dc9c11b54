"""Factories of tenants, users, sessions and events for contract tests, and two workers on one set of stores."""

import secrets
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

from doorward.core.model import Event, Session, SessionKind, Tenant, User
from doorward.core.ports import AccountStore, CounterStore, RevocationStore, SessionRef, SessionStore
from doorward.storage.relational.revocations import RelationalRevocationStore
from doorward.stores import Stores

NOW = 1_800_000_000_000
_numbers = count()


class Workers(NamedTuple):
    """Two instances of the stores over the same data; what one did, the other sees."""

    one: Stores
    other: Stores

    @property
    def accounts(self) -> tuple[AccountStore, AccountStore]:
        return self.one.accounts, self.other.accounts

    @property
    def sessions(self) -> tuple[SessionStore, SessionStore]:
        return self.one.sessions, self.other.sessions

    @property
    def counters(self) -> tuple[CounterStore, CounterStore]:
        return self.one.counters, self.other.counters

    @property
    def revocations(self) -> tuple[RevocationStore, RevocationStore]:
        return RelationalRevocationStore(self.one.database), RelationalRevocationStore(self.other.database)


def make_tenant(**more: Any) -> Tenant:
    values = {"id": str(uuid4()), "email": f"{uuid4().hex}@example.org", "password_hash": "hash", **more}
    return Tenant(**{"credentials": 1, "created_at": NOW, **values})


async def kept_tenant(accounts: AccountStore) -> Tenant:
    tenant = make_tenant()
    assert await accounts.add_tenant(tenant)
    return tenant


def make_user(tenant_id: str, **more: Any) -> User:
    values: dict[str, Any] = {
        "id": str(uuid4()),
        "tenant_id": tenant_id,
        "login": f"user-{next(_numbers)}",
        "email": "user@example.org",
        "company": None,
        "sub": "sub",
        "scope": None,
        "password_hash": "hash",
        "credentials": 1,
        "registration_date": NOW,
        "last_activity": NOW,
    }
    return User(**{**values, **more})


def user_session(tenant_id: str, user_id: str, *, at: int = NOW, expires_at: int | None = NOW + 1_000_000) -> Session:
    return Session(
        secrets.token_urlsafe(16),
        SessionKind.USER,
        tenant_id,
        user_id,
        "laptop",
        secrets.token_bytes(32),
        at,
        expires_at,
    )


def tenant_session(tenant_id: str, *, at: int = NOW, expires_at: int | None = None) -> Session:
    return Session(
        secrets.token_urlsafe(16), SessionKind.TENANT, tenant_id, None, None, secrets.token_bytes(32), at, expires_at
    )


def claimed(session: Session) -> SessionRef:
    return SessionRef(session.id, session.user_id or session.tenant_id, SessionKind(session.kind))


def key_session(tenant_id: str, *, at: int = NOW, expires_at: int | None = None) -> Session:
    session = tenant_session(tenant_id, at=at, expires_at=expires_at)
    return session._replace(kind=SessionKind.KEY, permissions="sessions verify")


def made_event(tenant_id: str, action: str = "something", *, at: int = NOW) -> Event:
    return Event(at, tenant_id, action, "success", "tenant")
