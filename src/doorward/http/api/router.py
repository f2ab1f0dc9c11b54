"""From a request's path to its endpoint: the router over the whole API."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import unquote

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from doorward.core.errors import Refusal
from doorward.http.api.endpoint import Auth, Endpoint, Handler, check_query, respond
from doorward.http.api.handlers import oauth, operations
from doorward.http.api.routes import ENDPOINTS
from doorward.http.api.services import Services
from doorward.http.client_address import Proxies
from doorward.http.connection.maintenance import MAINTENANCE
from doorward.http.errors import HttpVersionNotSupported, MethodNotAllowed, NotFound
from doorward.http.headers import headers_by_name
from doorward.http.large_bodies import BodyMemory, authenticate_and_read
from doorward.http.middleware import IncomingBody, check_accept, check_content, check_form, unique_query
from doorward.http.request import Request
from doorward.http.response import Response, oauth_error_response


class EndpointRoute:
    """A path and what can be done there (an ASGI application)."""

    def __init__(
        self,
        endpoints: list[Endpoint],
        services: Services,
        proxies: Proxies,
        body_memory: BodyMemory,
        *,
        hash_queue_seconds: float,
    ) -> None:
        """Serve the endpoints of one path; `hash_queue_seconds` is how long a hash may wait for a thread."""
        self._endpoints = {endpoint.method: endpoint for endpoint in endpoints}
        if "GET" in self._endpoints:
            self._endpoints["HEAD"] = self._endpoints["GET"]
        self._everywhere = next((endpoint for endpoint in endpoints if endpoint.match_subpaths), None)
        self._allow = ", ".join(sorted({*self._endpoints, "OPTIONS"}))
        self._services = services
        self._proxies = proxies
        self._hash_queue_seconds = hash_queue_seconds
        self._body_memory = body_memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; refusals are raised for the guard to write."""
        response = await self._answer(scope)
        if response.stream is not None:
            await _stream(response, response.stream, scope, receive, send)
            return
        headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def _answer(self, scope: Scope) -> Response:
        if scope["method"] == "OPTIONS" and not self._everywhere:
            return Response(b"", HTTPStatus.NO_CONTENT, ((b"allow", self._allow.encode()),))
        endpoint = self._everywhere or self._endpoints.get(scope["method"])
        if endpoint is None:
            raise MethodNotAllowed(self._allow)
        if not endpoint.is_form:
            return await self._respond(endpoint, scope)
        try:
            return await self._respond(endpoint, scope)
        except Refusal as refusal:
            scope["outcome"] = refusal.code
            return _with_challenge(oauth_error_response(refusal))

    async def _respond(self, endpoint: Endpoint, scope: Scope) -> Response:
        scope["template"] = endpoint.path
        headers = headers_by_name(scope["headers"])
        path: dict[str, str] = {}
        query: dict[str, str] = {}
        incoming: IncomingBody | None = scope.get("incoming")
        handler = authenticate_and_read(endpoint, incoming, self._body_memory) if incoming else endpoint.handler
        if not endpoint.match_subpaths:
            path, query = _segments(scope), unique_query(scope["query_string"])
            try:
                _check_media(endpoint, scope, headers)
                check_query(endpoint, query)
            except Refusal as refusal:
                handler = _authenticate_and_raise(endpoint, refusal)
        request = Request(
            headers,
            scope.get("body", b""),
            scope["client"][0] if scope["client"] else "",
            self._proxies,
            path,
            query,
            endpoint.permission,
            scope["request_id"],
            MAINTENANCE in scope["state"],
        )
        scope["call"] = request
        if endpoint.hashes_password:
            deadline: asyncio.Timeout = scope["deadline"]
            deadline.reschedule((deadline.when() or 0.0) + self._hash_queue_seconds)
        return await respond(endpoint, self._services, request, handler)


def _check_media(endpoint: Endpoint, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
    """Let pass what admits the endpoint's media type and has a body of the right one; a Refusal for the rest."""
    # A field of several lines is one list (RFC 9110, section 5.3).
    accepts = [value for name, value in scope["headers"] if name == b"accept"]
    check_accept(b",".join(accepts) if accepts else None, endpoint.media_type)
    if scope.get("body") or "incoming" in scope:
        (check_form if endpoint.is_form else check_content)(headers)


def _authenticate_and_raise(endpoint: Endpoint, refusal: Refusal) -> Handler:
    """Return a handler that authenticates the caller first: it raises `refusal`, or NotAuthorized without a caller."""

    async def handle(services: Services, request: Request) -> NoReturn:
        if endpoint.auth is Auth.TENANT:
            credential = oauth.client_credential(request) if endpoint.is_form else request.credential
            services.record_caller(
                request, await services.sessions.authenticate_tenant(credential, request.required_permission)
            )
        raise refusal

    return handle


def _with_challenge(response: Response) -> Response:
    """Return the answer with the other way to authenticate, of which who tried it has to be told (RFC 6749, 5.2)."""
    if response.status is not HTTPStatus.UNAUTHORIZED:
        return response
    return response._replace(headers=[*response.headers, (b"www-authenticate", b'Basic realm="doorward"')])


async def _stream(response: Response, rest: AsyncIterator[bytes], scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer piece by piece, in chunks; nothing more is made once the client has gone."""
    if scope["http_version"] == "1.0":
        # Without chunks (RFC 9112, section 7) an end cannot be told from a fault.
        raise HttpVersionNotSupported
    start = {
        "type": "http.response.start",
        "status": response.status,
        "headers": [*response.headers, (b"transfer-encoding", b"chunked")],
    }
    if scope["method"] == "HEAD":
        await send(start)
        await send({"type": "http.response.body", "body": b""})
        return
    # What cannot even begin is refused like everything else, so the first piece is made before anything is sent.
    piece = response.body + await anext(rest, b"")
    await send(start)
    gone = asyncio.ensure_future(receive())
    try:
        while piece and not gone.done():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await anext(rest, b"")
    finally:
        gone.cancel()
    await send({"type": "http.response.body", "body": b""})


def _segments(scope: Scope) -> dict[str, str]:
    try:
        segments = {name: unquote(segment, errors="strict") for name, segment in scope["path_params"].items()}
    except UnicodeDecodeError:
        raise NotFound from None
    if any("\0" in segment for segment in segments.values()):
        raise NotFound
    return segments


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - the shape of ASGI
    raise NotFound(scope["method"], scope["path"])


def build_router(
    services: Services, proxies: Proxies, body_memory: BodyMemory, *, docs: bool, hash_queue_seconds: float
) -> Router:
    """Return the router over every endpoint; without `docs`, those that describe the API are not there."""
    place = partial(
        EndpointRoute,
        services=services,
        proxies=proxies,
        body_memory=body_memory,
        hash_queue_seconds=hash_queue_seconds,
    )
    paths: dict[str, list[Endpoint]] = {}
    for endpoint in ENDPOINTS:
        if docs or endpoint.handler not in {operations.get_openapi_document, operations.get_docs_page}:
            paths.setdefault(endpoint.path, []).append(endpoint)
    routes = [Route(path, place(endpoints)) for path, endpoints in paths.items()]
    routes += [
        Route(f"{path}/{{rest:path}}", place(endpoints))
        for path, endpoints in paths.items()
        if any(endpoint.match_subpaths for endpoint in endpoints)
    ]
    return Router(routes, redirect_slashes=False, default=_not_found)
