"""Source, target and options of the import from backend-auth."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from doorward.core.audit.service import event
from doorward.core.model import Caller, Event, Session
from doorward.core.ports import AccountStore, ImportStore, SessionStore
from doorward.imports.backend_auth.records import Row

Value = TypeVar("Value")

PAGE = 500
"""Rows per query."""


class ImportSource(Protocol):
    """The predecessor's data store."""

    def keys(self, pattern: str) -> AsyncIterator[list[str]]:
        """Yield the keys of a pattern, in batches; a key that exists during the whole scan is yielded once or twice."""
        ...

    async def rows(self, keys: Sequence[str]) -> list[Row]:
        """Return the rows of the keys that exist."""
        ...

    async def values(self, keys: Sequence[str]) -> list[str | None]:
        """Return the value of each key, or None if it does not exist."""
        ...


@dataclass(frozen=True, slots=True)
class ImportTarget:
    """The stores that the import writes to."""

    accounts: AccountStore
    sessions: SessionStore
    imports: ImportStore


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of the operator.

    Attributes:
        name: Name of the source, if several are imported into one Doorward.
        lifetime: Lifetime in seconds of user sessions without an expiry.
        keep_orphans: Import sessions whose user was deleted at the source.
        catch_up: Skip sessions that the last run has seen; remove users and revoke sessions that the source has removed
            since.
        prefix: Prefix of the source's keys; if empty, the prefixes of the published versions are tried.
    """

    name: str = "backend-auth"
    lifetime: int = 604_800
    keep_orphans: bool = False
    catch_up: bool = False
    prefix: str = ""


def batches(rows: Sequence[Value], size: int = PAGE) -> list[Sequence[Value]]:
    """Split the rows into batches of `size`."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def tenant_marker(name: str, tenant_id: str) -> str:
    """Return the name under which the import `name` records that it imported a tenant."""
    return f"{name}/{tenant_id}"


def operator_event(at: int, tenant_id: str, action: str, subject: str = "", session: Session | None = None) -> Event:
    """Return an audit event of the import for the tenant's audit log; `at` is in milliseconds."""
    return event(Caller(tenant_id, "operator"), at, action, subject=subject, session=session)
