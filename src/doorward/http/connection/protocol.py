"""One connection: its requests are answered in their order, on one of two lanes, or refused."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from doorward.core.errors import Refusal
from doorward.http.api.endpoint import Endpoint
from doorward.http.connection.eager_task import PendingResult
from doorward.http.connection.parser import RequestParser
from doorward.http.connection.registry import SILENT, SLOW, UNREAD, Connection
from doorward.http.connection.unsent import UnsentBytes
from doorward.http.errors import (
    BadRequest,
    DeadlineExceeded,
    NotImplementedHere,
    RequestTimeout,
    TooManyConnections,
)
from doorward.http.headers import accept_request_id
from doorward.http.request import Request
from doorward.http.response import Response, error_response, serialize_with_id
from doorward.http.unparsed_request import UnparsedRequest
from doorward.observability.recorder import RouteKey

log = logging.getLogger(__name__)

_UNREAD = RouteKey("other", "", "protocol")
_NO_FIELDS: Mapping[bytes, bytes] = {}


class _UnansweredCycle:
    """Stands where uvicorn expects the cycle of a request that is not answered yet, so that others queue behind it."""

    # Nobody waits for the event of a request that has arrived as a whole, so one will do for all.
    message_event = asyncio.Event()
    more_body = False
    disconnected = False
    response_complete = False

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive


class DoorwardProtocol(RequestParser):
    """One connection. `predecessor` is what it was registered as while its TLS handshake went on."""

    predecessor: Connection | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(*args, **kwargs)
        self._lane = self._door.fast_path
        self._leaving = False
        self._express: Endpoint | None = None
        self._fields = _NO_FIELDS
        self._body: list[bytes] = []
        self._task: PendingResult[Response] | None = None
        self._task_due = 0.0
        self._answering: RequestResponseCycle | None = None
        self._unread: UnsentBytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or say at once that there are too many."""
        super().connection_made(transport)
        now = self.loop.time()
        self.deadline = now + self._limits.first_byte
        if self.predecessor is not None:
            self._door.unregister(self.predecessor)
        if not self._door.register(self, self.client[0] if self.client else "", now):
            if self._door.is_full():
                self.evict()
            else:
                self._refuse(TooManyConnections(retry_after=1))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection. What its last request changes, changes all the same."""
        self._door.unregister(self)
        self._closing = True
        super().connection_lost(exc)

    def _stop_reading(self) -> None:
        """Answer what is waiting, say close with the last of it, and execute nothing behind it."""
        self._stopped = True
        self.cycle.keep_alive = False
        self.deadline = self.loop.time() + self._limits.handler_time

    def on_headers_complete(self) -> None:
        """Judge the head, and choose the lane."""
        self._in_head = False
        self.deadline = self._now + self._limits.body_time
        parser = self.parser
        if parser.get_http_version() == "1.1" and self._may_answer_at_once():
            recognised = self._lane.match(parser.get_method(), self.url, self.headers)
            if recognised is not None:
                self._largest = self._limits.body
                self._express, self._fields = recognised
                return
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                self._reject(NotImplementedHere())
            return
        self._begin_cycle()
        self._check_head()
        super().on_headers_complete()
        self._handed = True
        if self._leaving:
            self.cycle.keep_alive = False

    def _is_answered(self) -> bool:
        """Tell whether every request whose head has come is answered; `cycle` is that of the newest."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def _may_answer_at_once(self) -> bool:
        # A client that does not read its answers goes the way that stops reading its requests.
        return self._is_answered() and not self.flow.write_paused

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, for whichever lane the request is on."""
        if self._express is None:
            super().on_body(body)
        else:
            self._limit_body(body)
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer a request of the express lane, or let the application know that it has all of another."""
        self._in_message = False
        self.deadline = self._now + self._limits.handler_time
        endpoint = self._express
        if endpoint is None:
            if not self.parser.should_upgrade():
                self._chunked = False
                super().on_message_complete()
            return
        self._express = None
        body = b"".join(self._body)
        self._body.clear()
        keep_alive = self.parser.should_keep_alive()
        own_id = accept_request_id(self._fields.get(b"x-request-id"))
        request = Request(
            self._fields,
            body,
            self.client[0] if self.client else "",
            self._lane.proxies,
            required_permission=endpoint.permission,
            request_id=own_id.decode(),
        )
        response, task = self._lane.respond(endpoint, request, self.loop)
        if response is not None:
            self._send(response, own_id, keep_alive=keep_alive)
        elif task is not None:
            if endpoint.hashes_password:
                self.deadline += self._limits.hash_queue_time
            self._task_due = self.deadline
            waiting = _UnansweredCycle(keep_alive=keep_alive)
            self.cycle = waiting  # type: ignore[assignment]
            self._task = task
            task.add_done_callback(partial(self._finish, own_id=own_id, waiting=waiting))

    def _finish(self, task: PendingResult[Response], *, own_id: bytes, waiting: _UnansweredCycle) -> None:
        # Requests that came meanwhile wait in the pipeline, so `cycle` may be one of theirs by now.
        self._task = None
        waiting.response_complete = True
        response = error_response(DeadlineExceeded(retry_after=1)) if task.cancelled() else task.result()
        if self._closing or self.transport.is_closing():
            return
        self._send(response, own_id, keep_alive=waiting.keep_alive)
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            if not self.pipeline:
                self.flow.resume_reading()

    def _send(self, response: Response, own_id: bytes, *, keep_alive: bool) -> None:
        self.server_state.total_requests += 1
        # While the process leaves, the newest of several requests closes the connection.
        close = not keep_alive or (self._leaving and not self.pipeline)
        self.transport.write(serialize_with_id(response, own_id, self.server_state.default_headers, close=close))
        if close:
            self.transport.close()
        self._start_idle()

    def _start_idle(self) -> None:
        """Wait for the next request; one that is arriving already keeps its deadline."""
        if not self._in_message or self._stopped:
            self.deadline = self.loop.time() + self._limits.idle

    def on_response_complete(self) -> None:
        """Wait for the next request, after one that the application has answered."""
        if self._answering is not None:
            # What came of a body that was not asked for, such as that of an unauthenticated caller.
            self._answering.body = bytearray()
        super().on_response_complete()
        # The door looks after idle connections. Another timer would keep all of one that was reset until it ends.
        self._unset_keepalive_if_required()
        self._start_idle()
        if self.pipeline:
            # Whoever sends faster than we answer is read no further: what waits here takes memory.
            self.flow.pause_reading()

    def shutdown(self) -> None:
        """Close now if nothing is under way; otherwise finish what is and close then."""
        self._leaving = True
        if not self._in_message and self._task is None:
            super().shutdown()
        elif not self._is_answered():
            self.cycle.keep_alive = False

    def is_silent(self) -> bool:
        """Return whether nothing has come from the client so far, or nothing more is read from it."""
        return self._closing or not self._now

    def is_idle(self) -> bool:
        """Return whether no request is under way: nothing is lost when the connection is closed."""
        return not self._in_message and self._task is None and self._is_answered()

    def evict(self) -> None:
        """Close now, in favour of another connection."""
        self._closing = True
        self.transport.abort()

    def on_timeout(self) -> None:
        """Cut off what takes too long: an idle connection silently, a slow sender with 408, a slow answer with 503."""
        if self._closing:
            self.transport.abort()
        elif self._in_message and not self._stopped:
            self._door.closed[SLOW] += 1
            self._refuse(RequestTimeout())
        elif (handler_due := self._handler_deadline()) > self.loop.time():
            # The deadline was that of a pipelined request, or of one with less time.
            self.deadline = handler_due
        elif self._task is not None:
            self._task.cancel()
        elif self._is_response_read():
            self.deadline = self.loop.time() + self._limits.handler_time
        elif not self._is_answered():
            # The guard's deadline has long answered; then it is the client who does not read.
            self._door.closed[UNREAD] += 1
            self.transport.abort()
        else:
            self._door.closed[SILENT] += self.is_silent()
            self.transport.close()

    def _handler_deadline(self) -> float:
        """Return until when the request that is being answered may take; 0 where that is not for its handler to say."""
        if self._task is not None:
            return self._task_due
        answering: Any = self._answering
        deadline = answering.scope.get("deadline") if answering else None
        until = deadline.when() if deadline else None
        # The guard answers first, so that the client gets its sentence.
        return until + 1 if until is not None and not self._is_answered() else 0.0

    def _is_response_read(self) -> bool:
        """Tell whether a long answer is under way and its client has read some of it since this was asked last."""
        answering = self._answering
        if answering is None or not answering.response_started or answering.response_complete:
            return False
        # While writing is not paused, the next piece is being made, for which the guard has a deadline.
        return self._unread is None or self._unread.is_shrinking()

    def pause_writing(self) -> None:
        """Remember how much the client has still to read."""
        super().pause_writing()
        self._unread = UnsentBytes(self.transport)
        self._extend_deadline()

    def resume_writing(self) -> None:
        """Give a client that reads its long answer more time for the rest of it."""
        super().resume_writing()
        self._unread = None
        self._extend_deadline()

    def _extend_deadline(self) -> None:
        if self._answering is not None and not self._answering.response_complete and not self._in_message:
            self.deadline = max(self.deadline, self.loop.time() + self._limits.handler_time)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Remember which request is being answered: `cycle` of the connection is the newest, which may have to wait."""
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, refusal: Refusal) -> None:
        """Say no to whatever this connection is saying, and close it, gently enough that the answer is read."""
        if self._closing or self._stopped:
            return
        own = self._in_message and self._handed
        if not self._is_answered() and not own:
            # An answer now would be taken for that of an earlier request, which is still being answered.
            self._stop_reading()
            return
        self._closing = True
        if not self._is_answered():
            cycle = self.cycle
            cycle.disconnected = True
            cycle.message_event.set()
            if getattr(cycle, "response_started", False):
                self.transport.abort()
                return
        if not self._has_answered():
            response = error_response(refusal)
            own_id = accept_request_id(dict(self.headers or ()).get(b"x-request-id"))
            stranger = UnparsedRequest(
                own_id.decode(), self.client[0] if self.client else "", self.headers or (), self._lane.proxies
            )
            self._lane.recorder.record(_UNREAD, response.status, refusal.code, 0.0, stranger)
            self.transport.write(serialize_with_id(response, own_id, self.server_state.default_headers, close=True))
        self.deadline = self.loop.time() + self._limits.linger
        if self.transport.can_write_eof():
            # Closing with unread input would reset the connection, and the answer might be lost with it.
            self.transport.write_eof()
        else:
            self.transport.close()

    def _has_answered(self) -> bool:
        """Tell whether the request that is still arriving was answered on its head alone: one request, one answer."""
        return self._in_message and self._handed and self._is_answered()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - our sentence is the same for everybody
        """Refuse what uvicorn itself objects to, in the one shape of every error."""
        self._refuse(BadRequest())
