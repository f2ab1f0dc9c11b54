"""Checks that every request passes: size, Host, origin, path, request id, deadline, security headers."""

import asyncio
import ipaddress
import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from doorward.core.errors import FieldError, Refusal, ValidationFailed
from doorward.http.client_address import Proxies
from doorward.http.errors import (
    BadHost,
    DeadlineExceeded,
    InternalError,
    NotAcceptable,
    OriginNotAllowed,
    PayloadTooLarge,
    TokenInUrl,
    UnsupportedMediaType,
)
from doorward.http.headers import Headers, accept_request_id
from doorward.http.request import Request
from doorward.http.response import SECURITY_HEADERS, Response, error_response
from doorward.http.unparsed_request import UnparsedRequest
from doorward.observability.recorder import OK, RequestRecorder, route_key

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 16_384
HANDLER_TIMEOUT = 5.0
"""Deadline of a handler; one that hashes gets this much beyond the longest wait for a thread."""

FORM = "application/x-www-form-urlencoded"
_URL_TOKENS = {"token", "access_token", "client_secret"}
# RFC 3986, section 3.2.2, but that a name is not empty (RFC 9110, section 4.2.1) and has an end.
_HOST = re.compile(
    rb"(?P<name>\[(?P<v6>[0-9A-Fa-f:.]+)\]|\[v[0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+\]"
    rb"|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}){1,255})(?::[0-9]{0,5})?"
)
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type, x-request-id"),
    (b"access-control-max-age", b"600"),
)


@dataclass(frozen=True, slots=True)
class HostAndOriginPolicy:
    """What the operator allows. Hosts empty: any.

    Pages of `own_origins` belong to the service: their requests need no CORS. Those of `origins` are answered with it.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[bytes] = frozenset()
    own_origins: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class PathRules:
    """Paths that are treated differently, as the table of endpoints says.

    `sizes` are the paths that take a larger body than others, with the most bytes of it. At and below the paths
    `everywhere`, gateways ask about requests that are meant for an application behind them: Host, Origin, query and
    path are the application's, and no rule of this service concerns them. `any_host` are the paths that answer any
    `Host`, or none.
    """

    sizes: Mapping[bytes, int]
    everywhere: Collection[str] = ()
    any_host: Collection[str] = ()


def is_host(host: bytes) -> bool:
    """Return whether a `Host` field is well-formed: a name or an address, and a port or none (RFC 9112, 3.2)."""
    return host_is_served(host, frozenset())


def host_is_served(host: bytes, hosts: frozenset[str]) -> bool:
    """Return whether a `Host` field is well-formed and one of `hosts`, with or without a port. No `hosts`: any."""
    try:
        whole, name = _parse_host(host)
    except BadHost:
        return False
    return not hosts or whole in hosts or name in hosts


@lru_cache(maxsize=1024)
def _parse_host(host: bytes) -> tuple[str, str]:
    """Return a `Host` field in lower case, with and without its port; BadHost where it is malformed.

    Exceptions are not cached, so the cache holds nothing longer than the pattern admits.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        raise BadHost
    if found["v6"] is not None:
        try:
            ipaddress.IPv6Address(found["v6"].decode())
        except ValueError:
            raise BadHost from None
    return host.decode().lower(), found["name"].decode().lower()


def check_accept(accept: bytes | None, media: str) -> None:
    """Let pass what admits `media` (RFC 9110, section 12.5.1); NotAcceptable for the rest. An empty list admits all."""
    # Elements of a list may be empty (RFC 9110, section 5.6.1.2).
    parts = [part for part in (accept or b"").decode("latin-1").lower().split(",") if part.strip()]
    if not parts:
        return
    main = media.partition("/")[0]
    for part in parts:
        wanted, *parameters = [piece.strip() for piece in part.split(";")]
        refused = any(piece.replace(" ", "") in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for piece in parameters)
        if wanted in {"*/*", f"{main}/*", media} and not refused:
            return
    raise NotAcceptable(media)


def check_content(headers: Mapping[bytes, bytes]) -> None:
    """Let pass uncompressed JSON; UnsupportedMediaType for the rest.

    Parameters such as `charset` are ignored (RFC 8259, section 11): the body has to be UTF-8.
    """
    if not _is_declared(headers, "application/json"):
        raise UnsupportedMediaType


