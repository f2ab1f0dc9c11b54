"""What operators and their machines ask."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from doorward.core.errors import Refusal, StoreUnavailable
from doorward.http.schemas import Live, Ready
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, reply

_PATIENCE = 1.0
_PAGE_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
)


async def live(_services: Services, _call: Call) -> Answer:
    """Say that the process runs."""
    return reply(Live())


async def ready(services: Services, call: Call) -> Answer:
    """Say whether every store takes writes."""
    states = dict(zip(services.checks, await asyncio.gather(*map(_state, services.checks.values())), strict=True))
    well = all(state == "ok" for state in states.values())
    if not well:
        call.outcome = StoreUnavailable.code
    answer = reply(
        Ready("ready" if well else "unready", states), HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    )
    return answer if well else answer._replace(headers=[*answer.headers, (b"retry-after", b"1")])


async def openapi(services: Services, _call: Call) -> Answer:
    """Describe this API (OpenAPI 3.1)."""
    return Answer(services.descriptions.document)


async def docs(services: Services, _call: Call) -> Answer:
    """Describe this API to people, on one page."""
    return Answer(services.descriptions.page, headers=((b"content-type", b"text/html; charset=utf-8"), _PAGE_POLICY))


async def _state(check: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(_PATIENCE):
            await check()
    except (Refusal, TimeoutError):
        return "away"
    return "ok"
