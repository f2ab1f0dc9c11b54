"""The express lane: questions and logins, answered before the router.

Only requests of the most ordinary form are taken here; whatever is unusual about one goes the long way, which knows
every case. Both ways end at the same handler, so they cannot disagree.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from time import perf_counter

from doorward.core.errors import Refusal
from doorward.http import errors
from doorward.http.api.endpoint import Endpoint, respond
from doorward.http.api.services import Services
from doorward.http.client_address import Proxies
from doorward.http.connection.eager_task import PendingResult, run_eagerly
from doorward.http.errors import DeadlineExceeded, InternalError
from doorward.http.headers import Headers
from doorward.http.middleware import MAX_BODY_BYTES, HostAndOriginPolicy, host_is_served, is_host
from doorward.http.request import Request
from doorward.http.response import Response, error_response
from doorward.observability.recorder import OK, Counter, RequestRecorder, RouteKey

log = logging.getLogger(__name__)

# Looking it up in its class takes as long as the rest of the counting.
_OK = HTTPStatus.OK
_UNUSUAL = frozenset({b"expect", b"transfer-encoding", b"content-encoding", b"upgrade"})
_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8"})
_ACCEPTED = frozenset({None, b"*/*", b"application/json"})


@dataclass(frozen=True, slots=True)
class FastPath:
    """Recognises ordinary questions by their head and answers them."""

    endpoints: Mapping[tuple[bytes, bytes], Endpoint]
    services: Services
    proxies: Proxies
    policy: HostAndOriginPolicy
    recorder: RequestRecorder = field(default_factory=RequestRecorder)
    _counters: dict[str, Counter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make a tally for each endpoint, once."""
        for endpoint in self.endpoints.values():
            if endpoint.path not in self._counters:
                self._counters[endpoint.path] = self.recorder.counter(
                    RouteKey(endpoint.method, endpoint.path, endpoint.fast_path)
                )

    def match(self, method: bytes, target: bytes, headers: Headers) -> tuple[Endpoint, Mapping[bytes, bytes]] | None:
        """Return the endpoint and the headers by name if a request with this head may be answered here."""
        endpoint = self.endpoints.get((method, target))
        if endpoint is None:
            return None
        fields = dict(headers)
        if (
            len(fields) == len(headers)
            and _UNUSUAL.isdisjoint(fields)
            and b"host" in fields
            and (_is_bare(fields) if endpoint.match_subpaths else self._is_plain_json(fields))
        ):
            return endpoint, fields
        return None

    def _is_plain_json(self, fields: Mapping[bytes, bytes]) -> bool:
        return (
            b"origin" not in fields
            and fields.get(b"content-type") in _TYPES
            and fields.get(b"accept") in _ACCEPTED
            and 0 < int(fields.get(b"content-length", 0)) <= MAX_BODY_BYTES
            and host_is_served(fields[b"host"], self.policy.hosts)
        )

    def respond(
        self, endpoint: Endpoint, request: Request, loop: asyncio.AbstractEventLoop
    ) -> tuple[Response, None] | tuple[None, PendingResult[Response]]:
        """Return the answer, or what will have it where a store has to be waited for."""
        return run_eagerly(self._finish(endpoint, request), loop)

    async def _finish(self, endpoint: Endpoint, request: Request) -> Response:
        began = perf_counter()
        outcome = OK
        try:
            response = await respond(endpoint, self.services, request)
        except Refusal as refusal:
            outcome, response = refusal.code, error_response(refusal)
        except asyncio.CancelledError:
            # The protocol has lost its patience, and answers.
            self._record(endpoint, errors.STATUS_OF[DeadlineExceeded], DeadlineExceeded.code, began, request)
            raise
        except Exception:
            # The log has the id the client was given; the client is told nothing else.
            log.exception("a request failed", extra={"path": endpoint.path, "request_id": request.request_id})
            outcome, response = InternalError.code, error_response(InternalError())
        if outcome is OK and response.status is _OK:
            tally = self._counters[endpoint.path]
            tally.count = yes = tally.count + 1
            if yes % tally.sample_every == 0:
                self.recorder.record_sample(tally, perf_counter() - began, request)
        else:
            self._record(endpoint, response.status, outcome, began, request)
        return response

    def _record(self, endpoint: Endpoint, status: HTTPStatus, outcome: str, began: float, request: Request) -> None:
        self.recorder.record(self._counters[endpoint.path].key, status, outcome, perf_counter() - began, request)


def _is_bare(fields: Mapping[bytes, bytes]) -> bool:
    # What else there is in the head of somebody else's request is not looked at here, nor on the long way.
    return int(fields.get(b"content-length", 0)) == 0 and is_host(fields[b"host"])
