"""Router of the API: selects the endpoint of a request, checks media types and query, sends the response."""

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
from doorward.http.bodies import IncomingBody
from doorward.http.checks import FORM, JSON, check_accept, check_content_type
from doorward.http.client_address import Proxies
from doorward.http.connection.maintenance import MAINTENANCE
from doorward.http.errors import HttpVersionNotSupported, MethodNotAllowed, NotFound
from doorward.http.headers import HEADERS_BY_NAME
from doorward.http.large_bodies import BodyMemory, authenticate_and_read
from doorward.http.request import Request
from doorward.http.response import Response, oauth_error_response


class EndpointRoute:
    """Endpoints of one path (an ASGI application)."""

    def __init__(
        self,
        endpoints: list[Endpoint],
        services: Services,
        proxies: Proxies,
        body_memory: BodyMemory,
        *,
        hash_queue_seconds: float,
    ) -> None:
        """Serve the endpoints of one path. `hash_queue_seconds` is the longest wait for a hashing thread."""
        self._endpoints = {endpoint.method: endpoint for endpoint in endpoints}
        if "GET" in self._endpoints:
            self._endpoints["HEAD"] = self._endpoints["GET"]
        self._with_subpaths = next((endpoint for endpoint in endpoints if endpoint.match_subpaths), None)
        self._allow = ", ".join(sorted({*self._endpoints, "OPTIONS"}))
        self._services = services
        self._proxies = proxies
        self._hash_queue_seconds = hash_queue_seconds
        self._body_memory = body_memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI); errors are raised for the middleware to send."""
        response = await self._respond(scope)
        if response.stream is not None:
            await _stream(response, response.stream, scope, receive, send)
            return
        headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def _respond(self, scope: Scope) -> Response:
        if scope["method"] == "OPTIONS" and not self._with_subpaths:
            return Response(b"", HTTPStatus.NO_CONTENT, ((b"allow", self._allow.encode()),))
        endpoint = self._with_subpaths or self._endpoints.get(scope["method"])
        if endpoint is None:
            raise MethodNotAllowed(self._allow)
        try:
            return await self._call(endpoint, scope)
        except Refusal as refusal:
            if not endpoint.is_form:
                raise
            scope["outcome"] = refusal.code
            return _with_challenge(oauth_error_response(refusal))

    async def _call(self, endpoint: Endpoint, scope: Scope) -> Response:
        scope["template"] = endpoint.path
        headers: Mapping[bytes, bytes] = scope[HEADERS_BY_NAME]
        path: dict[str, str] = {}
        query: dict[str, str] = {}
        incoming: IncomingBody | None = scope.get("incoming")
        handler = authenticate_and_read(endpoint, incoming, self._body_memory) if incoming else endpoint.handler
        if not endpoint.match_subpaths:
            path, query = _path_parameters(scope["path_params"]), scope["query"]
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
        scope["request"] = request
        if endpoint.hashes_password:
            deadline: asyncio.Timeout = scope["deadline"]
            deadline.reschedule((deadline.when() or 0.0) + self._hash_queue_seconds)
        return await respond(endpoint, self._services, request, handler)


def _check_media(endpoint: Endpoint, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
    """Raise NotAcceptable or UnsupportedMediaType if a request does not fit the media types of an endpoint."""
    # Several lines of a header are one list (RFC 9110, section 5.3).
    accepts = [value for name, value in scope["headers"] if name == b"accept"]
    check_accept(b",".join(accepts) if accepts else None, endpoint.media_type)
    if scope.get("body") or "incoming" in scope:
        check_content_type(headers, FORM if endpoint.is_form else JSON)


def _authenticate_and_raise(endpoint: Endpoint, refusal: Refusal) -> Handler:
    """Return a handler that raises NotAuthorized for an unauthenticated caller, `refusal` for any other."""

    async def handle(services: Services, request: Request) -> NoReturn:
        if endpoint.auth is Auth.TENANT:
            credential = oauth.client_credential(request) if endpoint.is_form else request.credential
            services.record_caller(
                request, await services.sessions.authenticate_tenant(credential, request.required_permission)
            )
        raise refusal

    return handle


def _with_challenge(response: Response) -> Response:
    """Add the challenge of the other authentication scheme, Basic, to a 401 response (RFC 6749, section 5.2)."""
    if response.status is not HTTPStatus.UNAUTHORIZED:
        return response
    return response._replace(headers=[*response.headers, (b"www-authenticate", b'Basic realm="doorward"')])


async def _stream(response: Response, rest: AsyncIterator[bytes], scope: Scope, receive: Receive, send: Send) -> None:
    """Send a response in chunks, and stop when the client disconnects."""
    if scope["http_version"] == "1.0":
        # Without chunks (RFC 9112, section 7) a client cannot distinguish the end from an error.
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
    # The first piece is made before anything is sent, so that an error in it becomes an error response.
    piece = response.body + await anext(rest, b"")
    await send(start)
    disconnect = asyncio.ensure_future(receive())
    try:
        while piece and not disconnect.done():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await anext(rest, b"")
    finally:
        disconnect.cancel()
    await send({"type": "http.response.body", "body": b""})


def _path_parameters(segments: Mapping[str, str]) -> dict[str, str]:
    try:
        decoded = {name: unquote(segment, errors="strict") for name, segment in segments.items()}
    except UnicodeDecodeError:
        raise NotFound from None
    if "\0" in "".join(decoded.values()):
        raise NotFound
    return decoded


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - the shape of ASGI
    raise NotFound(scope["method"], scope["path"])


def build_router(
    services: Services, proxies: Proxies, body_memory: BodyMemory, *, docs: bool, hash_queue_seconds: float
) -> Router:
    """Return the router of every endpoint; without `docs`, the OpenAPI document and its page are left out."""
    route = partial(
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
    routes = [Route(path, route(endpoints)) for path, endpoints in paths.items()]
    routes += [
        Route(f"{path}/{{rest:path}}", route(endpoints))
        for path, endpoints in paths.items()
        if any(endpoint.match_subpaths for endpoint in endpoints)
    ]
    return Router(routes, redirect_slashes=False, default=_not_found)
