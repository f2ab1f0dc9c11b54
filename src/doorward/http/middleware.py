"""Outermost ASGI middleware: Host, Origin and URL checks, deadlines, error responses, security headers, recording."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from doorward.core.errors import Refusal
from doorward.http.bodies import HANDLER_TIMEOUT, MAX_BODY_BYTES, ClientGone, IncomingBody, read_body
from doorward.http.checks import host_is_served, unique_query
from doorward.http.client_address import Proxies
from doorward.http.errors import (
    BadHost,
    DeadlineExceeded,
    InternalError,
    OriginNotAllowed,
    TokenInUrl,
)
from doorward.http.headers import HEADERS_BY_NAME, Headers, accept_request_id
from doorward.http.request import Request, UnparsedRequest
from doorward.http.response import SECURITY_HEADERS, Response, error_response
from doorward.observability.recorder import OK, RequestRecorder, route_key

log = logging.getLogger(__name__)

_URL_TOKENS = frozenset({"token", "access_token", "client_secret"})
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type, x-request-id"),
    (b"access-control-max-age", b"600"),
)


@dataclass(frozen=True, slots=True)
class HostAndOriginPolicy:
    """Hosts and origins that the operator allows.

    Attributes:
        hosts: Allowed values of `Host`; empty allows every host.
        origins: Origins whose requests are answered with CORS headers.
        own_origins: Origins of the service itself, whose requests need no CORS.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[bytes] = frozenset()
    own_origins: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class PathRules:
    """Paths with rules of their own, from the table of endpoints.

    Attributes:
        body_limits: Body limit in bytes by path, for paths whose limit is not `MAX_BODY_BYTES`.
        with_subpaths: Paths that gateways call, with every path below them. Host, Origin, query and path are those of
            the application's request, so they are not checked.
        any_host: Paths that accept every `Host`, or none.
    """

    body_limits: Mapping[bytes, int]
    with_subpaths: Collection[str] = ()
    any_host: Collection[str] = ()


class _ResponseSender:
    """Sends the response of one request, with the security headers and within the handler's deadline."""

    def __init__(self, send: Send, headers: Mapping[bytes, bytes]) -> None:
        self._send = send
        self._started = False
        self._expects_continue = b"expect" in headers and headers[b"expect"].lower() == b"100-continue"
        self.deadline: asyncio.Timeout | None = None
        self.body_is_read = False
        self.status = 0
        request_id = accept_request_id(headers.get(b"x-request-id"))
        self.request_id = request_id.decode()
        self.extra: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id)]

    def track_reading(self, receive: Receive) -> Receive:
        """Return a `receive` that notes that a handler reads the body."""

        async def receive_and_note() -> Message:
            self.body_is_read = True
            return await receive()

        return receive_and_note

    async def send(self, message: Message) -> None:
        """Send a message (ASGI). The handler has its whole deadline for each piece."""
        if message["type"] == "http.response.start":
            self._started = True
            self.status = message["status"]
            own = {name for name, _ in message["headers"]}
            general = [header for header in SECURITY_HEADERS if header[0] not in own]
            message["headers"] = [*message["headers"], *general, *self.extra]
            if self._expects_continue and not self.body_is_read and b"connection" not in own:
                # The client may send its body all the same, or not (RFC 9110, section 10.1.1).
                message["headers"].append((b"connection", b"close"))
        deadline = self.deadline
        if deadline is None:
            await self._send(message)
            return
        # The connection limits the time that a client takes to read.
        deadline.reschedule(None)
        await self._send(message)
        deadline.reschedule(asyncio.get_running_loop().time() + HANDLER_TIMEOUT)

    async def send_response(self, response: Response) -> None:
        """Send a response, unless another one has started."""
        if not self._started:
            headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
            await self.send({"type": "http.response.start", "status": int(response.status), "headers": headers})
            await self.send({"type": "http.response.body", "body": response.body})


