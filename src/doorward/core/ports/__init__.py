"""What core needs from the outside. The docstrings are the promise that every store keeps (`tests/contracts`).

Every method of a store may raise `StoreUnavailable`: then nothing is known, and whether a write happened is not known
either. All times are milliseconds since the Unix epoch, by the caller's clock, never the store's.
"""

from doorward.core.ports.accounts import Accounts, Found
from doorward.core.ports.audit import AuditLog, Entry, Events
from doorward.core.ports.clock import Clock
from doorward.core.ports.counters import APART, Backoff, Counters, Failures, Verdict, furthest
from doorward.core.ports.credentials import ApiKey, ApiKeys, ResetCode, ResetCodes
from doorward.core.ports.imports import Imports
from doorward.core.ports.revocations import Revocation, Revocations
from doorward.core.ports.sessions import (
    NO_SESSION_POLICY,
    UNKNOWN_ORIGIN,
    RevocationScope,
    SessionPolicy,
    SessionRef,
    SessionStore,
)

__all__ = [
    "APART",
    "NO_SESSION_POLICY",
    "UNKNOWN_ORIGIN",
    "Accounts",
    "ApiKey",
    "ApiKeys",
    "AuditLog",
    "Backoff",
    "Clock",
    "Counters",
    "Entry",
    "Events",
    "Failures",
    "Found",
    "Imports",
    "ResetCode",
    "ResetCodes",
    "Revocation",
    "RevocationScope",
    "Revocations",
    "SessionPolicy",
    "SessionRef",
    "SessionStore",
    "Verdict",
    "furthest",
]
