"""HTTP client of the self-test: stays within rate limits, honours Retry-After, and records every response.

It uses `http.client`, so the service and its image need no HTTP client library.
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

_MAX_BODY_BYTES = 1 << 24
_RETRIED_STATUSES = {429, 503}
_TRIES = 6
_LONGEST_NAME = 20


class Unreachable(Exception):
    """The service did not respond. The message gives the cause."""


class RateLimited(Exception):
    """The client would have to wait too long for a rate limit."""


class ServiceAddress(NamedTuple):
    """Address of the service: `tls` is None for plain HTTP, `prefix` is prepended to every path."""

    host: str
    port: int
    prefix: str = ""
    tls: ssl.SSLContext | None = None


class Response(NamedTuple):
    """A response. Header names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.body.decode("utf-8", errors="replace")

    @property
    def json(self) -> Any:
        """The body as a JSON value, or an empty object if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return {}

    @property
    def code(self) -> str:
        """The stable error code, or "" if the response has none."""
        body = self.json
        code = body.get("code", body.get("error")) if isinstance(body, dict) else ""
        return code if isinstance(code, str) else ""

    def header(self, name: str) -> str | None:
        """Return the value of a header; of several, the last."""
        return dict(self.headers).get(name)

    def __str__(self) -> str:
        """Return the status and the error code, and nothing of the body."""
        return f"{self.status} {self.code}".rstrip()


@dataclass
class Client:
    """Sends requests to a service, one after the other. Not thread-safe.

    Attributes:
        address: The service.
        timeout: Seconds to wait for each response.
        rate: Requests a second without a tenant credential, which count against the rate limit of this machine's
            address; 0 for no limit.
        max_wait: Seconds that one request may be delayed by the service's rate limits.
        invariants: The record of all responses.
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
        """Send a request and return the response.

        Args:
            method: The HTTP method.
            path: The path, without the prefix of the service.
            body: The body, sent as JSON unless it is bytes.
            headers: Headers of the request.
            query: Parameters of the query.
            how: `charged`: the request has no tenant credential and counts against the address's rate limit.
                `fresh`: use a new connection, which another worker may accept. `patient=False`: do not retry after
                429 or 503.

        Raises:
            Unreachable: There was no response.
            RateLimited: The rate limit would delay the request for more than `max_wait`.
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
            wait = response.header("retry-after") if response.status in _RETRIED_STATUSES else None
            if wait is None or not how.get("patient", True):
                return response
            seconds = float(wait) if wait.isdecimal() else 1.0
            if time.monotonic() + seconds > deadline:
                break
            time.sleep(seconds)
        raise RateLimited(f"{method} was delayed for too long: {response}")

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def _pace(self) -> None:
        if self.rate:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + 1 / self.rate

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection, which opens with its first request."""
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
                return self._exchange(connection, method, target, content, headers)
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(_explain(error)) from None
            finally:
                connection.close()
        used = self._connection is not None
        self._connection = self._connection or self.connect()
        try:
            return self._exchange(self._connection, method, target, content, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if used and isinstance(error, ConnectionError):
                # A server may close an idle connection at any time (RFC 9112, section 9.5).
                return self._send(method, target, content, headers, fresh=False)
            raise Unreachable(_explain(error)) from None
        except KeyboardInterrupt:
            # The response may still arrive, and must not be read as that of the next request.
            self.close()
            raise

    @staticmethod
    def _exchange(
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> Response:
        connection.request(method, target, body=content, headers=dict(headers))
        response = connection.getresponse()
        lowered = tuple((name.lower(), value) for name, value in response.getheaders())
        return Response(response.status, lowered, response.read(_MAX_BODY_BYTES))


def plain(path: str) -> str:
    """Return a path without its query, and with "…" for random names."""
    parts = path.partition("?")[0].split("/")
    return "/".join("…" if len(part) > _LONGEST_NAME and not part.startswith("oauth-") else part for part in parts)


_REMEDIES: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "name its certificate authority with --ca, or check the host in --url"),
    (
        ssl.SSLError,
        "check whether this port serves https; name its authority with --ca, and a client certificate with --cert",
    ),
    (socket.gaierror, "check the host in --url"),
    (ConnectionRefusedError, "check the host and the port in --url"),
    (TimeoutError, "check the host and the port in --url, or raise --timeout"),
    (ConnectionError, "check whether this port serves http or https"),
    (http.client.HTTPException, "check whether this port serves http or https"),
)


def _explain(error: Exception) -> str:
    """Return the reason why there was no response, and the part of the URL or the option to check."""
    remedies = (remedy for kind, remedy in _REMEDIES if isinstance(error, kind))
    return "; ".join([describe_error(error), *islice(remedies, 1)])