class RequestMiddleware:
    """Outermost ASGI middleware: turns exceptions into responses and adds the security headers."""

    def __init__(
        self,
        app: ASGIApp,
        rules: HostAndOriginPolicy,
        paths: PathRules,
        *,
        recorder: RequestRecorder | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        """Wrap `app`.

        Args:
            app: ASGI application that responds to requests, or raises a Refusal.
            rules: Allowed hosts and origins.
            paths: Paths with rules of their own.
            recorder: Records every response.
            proxies: Determine the client of a request that reaches no handler.
        """
        self._app = app
        self._policy = rules
        self._with_subpaths = tuple(f"{path}/" for path in paths.with_subpaths)
        self._any_host = frozenset(paths.any_host)
        self._recorder = recorder or RequestRecorder()
        self._proxies = proxies or Proxies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: Mapping[bytes, bytes] = scope[HEADERS_BY_NAME]
        sender = _ResponseSender(send, headers)
        began = perf_counter()
        outcome = OK
        try:
            sender.extra += self._check_head(scope, headers)
            scope["request_id"] = sender.request_id
            await self._respond(scope, receive, sender, headers)
        except ClientGone:
            return
        except Refusal as refusal:
            outcome = refusal.code
            await sender.send_response(error_response(refusal))
        except Exception:
            # The log has the request id of the response, which says nothing else about the cause.
            outcome = InternalError.code
            log.exception("request failed", extra={"request_id": sender.request_id})
            await sender.send_response(error_response(InternalError()))
        self._record(scope, sender, outcome, perf_counter() - began)

    def _record(self, scope: Scope, sender: _ResponseSender, outcome: str, seconds: float) -> None:
        request: Request | None = scope.get("request")
        peer = scope["client"][0] if scope["client"] else ""
        if request is not None and outcome is OK:
            outcome = request.outcome or OK
        self._recorder.record(
            route_key(scope["method"], scope.get("template", ""), "router"),
            sender.status,
            scope.get("outcome", outcome),
            seconds,
            request or UnparsedRequest(sender.request_id, peer, scope["headers"], self._proxies),
        )

    async def _respond(
        self, scope: Scope, receive: Receive, sender: _ResponseSender, headers: Mapping[bytes, bytes]
    ) -> None:
        declared = None if b"transfer-encoding" in headers else int(headers.get(b"content-length", 0))
        is_ordinary = scope["max_body_bytes"] <= MAX_BODY_BYTES or (declared is not None and declared <= MAX_BODY_BYTES)
        if is_ordinary:
            scope["body"] = await read_body(receive)
            sender.body_is_read = True
        deadline = scope["deadline"] = sender.deadline = asyncio.timeout(HANDLER_TIMEOUT)
        if not is_ordinary:
            # The caller is authenticated before a large body is read.
            scope["incoming"] = IncomingBody(sender.track_reading(receive), declared, deadline)
        try:
            async with deadline:
                await self._app(scope, receive, sender.send)
        except TimeoutError:
            if deadline.expired():
                raise DeadlineExceeded(retry_after=1) from None
            raise
        finally:
            # The handler has returned, so its deadline no longer counts.
            scope["deadline"] = sender.deadline = None

    def _check_head(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Headers:
        """Check Host, query and Origin; return the CORS headers of the response."""
        path = scope["raw_path"].decode("ascii", errors="replace")
        scope["path"] = path[:-1] if len(path) > 1 and path.endswith("/") else path
        if f"{path}/".startswith(self._with_subpaths):
            # Browsers cannot call these paths with a credential, so DNS rebinding and foreign pages gain nothing.
            return ()
        # The parser has checked that there is one `Host`, which HTTP/1.0 may lack.
        host = headers.get(b"host")
        if (
            self._policy.hosts
            and scope["path"] not in self._any_host
            and (host is None or not host_is_served(host, self._policy.hosts))
        ):
            raise BadHost
        query = scope["query"] = unique_query(scope["query_string"])
        if not _URL_TOKENS.isdisjoint(query):
            raise TokenInUrl
        origin = headers.get(b"origin")
        return () if origin is None else self._check_origin(scope, origin, host)

    def _check_origin(self, scope: Scope, origin: bytes, host: bytes | None) -> Headers:
        if (host and origin == b"%s://%s" % (scope["scheme"].encode(), host)) or origin in self._policy.own_origins:
            return ()
        if origin not in self._policy.origins:
            raise OriginNotAllowed
        allowed = (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"x-request-id, retry-after"),
            (b"vary", b"Origin"),
        )
        return (*allowed, *_PREFLIGHT) if scope["method"] == "OPTIONS" else allowed
