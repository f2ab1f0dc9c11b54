"""Both lanes with a span around each request, where traces are asked for; elsewhere nothing of this is on the way."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from doorward.http.api.endpoint import Endpoint
from doorward.http.connection.eager_task import PendingResult
from doorward.http.connection.fast_path import FastPath
from doorward.http.request import Request
from doorward.http.response import Response
from doorward.observability.tracing import Tracer


@dataclass(frozen=True, slots=True)
class TracedFastPath(FastPath):
    """The express lane, traced."""

    tracer: Tracer | None = None

    def respond(
        self, endpoint: Endpoint, call: Request, loop: asyncio.AbstractEventLoop
    ) -> tuple[Response, None] | tuple[None, PendingResult[Response]]:
        """Return the task that will have the answer: which span is the current one is kept apart by task."""
        assert self.tracer  # noqa: S101 - a field after those that have defaults has to have one
        return None, loop.create_task(self._trace(self.tracer, endpoint, call))

    async def _trace(self, tracer: Tracer, endpoint: Endpoint, call: Request) -> Response:
        with tracer.request(endpoint.method, call.headers) as span:
            try:
                response = await self._finish(endpoint, call)
            except asyncio.CancelledError:
                span.finish(endpoint.path, HTTPStatus.SERVICE_UNAVAILABLE)
                raise
            span.finish(endpoint.path, response.status.value)
            return response


def traced(lane: FastPath, tracer: Tracer) -> TracedFastPath:
    """Return a lane that does what `lane` does, traced."""
    return TracedFastPath(lane.endpoints, lane.services, lane.proxies, lane.policy, lane.recorder, tracer=tracer)


class TracedApp:
    """Stands before everything that is no question of the express lane (an ASGI application)."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        """Stand before `app`."""
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def see(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        with self._tracer.request(scope["method"], dict(scope["headers"])) as span:
            await self._app(scope, receive, see)
            if status:
                span.finish(scope.get("template", ""), status)
