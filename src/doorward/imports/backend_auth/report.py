"""Report of an import from backend-auth: counts, and a bounded list of findings for the operator."""

from collections import Counter
from enum import Enum
from typing import NamedTuple

MAX_FINDINGS = 1_000
"""Findings of one kind that are listed; further ones are only counted, so that the size of the report is bounded."""


class FindingKind(Enum):
    """Kinds of findings; the name is the code, the value its meaning."""

    LOGIN_CONFLICT = "another user has the login, regardless of case: not imported, and its sessions count as orphans"
    TENANT_CONFLICT = "another tenant has the e-mail address, regardless of case: imported with a placeholder address"
    UNREADABLE = "not in the source's format, or too long: not imported"
    HELD_BACK = "seen by an earlier import and missing here, so it was deleted, revoked or left out: not imported"
    NO_HASH = "the password is not a hash: imported without a password, a login needs a reset first"
    HOSTILE_HASH = "the cost of the hash exceeds the limits: imported without a password"
    UNUSUAL_HASH = "the hash has other parameters than the source's: imported, and renewed at the first login as usual"
    CANNOT_LOG_IN = "logins with this name are rejected: imported, its sessions stay valid, but none can be opened"
    ODD_NAME = "new accounts cannot have this name, since it resembles another or changes in URLs: imported"
    NAMELESS = "the record has no login: imported with the login in its key"
    LOST_TENANT = "tokens or users exist, but not the record of the tenant: imported with a placeholder address"
    LARGE_SCOPE = "the scope is so large that tokens exceed the maximum length and are rejected: imported"
    ORPHAN = "a session whose user was deleted: imported, and assigned to the first tenant that verifies it"
    ORPHAN_DROPPED = "a session whose user was deleted: not imported"
    ENDLESS = "a user session without an expiry: imported with one"
    REPLACED = "created again at the source since the last import: replaced"
    GONE = "removed at the source since the last import: deleted or revoked here"


class Finding(NamedTuple):
    """A finding on a row: `tenant` is an id; `name` is a login, an e-mail address, or the id of a session."""

    kind: FindingKind
    tenant: str
    name: str


class ImportReport:
    """Counts by subject ("users added"), and findings."""

    def __init__(self) -> None:
        """Create an empty report."""
        self.counts: Counter[str] = Counter()
        self.findings: Counter[FindingKind] = Counter()
        self.named: list[Finding] = []

    def count(self, subject: str, by: int = 1) -> None:
        """Add to the count of a subject."""
        self.counts[subject] += by

    def find(self, kind: FindingKind, tenant: str, name: str) -> None:
        """Add a finding."""
        self.findings[kind] += 1
        if self.findings[kind] <= MAX_FINDINGS:
            self.named.append(Finding(kind, tenant, name))

    def as_json(self) -> dict[str, object]:
        """Return the report as a JSON object."""
        return {
            "counts": dict(sorted(self.counts.items())),
            "findings": [
                {
                    "code": kind.name.lower(),
                    "meaning": kind.value,
                    "count": count,
                    "rows": [
                        {"tenant": finding.tenant, "name": finding.name}
                        for finding in self.named
                        if finding.kind is kind
                    ],
                }
                for kind, count in self.findings.items()
            ],
        }
