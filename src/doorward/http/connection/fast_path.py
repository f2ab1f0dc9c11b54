"""Fast path of verifications and logins: ordinary requests go from the parser to the handler, past the router.

Requests with anything unusual take the slow path through middleware and router, which handles every case. Both paths
call the same handler.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from time import perf_counter
from typing import ClassVar

from doorward.core.errors import Refusal
from doorward.http import errors
from doorward.http.api.endpoint import Endpoint, respond
from doorward.http.api.services import Services
from doorward.http.bodies import MAX_BODY_BYTES
from doorward.http.checks import ANY_HOST, host_is_served
from doorward.http.client_address import Proxies
from doorward.http.errors import DeadlineExceeded, InternalError
from doorward.http.middleware import HostAndOriginPolicy
from doorward.http.request import Request
from doorward.http.response import Response, error_response
from doorward.observability.recorder import OK, Counter, RequestRecorder, RouteKey

log = logging.getLogger(__name__)

# A module constant, since the look-up in the enum class takes as long as the rest of the counting.
_OK = HTTPStatus.OK
_UNUSUAL = frozenset({b"expect", b"transfer-encoding", b"content-encoding", b"upgrade"})
_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8"})
_ACCEPTED = frozenset({None, b"*/*", b"application/json"})


@dataclass(frozen=True, slots=True)
class FastPath:
    """Selects ordinary requests by method, target and headers, and responds to them.

    If `is_eager`, `respond` may run outside a task until its first wait.
    """

    is_eager: ClassVar[bool] = True

    endpoints: Mapping[tuple[bytes, bytes], Endpoint]
    services: Services
    proxies: Proxies
    policy: HostAndOriginPolicy
    recorder: RequestRecorder = field(default_factory=RequestRecorder)
    _counters: dict[str, Counter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Create a counter for each endpoint."""
        for endpoint in self.endpoints.values():
            if endpoint.path not in self._counters:
                self._counters[endpoint.path] = self.recorder.counter(
                    RouteKey(endpoint.method, endpoint.path, endpoint.fast_path)
                )

    def match(self, method: bytes, target: bytes, headers: Mapping[bytes, bytes], lines: int) -> Endpoint | None:
        """Return the endpoint if a request with these headers may take the fast path; `lines` is their number."""
        endpoint = self.endpoints.get((method, target))
        if (
            endpoint is None
            or len(headers) != lines
            or not _UNUSUAL.isdisjoint(headers)
            or (host := headers.get(b"host")) is None
        ):
            return None
        length = int(headers.get(b"content-length", 0))
        if endpoint.match_subpaths:
            # Other headers belong to the application's request; the slow path ignores them too.
            return endpoint if length == 0 and host_is_served(host, ANY_HOST) else None
        if (
            0 < length <= MAX_BODY_BYTES
            and headers.get(b"content-type") in _TYPES
            and headers.get(b"accept") in _ACCEPTED
            and b"origin" not in headers
            and host_is_served(host, self.policy.hosts)
        ):
            return endpoint
        return None

    async def respond(self, endpoint: Endpoint, request: Request) -> Response:
        """Return the response to a request, also for errors; record it."""
        began = perf_counter()
        outcome = OK
        try:
            response = await respond(endpoint, self.services, request)
        except Refusal as refusal:
            outcome, response = refusal.code, error_response(refusal)
        except asyncio.CancelledError:
            # The deadline has passed; the protocol sends the error.
            self._record(endpoint, errors.STATUS_OF[DeadlineExceeded], DeadlineExceeded.code, began, request)
            raise
        except Exception:
            # The log has the request id of the response, which says nothing else about the cause.
            log.exception("request failed", extra={"path": endpoint.path, "request_id": request.request_id})
            outcome, response = InternalError.code, error_response(InternalError())
        if outcome is OK and response.status is _OK:
            counter = self._counters[endpoint.path]
            counter.count = count = counter.count + 1
            if count % counter.sample_every == 0:
                self.recorder.record_sample(counter, perf_counter() - began, request)
        else:
            self._record(endpoint, response.status, outcome, began, request)
        return response

    def _record(self, endpoint: Endpoint, status: HTTPStatus, outcome: str, began: float, request: Request) -> None:
        self.recorder.record(self._counters[endpoint.path].key, status, outcome, perf_counter() - began, request)
