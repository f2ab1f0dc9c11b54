"""Interfaces of the stores. Their docstrings are the contracts that every store fulfils (`tests/storage/contracts`).

Every method of a store may raise `StoreUnavailable`: then the result is unknown, also whether a write happened. All
times are milliseconds since the Unix epoch, by the caller's clock, never the store's.
"""

from doorward.core.ports.accounts import AccountStore, UserMatches
from doorward.core.ports.audit import AuditEntry, AuditStore, Events
from doorward.core.ports.clock import Clock
from doorward.core.ports.counters import MAX_WORKER_SKEW, AttemptPermit, Backoff, CounterStore, Failures, max_time_ahead
from doorward.core.ports.credentials import ApiKey, ApiKeyStore, ResetCode, ResetCodeStore
from doorward.core.ports.imports import ImportStore
from doorward.core.ports.revocations import Revocation, RevocationStore
from doorward.core.ports.sessions import (
    NO_SESSION_POLICY,
    UNKNOWN_ORIGIN,
    RevocationScope,
    SessionPolicy,
    SessionRef,
    SessionStore,
)

__all__ = [
    "MAX_WORKER_SKEW",
    "NO_SESSION_POLICY",
    "UNKNOWN_ORIGIN",
    "AccountStore",
    "ApiKey",
    "ApiKeyStore",
    "AttemptPermit",
    "AuditEntry",
    "AuditStore",
    "Backoff",
    "Clock",
    "CounterStore",
    "Events",
    "Failures",
    "ImportStore",
    "ResetCode",
    "ResetCodeStore",
    "Revocation",
    "RevocationScope",
    "RevocationStore",
    "SessionPolicy",
    "SessionRef",
    "SessionStore",
    "UserMatches",
    "max_time_ahead",
]
