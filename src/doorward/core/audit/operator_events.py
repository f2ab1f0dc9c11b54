"""Audit events of operators: master keys and restored backups, in the service's own chain."""

from doorward.core.audit.service import SERVICE, event, parse_entry
from doorward.core.model import Caller, Event
from doorward.core.ports import AuditStore

_PAGE = 200


def operator_caller(tenant_id: str = SERVICE) -> Caller:
    """Return the operator as the caller of a change of a tenant, or of the service."""
    return Caller(tenant_id, "operator")


def key_added_event(at: int, kid: str) -> Event:
    """Return the event of a master key that verifies tokens from now on."""
    return event(operator_caller(), at, "operator.key_add", subject=kid)


def key_activated_event(at: int, kid: str) -> Event:
    """Return the event of a master key that signs tokens from now on."""
    return event(operator_caller(), at, "operator.key_activate", subject=kid)


def key_retired_event(at: int, kid: str) -> Event:
    """Return the event of a master key that is no longer accepted."""
    return event(operator_caller(), at, "operator.key_retire", subject=kid)


def restored_event(at: int, taken_at: int) -> Event:
    """Return the event of a restored backup that was taken at `taken_at`."""
    return event(operator_caller(), at, "operator.restore", subject=str(taken_at))


async def signing_stopped_at(log: AuditStore, kid: str) -> int | None:
    """Return when another master key replaced this one as the signing key; None where the log has no record of it."""
    replaced: int | None = None
    before: int | None = None
    while page := await log.page(SERVICE, before=before, limit=_PAGE):
        for entry in page:
            fields = parse_entry(entry)
            if fields["action"] == "operator.key_activate":
                if fields["subject"] == kid:
                    return replaced
                replaced = entry.at
            elif fields["action"] == "operator.key_add" and fields["subject"] == kid:
                return None  # it never signed
        before = page[-1].number
    return replaced
