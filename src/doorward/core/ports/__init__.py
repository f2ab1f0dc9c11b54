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
from doorward.core.ports.sessions import NO_POLICY, UNKNOWN, Claimed, Ending, Policy, Sessions

__all__ = [
    "APART",
    "NO_POLICY",
    "UNKNOWN",
    "Accounts",
    "ApiKey",
    "ApiKeys",
    "AuditLog",
    "Backoff",
    "Claimed",
    "Clock",
    "Counters",
    "Ending",
    "Entry",
    "Events",
    "Failures",
    "Found",
    "Imports",
    "Policy",
    "ResetCode",
    "ResetCodes",
    "Revocation",
    "Revocations",
    "Sessions",
    "Verdict",
    "furthest",
]
