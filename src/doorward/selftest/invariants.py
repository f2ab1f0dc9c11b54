"""What every answer has in common, whatever was asked: noted with each, told at the end."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from doorward.http.response import SECURITY_HEADERS

_EXPECTED = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}
_STAY = "strict-transport-security"
_POLICY = "content-security-policy"
# The page of the documentation has styles of its own; nothing else differs.
_POLICY_PARTS = ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'")
_INSIDES = ("Traceback (most recent call last)", 'File "/', "site-packages", "sqlite3.", "asyncpg.", "psycopg")
_HASHES = ("$argon2", "$2b$", "$2a$", "$2y$")
_FAULTS = 500
_BUSY = 503
_SHOWN = 3


class SeenResponse(Protocol):
    """An answer, as far as it is looked at here."""

    @property
    def status(self) -> int:
        """Its status."""
        ...

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Its headers, with names in lower case."""
        ...

    @property
    def text(self) -> str:
        """Its body."""
        ...


@dataclass
class ResponseInvariants:
    """Counts answers, and what was wrong with them. `tls`: browsers have to be told to stay there (RFC 6797)."""

    tls: bool = False
    answers: int = 0
    headless: Counter[str] = field(default_factory=Counter)
    nameless: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    insides: Counter[str] = field(default_factory=Counter)
    hashes: Counter[str] = field(default_factory=Counter)

    def record(self, asked: str, response: SeenResponse) -> None:
        """Look at an answer to what was `asked`."""
        self.answers += 1
        given = dict(response.headers)
        for name, value in _EXPECTED.items():
            found = given.get(name, "")
            if not (all(part in found for part in _POLICY_PARTS) if name == _POLICY else found == value):
                self.headless[f"{name} of {asked} ({response.status})"] += 1
        if self.tls and "max-age=" not in given.get(_STAY, ""):
            self.headless[f"{_STAY} of {asked} ({response.status})"] += 1
        if not given.get("x-request-id"):
            self.nameless[f"{asked} ({response.status})"] += 1
        if response.status >= _FAULTS and response.status != _BUSY:
            self.faults[f"{asked} ({response.status})"] += 1
        text = response.text
        if not asked.startswith(("GET /docs", "GET /openapi.json")):
            if any(word in text for word in _INSIDES):
                self.insides[f"{asked} ({response.status})"] += 1
            if any(word in text for word in _HASHES):
                self.hashes[f"{asked} ({response.status})"] += 1


def describe(found: Iterable[str]) -> str:
    """Return a few of what was found, as part of a sentence."""
    every = sorted(found)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more
