"""A client that is a little suspicious: it keeps within budgets, waits when it is told to, and remembers oddities.

Plain `http.client`: the service needs no HTTP client of its own, and the image stays without one.
"""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlencode

from doorward.core.error_text import describe_error
from doorward.selftest.invariants import ResponseInvariants

_LARGEST = 1 << 24
_WAITING = {429, 503}
_TRIES = 6
_LONGEST_WORD = 20


class Unreachable(Exception):
    """The service does not answer. The message says how."""


class RateLimited(Exception):
    """A budget of the service would have to be waited for too long."""


class ServiceAddress(NamedTuple):
    """Where the service is: `tls` is None for plain HTTP, `prefix` what stands before every path."""

    host: str
    port: int
    prefix: str = ""
    tls: ssl.SSLContext | None = None


class Response(NamedTuple):
    """What came back. Header names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode("utf-8", errors="replace")

    @property
    def json(self) -> Any:
        """The body as a JSON value; an empty object where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return {}

    @property
    def code(self) -> str:
        """The stable code of a refusal, or "" where there is none."""
        found = self.json
        code = found.get("code", found.get("error")) if isinstance(found, dict) else ""
        return code if isinstance(code, str) else ""

    def header(self, name: str) -> str | None:
        """Return the value of a header, the last one where there are several."""
        return dict(self.headers).get(name)

    def __str__(self) -> str:
        """Say what it was in a word or two, without anything of what it held."""
        return f"{self.status} {self.code}".rstrip()


@dataclass
class Client:
    """Asks a service, one request after the other.

    `timeout` is in seconds and for each request. `rate` is how many requests a second prove no tenant: those are
    charged to this machine's address, which it shares with others (0: as fast as it goes). `patience` is how many
    seconds one request may be put off by the service's budgets. Not thread-safe.
    """

    address: ServiceAddress
    timeout: float = 10.0
    rate: float = 4.0
    max_wait: float = 20.0
    invariants: ResponseInvariants = field(default_factory=ResponseInvariants)
    _connection: http.client.HTTPConnection | None = None
    _next: float = 0.0

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        **how: bool,
    ) -> Response:
        """Send a request and return its answer; Away without one, Held where a budget is not to be waited for.

        `body` is sent as JSON, unless it is bytes. `how`: `charged` says that it proves no tenant, `fresh` that it goes
        over a connection of its own, which another worker may take, `patient=False` that it is not put off.
        """
        given = {"Accept": "*/*", **(headers or {})}
        content = body if isinstance(body, bytes) else None
        if body is not None and content is None:
            content = json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        target = self.address.prefix + path + (f"?{urlencode(query)}" if query else "")
        deadline = time.monotonic() + self.max_wait
        for _ in range(_TRIES):
            if how.get("charged"):
                self._pace()
            response = self._send(method, target, content, given, fresh=how.get("fresh", False))
            self.invariants.record(f"{method} {plain(path)}", response)
            wait = response.header("retry-after") if response.status in _WAITING else None
            if wait is None or not how.get("patient", True):
                return response
            seconds = float(wait) if wait.isdecimal() else 1.0
            if time.monotonic() + seconds > deadline:
                break
            time.sleep(seconds)
        raise RateLimited(f"{method} was put off for too long: {response}")

    def close(self) -> None:
        """Close what is open."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def _pace(self) -> None:
        if self.rate:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + 1 / self.rate

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection of its own, which opens with its first request."""
        if self.address.tls:
            return http.client.HTTPSConnection(
                self.address.host, self.address.port, timeout=self.timeout, context=self.address.tls
            )
        return http.client.HTTPConnection(self.address.host, self.address.port, timeout=self.timeout)

    def _send(
        self, method: str, target: str, content: bytes | None, headers: Mapping[str, str], *, fresh: bool
    ) -> Response:
        if fresh:
            connection = self.connect()
            try:
                return self._once(connection, method, target, content, headers)
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(_how(error)) from None
            finally:
                connection.close()
        used = self._connection is not None
        self._connection = self._connection or self.connect()
        try:
            return self._once(self._connection, method, target, content, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if used and isinstance(error, ConnectionError):
                # It was closed while it was idle, which is the service's right (RFC 9112, section 9.5).
                return self._send(method, target, content, headers, fresh=False)
            raise Unreachable(_how(error)) from None
        except KeyboardInterrupt:
            # Its answer may still come, and would be taken for that of the next request.
            self.close()
            raise

    @staticmethod
    def _once(
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> Response:
        connection.request(method, target, body=content, headers=dict(headers))
        response = connection.getresponse()
        found = tuple((name.lower(), value) for name, value in response.getheaders())
        return Response(response.status, found, response.read(_LARGEST))


def plain(path: str) -> str:
    """Return a path without its query, and without names that say nothing to a reader."""
    parts = path.partition("?")[0].split("/")
    return "/".join("…" if len(part) > _LONGEST_WORD and not part.startswith("oauth-") else part for part in parts)


_REMEDIES: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "give its authority with --ca, or look at the host in --url"),
    (ssl.SSLError, "is it https at this port? Give --ca for its authority, --cert where it wants one"),
    (socket.gaierror, "look at the host in --url"),
    (ConnectionRefusedError, "look at the host and the port in --url"),
    (TimeoutError, "look at the host and the port in --url, or give it more time with --timeout"),
    (ConnectionError, "is it http or https at this port?"),
    (http.client.HTTPException, "is it http or https at this port?"),
)


def _how(error: Exception) -> str:
    """Return why there was no answer, and which part of the URL or which option may be wrong."""
    remedies = (remedy for kind, remedy in _REMEDIES if isinstance(error, kind))
    return "; ".join([describe_error(error), *islice(remedies, 1)])
