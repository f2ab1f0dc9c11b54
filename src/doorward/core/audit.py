"""What happened, told to those whom it concerns: events for the log, and the log checked and read."""

import hashlib

from doorward.core.model import Caller, Event, Session

OPERATOR = "operator"


def fingerprint(session_id: str) -> str:
    """Return what stands for a session in the log: enough to tell sessions apart, too little to be one."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:16]


def event(
    caller: Caller, at: int, action: str, *, subject: str = "", session: Session | None = None, refused: str = ""
) -> Event:
    """Return the event of something that `caller` did, or, with the code of a refusal, tried in vain."""
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
