"""`AuditService` and audit events: pages of the audit log, and verification of its hash chains."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from doorward.core.model import Caller, Event, Session
from doorward.core.ports import AuditEntry, AuditStore

SERVICE = "service"
"""The chain of events of the whole service, or of a deleted tenant. No tenant has this id."""

_PAGE = 500


def fingerprint(session_id: str) -> str:
    """Return a fingerprint that identifies a session in the audit log and cannot be used as its id."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:16]


def event(  # noqa: PLR0913 - an entry has as many fields
    caller: Caller,
    at: int,
    action: str,
    *,
    subject: str = "",
    session: Session | None = None,
    refused: str = "",
    detail: str = "",
) -> Event:
    """Return the event of an action of `caller`; with `refused`, the code of the error, of a rejected one."""
    return Event(
        at=at,
        tenant_id=caller.tenant_id,
        action=action,
        outcome="failure" if refused else "success",
        actor=caller.actor,
        subject=subject,
        session=fingerprint(session.id) if session else "",
        address=caller.address,
        request_id=caller.request_id,
        reason=refused,
        detail=detail,
    )


def unrecorded(tenant_id: str, at: int, count: int) -> Event:
    """Return the event of failed logins that were counted instead of recorded."""
    caller = Caller(tenant_id, SERVICE)
    return event(caller, at, "audit.unrecorded", subject=f"{count} failed logins")


class ChainCheck(NamedTuple):
    """The result of verifying a tenant's chain.

    `entries` is the number of valid entries, `head` the newest hash, `broken_at` the number of the first invalid entry.
    """

    entries: int
    head: str
    broken_at: int | None


@dataclass(frozen=True, slots=True)
class AuditService:
    """Reads and verifies the audit log."""

    audit_store: AuditStore

    async def record(self, *events: Event) -> None:
        """Store events that belong to no change of a store, such as those of operators."""
        await self.audit_store.record(*events)

    async def list_events(
        self, tenant_id: str, *, before: int | None, limit: int
    ) -> tuple[list[AuditEntry], int | None]:
        """Return a page of the tenant's entries, newest first, and the number before which the next page starts."""
        entries = await self.audit_store.page(tenant_id, before=before, limit=limit + 1)
        return entries[:limit], entries[limit - 1].number if len(entries) > limit else None

    async def verify_chain(self, tenant_id: str) -> ChainCheck:
        """Verify a tenant's chain from its base to its head: each entry has to follow from the previous one.

        In constant memory, however long the chain is, and while it grows: entries written after the start are not read.
        """
        newest, head = await self.audit_store.head(tenant_id)
        while True:
            base, hashed = await self.audit_store.base(tenant_id)
            chain = await self._verify_from(tenant_id, ChainLink(base, hashed), ChainLink(newest, head))
            if chain.broken_at is None or (await self.audit_store.base(tenant_id))[0] == base:
                return chain
            # A concurrent sweep removed old entries; the rest has another base.

    async def _verify_from(self, tenant_id: str, base: "ChainLink", head: "ChainLink") -> ChainCheck:
        last, seen = base, 0
        if await self.audit_store.page(tenant_id, before=base.number + 1, limit=1):
            # A sweep moves the base in the transaction that removes the entries before it.
            return ChainCheck(seen, head.hash, base.number + 1)
        while last.number < head.number:
            page = await self.audit_store.follow(tenant_id, after=last.number, limit=_PAGE)
            if not page:
                return ChainCheck(seen, head.hash, last.number + 1)
            for entry in page:
                expected = ChainLink(last.number + 1, hashlib.sha256(f"{last.hash}\n{entry.text}".encode()).hexdigest())
                if (entry.number, entry.hash) != expected:
                    return ChainCheck(seen, head.hash, expected.number)
                last, seen = expected, seen + 1
                if last.number == head.number:
                    break
        if last != head:
            return ChainCheck(seen, head.hash, last.number)
        beyond = await self.audit_store.follow(tenant_id, after=head.number, limit=1)
        # An entry and its head are written together, so a head that is read after an entry is no older.
        if beyond and (await self.audit_store.head(tenant_id))[0] == head.number:
            return ChainCheck(seen, head.hash, head.number + 1)
        return ChainCheck(seen, head.hash, None)


class ChainLink(NamedTuple):
    """A position in a chain: the number of an entry and its hash."""

    number: int
    hash: str


def parse_entry(entry: AuditEntry) -> dict[str, object]:
    """Return the event of an entry by field name."""
    fields: dict[str, object] = msgspec.json.decode(entry.text)
    return fields
