"""What happened, told to those whom it concerns: events for the log, and the log read and checked."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from doorward.core.model import Caller, Event, Session
from doorward.core.ports import AuditLog, Entry

_PAGE = 500


def fingerprint(session_id: str) -> str:
    """Return what stands for a session in the log: enough to tell sessions apart, too little to be one."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:16]


def event(
    caller: Caller, at: int, action: str, *, subject: str = "", session: Session | None = None, refused: str = ""
) -> Event:
    """Return the event of something that `caller` did, or, with the reason of a refusal, tried in vain."""
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
    )


class Chain(NamedTuple):
    """What checking a tenant's chain found: how many entries, the newest hash, and the first number that is wrong."""

    entries: int
    head: str
    broken_at: int | None


@dataclass(frozen=True, slots=True)
class AuditTrail:
    """Reads and checks the log."""

    log: AuditLog

    async def page(self, tenant_id: str, *, before: int | None, limit: int) -> tuple[list[Entry], int | None]:
        """Return a page of the tenant's entries, newest first, and the number before which the next page ends."""
        entries = await self.log.page(tenant_id, before=before, limit=limit + 1)
        return entries[:limit], entries[limit - 1].number if len(entries) > limit else None

    async def check(self, tenant_id: str) -> Chain:
        """Go through a tenant's chain from its base to its head; every entry has to follow from the one before."""
        number, previous = await self.log.base(tenant_id)
        newest, head = await self.log.head(tenant_id)
        entries: list[Entry] = []
        before: int | None = None
        while page := await self.log.page(tenant_id, before=before, limit=_PAGE):
            entries += page
            before = page[-1].number
        for entry in reversed(entries):
            number += 1
            previous = hashlib.sha256(f"{previous}\n{entry.text}".encode()).hexdigest()
            if entry.number != number or entry.hash != previous:
                return Chain(len(entries), head, number)
        return Chain(len(entries), head, None if (number, previous) == (newest, head) else number + 1)


def read(entry: Entry) -> dict[str, object]:
    """Return the event of an entry by its fields' names."""
    found: dict[str, object] = msgspec.json.decode(entry.text)
    return found