def check_form(headers: Mapping[bytes, bytes]) -> None:
    """Let pass an uncompressed form; UnsupportedMediaType for the rest. Parameters mean nothing, as with JSON."""
    if not _is_declared(headers, FORM):
        raise UnsupportedMediaType(FORM)


def _is_declared(headers: Mapping[bytes, bytes], media: str) -> bool:
    declared = headers.get(b"content-type", b"").partition(b";")[0].strip(b" \t").lower()
    return declared == media.encode() and headers.get(b"content-encoding", b"identity").lower() == b"identity"


def unique_query(raw: bytes) -> dict[str, str]:
    """Return the query's parameters; ValidationFailed where one is repeated or unreadable."""
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise ValidationFailed(
            [FieldError([], "query.base", "the query must be readable UTF-8, percent-encoded")]
        ) from None
    for name, value in pairs:
        if name in found:
            raise ValidationFailed([FieldError([], "query.unique", "a query parameter is given more than once")])
        found[name] = value
    if any("\0" in value for value in found.values()):
        raise ValidationFailed([FieldError([], "query.base", "the query must not contain NUL characters")])
    return found


class _ClientGone(Exception):
    """The client went away before its request was whole."""


class _ResponseSender:
    """The way out of one request: every answer takes the general headers along."""

    def __init__(self, send: Send, headers: Mapping[bytes, bytes]) -> None:
        self._send = send
        self._started = False
        self._expects = headers.get(b"expect", b"").lower() == b"100-continue"
        self.body_is_read = False
        self.status = 0
        self.extra: list[tuple[bytes, bytes]] = [(b"x-request-id", accept_request_id(headers.get(b"x-request-id")))]

    @property
    def request_id(self) -> str:
        return self.extra[0][1].decode()

    def track_reading(self, receive: Receive) -> Receive:
        """Return a way to receive the body that notes that this has begun."""

        async def receive_and_note() -> Message:
            self.body_is_read = True
            return await receive()

        return receive_and_note

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            self.status = message["status"]
            own = {name for name, _ in message["headers"]}
            general = [pair for pair in SECURITY_HEADERS if pair[0] not in own]
            message["headers"] = [*message["headers"], *general, *self.extra]
            if self._expects and not self.body_is_read and b"connection" not in own:
                # The client may send its body all the same, or not (RFC 9110, section 10.1.1).
                message["headers"].append((b"connection", b"close"))
        await self._send(message)

    async def send_response(self, response: Response) -> None:
        """Send an answer, unless another one is under way already."""
        if not self._started:
            headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
            await self.send({"type": "http.response.start", "status": int(response.status), "headers": headers})
            await self.send({"type": "http.response.body", "body": response.body})


@dataclass(frozen=True, slots=True)
class IncomingBody:
    """A body of which nothing has been read yet. `declared` is its length in bytes, None where it comes in chunks."""

    receive: Receive
    max_bytes: int
    declared: int | None
    deadline: asyncio.Timeout

    async def read(self, charge: Callable[[int], None] | None = None) -> bytes:
        """Return the body; PayloadTooLarge as soon as it is too much. `charge` is called with the size of each piece.

        The handler's deadline does not run meanwhile: the protocol has one for bodies.
        """
        self.deadline.reschedule(None)
        body = await _read(self.receive, self.max_bytes, charge)
        self.deadline.reschedule(asyncio.get_running_loop().time() + HANDLER_TIMEOUT)
        return body


