"""Properties of every response: recorded with each request, checked at the end of the self-test."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from doorward.http.response import SECURITY_HEADERS

_EXPECTED = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}
_HSTS = "strict-transport-security"
_POLICY = "content-security-policy"
# The policy of /docs also allows its own styles.
_POLICY_PARTS = ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'")
_INTERNALS = ("Traceback (most recent call last)", 'File "/', "site-packages", "sqlite3.", "asyncpg.", "psycopg")
_HASHES = ("$argon2", "$2b$", "$2a$", "$2y$")
_SERVER_ERROR = 500
_BUSY = 503
_SHOWN = 3


class SeenResponse(Protocol):
    """The parts of a response that are checked."""

    @property
    def status(self) -> int:
        """Status code."""
        ...

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Headers, with names in lower case."""
        ...

    @property
    def text(self) -> str:
        """Body."""
        ...


@dataclass
class ResponseInvariants:
    """Counts responses and their faults. With `tls`, Strict-Transport-Security is required (RFC 6797)."""

    tls: bool = False
    responses: int = 0
    missing_headers: Counter[str] = field(default_factory=Counter)
    missing_request_ids: Counter[str] = field(default_factory=Counter)
    server_errors: Counter[str] = field(default_factory=Counter)
    internals: Counter[str] = field(default_factory=Counter)
    hashes: Counter[str] = field(default_factory=Counter)

    def record(self, target: str, response: SeenResponse) -> None:
        """Check the response to `target`, a method and a path."""
        self.responses += 1
        headers = dict(response.headers)
        for name, value in _EXPECTED.items():
            found = headers.get(name, "")
            if not (all(part in found for part in _POLICY_PARTS) if name == _POLICY else found == value):
                self.missing_headers[f"{name} of {target} ({response.status})"] += 1
        if self.tls and "max-age=" not in headers.get(_HSTS, ""):
            self.missing_headers[f"{_HSTS} of {target} ({response.status})"] += 1
        if not headers.get("x-request-id"):
            self.missing_request_ids[f"{target} ({response.status})"] += 1
        if response.status >= _SERVER_ERROR and response.status != _BUSY:
            self.server_errors[f"{target} ({response.status})"] += 1
        text = response.text
        if not target.startswith(("GET /docs", "GET /openapi.json")):
            if any(word in text for word in _INTERNALS):
                self.internals[f"{target} ({response.status})"] += 1
            if any(word in text for word in _HASHES):
                self.hashes[f"{target} ({response.status})"] += 1


def describe(found: Iterable[str]) -> str:
    """Return the first few items and the number of the others, as part of a sentence."""
    items = sorted(found)
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
