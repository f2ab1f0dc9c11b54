"""Factories of sessions."""

import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import uuid4

from doorward.core.model import Session, SessionKind
from doorward.core.ports import SessionRef
from doorward.stores import Stores

Opener = Callable[[str], AbstractAsyncContextManager[Stores]]
NOW = 1_800_000_000_000


def user_session(
    tenant_id: str = "", user_id: str = "", *, at: int = NOW, expires_at: int | None = NOW + 604_800_000
) -> Session:
    return Session(
        id=secrets.token_urlsafe(16),
        kind=SessionKind.USER,
        tenant_id=tenant_id or str(uuid4()),
        user_id=user_id or str(uuid4()),
        device_id="laptop",
        key=secrets.token_bytes(32),
        created_at=at,
        expires_at=expires_at,
        seen_at=at,
    )


def tenant_session(tenant_id: str = "", *, at: int = NOW) -> Session:
    return Session(
        id=secrets.token_urlsafe(16),
        kind=SessionKind.TENANT,
        tenant_id=tenant_id or str(uuid4()),
        user_id=None,
        device_id=None,
        key=secrets.token_bytes(32),
        created_at=at,
        expires_at=None,
        seen_at=at,
    )


def claimed(session: Session) -> SessionRef:
    return SessionRef(session.id, session.user_id or session.tenant_id, SessionKind(session.kind))
