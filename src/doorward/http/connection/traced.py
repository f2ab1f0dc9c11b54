"""Fast path and ASGI application with a span around each request; installed only when traces are enabled."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from doorward.http.api.endpoint import Endpoint
from doorward.http.connection.fast_path import FastPath
from doorward.http.headers import HEADERS_BY_NAME
from doorward.http.request import Request
from doorward.http.response import Response
from doorward.observability.tracing import Tracer


@dataclass(frozen=True, slots=True)
class TracedFastPath(FastPath):
    """Fast path with a span around each request."""

    tracer: Tracer | None = None

    # The current span is a context variable, and only a task has a context of its own.
    is_eager: ClassVar[bool] = False

    async def respond(self, endpoint: Endpoint, request: Request) -> Response:
        """See `FastPath.respond`."""
        assert self.tracer  # noqa: S101 - a field after fields with defaults needs a default
        with self.tracer.request(endpoint.method, request.headers) as span:
            try:
                response = await FastPath.respond(self, endpoint, request)
            except asyncio.CancelledError:
                span.finish(endpoint.path, HTTPStatus.SERVICE_UNAVAILABLE)
                raise
            span.finish(endpoint.path, response.status.value)
            return response


def traced(fast_path: FastPath, tracer: Tracer) -> TracedFastPath:
    """Return a copy of a fast path that traces."""
    return TracedFastPath(
        fast_path.endpoints, fast_path.services, fast_path.proxies, fast_path.policy, fast_path.recorder, tracer=tracer
    )


class TracedApp:
    """ASGI middleware with a span around each request of the slow path."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        """Wrap `app`."""
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        with self._tracer.request(scope["method"], scope[HEADERS_BY_NAME]) as span:
            await self._app(scope, receive, send_and_note_status)
            if status:
                span.finish(scope.get("template", ""), status)
