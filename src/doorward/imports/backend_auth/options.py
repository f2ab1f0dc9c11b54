"""From where to where, and on which terms."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from doorward.core.audit.service import event
from doorward.core.model import Caller, Event, Session
from doorward.core.ports import AccountStore, ImportStore, SessionStore
from doorward.imports.backend_auth.records import Row

Value = TypeVar("Value")

PAGE = 500
"""Rows that are asked for together."""


class ImportSource(Protocol):
    """Where the predecessor's rows are read."""

    def keys(self, pattern: str) -> AsyncIterator[list[str]]:
        """Yield the keys of a pattern, in batches; one that is there all the while is yielded, perhaps twice."""
        ...

    async def rows(self, keys: Sequence[str]) -> list[Row]:
        """Return the rows of those keys that are there."""
        ...

    async def values(self, keys: Sequence[str]) -> list[str | None]:
        """Return the value of each key, None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class ImportTarget:
    """Where they are written down."""

    accounts: AccountStore
    sessions: SessionStore
    imports: ImportStore


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What an operator may choose.

    `name` tells sources apart that are imported into one Doorward. `prefix` is what the keys of the source begin with;
    where it is empty, the prefixes of the published versions are looked for. `lifetime` (seconds) is for users'
    sessions without an end. `keep_orphans` lets sessions go on whose user was deleted at the source. `catch_up` skips
    sessions that the last run has seen, and ends or removes here what has ended or was removed at the source since.
    """

    name: str = "backend-auth"
    lifetime: int = 604_800
    keep_orphans: bool = False
    catch_up: bool = False
    prefix: str = ""


def batches(rows: Sequence[Value], size: int = PAGE) -> list[Sequence[Value]]:
    """Return the rows in parts of so many."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def tenant_marker(name: str, tenant_id: str) -> str:
    """Return the name under which the import `name` remembers that it imported a tenant."""
    return f"{name}/{tenant_id}"


def operator_event(at: int, tenant_id: str, action: str, subject: str = "", session: Session | None = None) -> Event:
    """Return the event of something that an import did, for the tenant's log; `at` in milliseconds."""
    return event(Caller(tenant_id, "operator"), at, action, subject=subject, session=session)