class RequestMiddleware:
    """Outermost ASGI middleware: turns refusals into answers and adds the headers that every answer has."""

    def __init__(
        self,
        app: ASGIApp,
        rules: HostAndOriginPolicy,
        paths: PathRules,
        *,
        recorder: RequestRecorder | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        """Guard `app`. `watch` sees every answer; `proxies` locate the client of a request that reaches no handler."""
        self._app = app
        self._rules = rules
        self._sizes = paths.sizes
        self._everywhere = tuple(f"{path}/" for path in paths.everywhere)
        self._any_host = frozenset(paths.any_host)
        self._watch = recorder or RequestRecorder()
        self._proxies = proxies or Proxies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        passage = _ResponseSender(send, headers)
        began = perf_counter()
        outcome = OK
        try:
            passage.extra += self._check_head(scope, headers)
            scope["request_id"] = passage.request_id
            largest = self._sizes.get(scope["path"].encode(), MAX_BODY_BYTES)
            declared = None if b"transfer-encoding" in headers else int(headers.get(b"content-length", 0))
            if largest == MAX_BODY_BYTES or (declared is not None and declared <= MAX_BODY_BYTES):
                scope["body"] = await _read(receive, MAX_BODY_BYTES)
                passage.body_is_read = True
            await self._answer(scope, receive, passage, (largest, declared))
        except _ClientGone:
            return
        except Refusal as refusal:
            outcome = refusal.code
            await passage.send_response(error_response(refusal))
        except Exception:
            # The log has the id the client was given; the client is told nothing else.
            outcome = InternalError.code
            log.exception("a request failed", extra={"request_id": passage.request_id})
            await passage.send_response(error_response(InternalError()))
        self._record(scope, passage, outcome, perf_counter() - began)

    def _record(self, scope: Scope, passage: _ResponseSender, outcome: str, seconds: float) -> None:
        request: Request | None = scope.get("call")
        peer = scope["client"][0] if scope["client"] else ""
        if request is not None and outcome is OK:
            outcome = request.outcome or OK
        self._watch.record(
            route_key(scope["method"], scope.get("template", ""), "router"),
            passage.status,
            scope.get("outcome", outcome),
            seconds,
            request or UnparsedRequest(passage.request_id, peer, scope["headers"], self._proxies),
        )

    async def _answer(
        self, scope: Scope, receive: Receive, passage: _ResponseSender, size: tuple[int, int | None]
    ) -> None:
        deadline = scope["deadline"] = asyncio.timeout(HANDLER_TIMEOUT)
        if not passage.body_is_read:
            # A caller that sends more than an ordinary body is authenticated first.
            scope["incoming"] = IncomingBody(passage.track_reading(receive), *size, deadline)
        try:
            async with deadline:
                await self._app(scope, receive, _send_before(passage.send, deadline))
        except TimeoutError:
            if deadline.expired():
                raise DeadlineExceeded(retry_after=1) from None
            raise
        finally:
            # From here on it is not the handler that takes the time.
            scope["deadline"] = None

    def _check_head(self, scope: Scope, headers: dict[bytes, bytes]) -> Headers:
        path = scope["raw_path"].decode("ascii", errors="replace")
        scope["path"] = path[:-1] if len(path) > 1 and path.endswith("/") else path
        if f"{path}/".startswith(self._everywhere):
            # No browser gets here with a key, so neither rebinding nor a foreign page gains anything.
            return ()
        # The protocol has seen that there is one `Host`, or that HTTP/1.0 may lack it.
        host = headers.get(b"host")
        if (
            self._rules.hosts
            and scope["path"] not in self._any_host
            and (host is None or not host_is_served(host, self._rules.hosts))
        ):
            raise BadHost
        if any(name in _URL_TOKENS for name in unique_query(scope["query_string"])):
            raise TokenInUrl
        return self._check_origin(scope, headers.get(b"origin"), host)

    def _check_origin(self, scope: Scope, origin: bytes | None, host: bytes | None) -> Headers:
        if origin is None or (host and origin == b"%s://%s" % (scope["scheme"].encode(), host)):
            return ()
        if origin in self._rules.own_origins:
            return ()
        if origin not in self._rules.origins:
            raise OriginNotAllowed
        allowed = (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"x-request-id, retry-after"),
            (b"vary", b"Origin"),
        )
        return (*allowed, *_PREFLIGHT) if scope["method"] == "OPTIONS" else allowed


def _send_before(send: Send, deadline: asyncio.Timeout) -> Send:
    """Return a way to send that gives each piece of an answer a deadline of its own.

    How long a client takes to read it is the protocol's business.
    """
    loop = asyncio.get_running_loop()

    async def send_in_time(message: Message) -> None:
        deadline.reschedule(None)
        await send(message)
        deadline.reschedule(loop.time() + HANDLER_TIMEOUT)

    return send_in_time


async def _read(receive: Receive, largest: int, charge: Callable[[int], None] | None = None) -> bytes:
    """Return the whole body; PayloadTooLarge as soon as it is too much. `charge` is called with each piece's size."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > largest:
            raise PayloadTooLarge
        if charge is not None:
            charge(len(parts[-1]))
        if not message.get("more_body", False):
            return b"".join(parts)
