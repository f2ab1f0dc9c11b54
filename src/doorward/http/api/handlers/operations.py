"""Handlers for operators: health checks and the descriptions of the API."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from doorward.core.errors import Refusal, StoreUnavailable
from doorward.http.api.schemas import LivenessResponse, ReadinessResponse
from doorward.http.api.services import Services
from doorward.http.request import Request
from doorward.http.response import Response, json_response

_CHECK_SECONDS = 1.0
_PAGE_CSP = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
)


async def get_liveness(_services: Services, _call: Request) -> Response:
    """Check that the process runs."""
    return json_response(LivenessResponse())


async def get_readiness(services: Services, request: Request) -> Response:
    """Check that every store takes writes."""
    states = dict(
        zip(
            services.store_checks, await asyncio.gather(*map(_store_state, services.store_checks.values())), strict=True
        )
    )
    ready = all(state == "ok" for state in states.values())
    if not ready:
        request.outcome = StoreUnavailable.code
    response = json_response(
        ReadinessResponse("ready" if ready else "unready", states),
        HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE,
    )
    return response if ready else response._replace(headers=[*response.headers, (b"retry-after", b"1")])


async def get_openapi_document(services: Services, _call: Request) -> Response:
    """Get the OpenAPI 3.1 document of this API."""
    return Response(services.descriptions.document)


async def get_docs_page(services: Services, _call: Request) -> Response:
    """Get the API reference as one HTML page."""
    return Response(services.descriptions.page, headers=((b"content-type", b"text/html; charset=utf-8"), _PAGE_CSP))


async def _store_state(check: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await check()
    except (Refusal, TimeoutError):
        return "away"
    return "ok"
