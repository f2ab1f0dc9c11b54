"""What an import did, and what somebody should look at: counts, and findings by name, bounded."""

from collections import Counter
from enum import Enum
from typing import NamedTuple

MAX_FINDINGS = 1_000
"""Findings of one sort that are named; more are only counted, so that a report never grows with the source."""


class FindingKind(Enum):
    """What there may be to say of a row, and what it means."""

    LOGIN_CONFLICT = "its login, in whatever case, is another user's: not imported, and its sessions count as orphans"
    TENANT_CONFLICT = "its address, in whatever case, is another tenant's: imported under one that stands for it"
    UNREADABLE = "not what the source keeps there, or longer than can be kept: not imported"
    HELD_BACK = "not here although an earlier import must have seen it, so it ended, or was left out: not imported"
    NO_HASH = "its password is no hash: imported without one, it can log in after a reset only"
    HOSTILE_HASH = "its hash has a cost that is refused: imported without a password"
    UNUSUAL_HASH = "its hash was not made by the source: imported, and renewed at the first login like every other"
    CANNOT_LOG_IN = "its name is one that logins are refused with: imported, its sessions go on, but no new one opens"
    ODD_NAME = "its name is one that no new account is given, since it looks like another or URLs change it: imported"
    NAMELESS = "it has no login: imported under the one it is kept by"
    LOST_TENANT = "tokens or users of it are left but not its record: imported under an address that stands for it"
    LARGE_SCOPE = "its scope is so large that its tokens are refused for their length: imported"
    ORPHAN = "a session whose user was deleted: it goes on, for the tenant that asks about it first"
    ORPHAN_DROPPED = "a session whose user was deleted: not imported"
    ENDLESS = "a user's session without an end: it was given one"
    REPLACED = "created anew at the source since the last import: replaced"
    GONE = "gone at the source since the last import: removed, or ended, here"


class Finding(NamedTuple):
    """Something to say of one row: `tenant` is an id, `name` a login, an address, or a session's id without its key."""

    kind: FindingKind
    tenant: str
    name: str


class ImportReport:
    """Counts by what was read ("users added"), and findings."""

    def __init__(self) -> None:
        """Begin with nothing to say."""
        self.counts: Counter[str] = Counter()
        self.findings: Counter[FindingKind] = Counter()
        self.named: list[Finding] = []

    def count(self, what: str, by: int = 1) -> None:
        """Count something."""
        self.counts[what] += by

    def find(self, sort: FindingKind, tenant: str, name: str) -> None:
        """Note a finding."""
        self.findings[sort] += 1
        if self.findings[sort] <= MAX_FINDINGS:
            self.named.append(Finding(sort, tenant, name))

    def as_json(self) -> dict[str, object]:
        """Return all of it for programs."""
        return {
            "counts": dict(sorted(self.counts.items())),
            "findings": [
                {
                    "code": sort.name.lower(),
                    "meaning": sort.value,
                    "count": count,
                    "rows": [{"tenant": one.tenant, "name": one.name} for one in self.named if one.kind is sort],
                }
                for sort, count in self.findings.items()
            ],
        }
