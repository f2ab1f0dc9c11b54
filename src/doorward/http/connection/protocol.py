"""uvicorn's HTTP protocol with deadlines, limits, and the door to the express lane.

Slow senders, header sizes and ambiguous framing can only be dealt with here: an ASGI application is called too late.
"""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from doorward.core.errors import Refusal
from doorward.http.connection.door import Door
from doorward.http.connection.eager import Pending
from doorward.http.connection.head import judge
from doorward.http.connection.unread import Unread
from doorward.http.endpoints import Endpoint
from doorward.http.errors import (
    BadRequest,
    DeadlineExceeded,
    HeadersTooLarge,
    NotImplementedHere,
    PayloadTooLarge,
    RequestTimeout,
    TooManyConnections,
    UriTooLong,
)
from doorward.http.watch import Asked, Stranger
from doorward.http.wire import Answer, Call, refuse, request_id, write_as

log = logging.getLogger(__name__)

_UNREAD = Asked("other", "", "protocol")
_NO_FIELDS: Mapping[bytes, bytes] = {}


class _Waiting:
    """Stands where uvicorn expects the cycle of a request that is not answered yet, so that others queue behind it."""

    # Nobody waits for the event of a request that has arrived as a whole, so one will do for all.
    message_event = asyncio.Event()
    more_body = False
    disconnected = False
    response_complete = False

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive


class DoorwardProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what uvicorn gives; the door comes from the application's lifespan."""
        super().__init__(*args, **kwargs)
        self._door: Door = self.app_state["door"]
        self._limits = self._door.limits
        self._largest = self._limits.body
        self._lane = self._door.lane
        self.due = float("inf")
        self._closing = False
        self._leaving = False
        self._stopped = False
        self._refusal: Refusal | None = None
        self._in_head = False
        self._in_message = False
        self._head_size = 0
        self._fresh = False
        self._handed = False
        self._received = 0
        self._express: Endpoint | None = None
        self._fields = _NO_FIELDS
        self._now = 0.0
        self._body: list[bytes] = []
        self._body_size = 0
        self._task: Pending[Answer] | None = None
        self._answering: RequestResponseCycle | None = None
        self._unread: Unread | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or say at once that there are too many."""
        super().connection_made(transport)
        self._door.connections.add(self)
        self.due = self.loop.time() + self._limits.first_byte
        if len(self._door.connections) > self._limits.connections:
            self._refuse(TooManyConnections(retry_after=1))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection. What its last request changes, changes all the same."""
        self._door.connections.discard(self)
        self._closing = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; anything it or we object to is refused once and for all."""
        if self._closing or self._stopped:
            return
        self._unset_keepalive_if_required()
        self._fresh = False
        self._now = self.loop.time()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(self._refusal or NotImplementedHere())
        except httptools.HttpParserError:
            if not self._stopped:
                self._refuse(self._refusal or BadRequest())
        if self._in_message:
            self._measure(data)

    def _measure(self, data: bytes) -> None:
        """Bound what the parser takes without calling us: lines without an end, framing of chunks, trailers."""
        # Of a request that began in these bytes only the last line counts: before it may be other, whole requests.
        self._received = len(data) - data.rfind(b"\n") - 1 if self._fresh else self._received + len(data)
        if self._in_head and self._received > 2 * self._limits.head:
            self._refuse(HeadersTooLarge())
        elif self._received > 2 * self._limits.head + 8 * self._largest:
            self._refuse(PayloadTooLarge())

    def on_message_begin(self) -> None:
        """Begin a request: from now on its head has to arrive in time."""
        if len(self.pipeline) >= self._limits.pipeline:
            self._stop_reading()
            raise TooManyConnections
        self.url = b""
        self.headers = []
        self._in_head = self._in_message = self._fresh = True
        self._handed = False
        self._head_size = 0
        self._body_size = 0
        self._largest = self._limits.body
        self.due = self._now + self._limits.head_time

    def _stop_reading(self) -> None:
        """Answer what is waiting, say close with the last of it, and execute nothing behind it."""
        self._stopped = True
        self.cycle.keep_alive = False
        self.due = self.loop.time() + self._limits.handler_time

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self.url += url
        if len(self.url) > self._limits.target:
            self._object(UriTooLong())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header line; a trailer is never taken for one (RFC 9110, section 6.5.1)."""
        if self._in_head:
            self.headers.append((name.lower(), value))
        self._head_size += len(name) + len(value)
        if self._head_size > self._limits.head or len(self.headers) > self._limits.lines:
            self._object(HeadersTooLarge())

    def _object(self, refusal: Refusal) -> NoReturn:
        """Make the parser stop; `data_received` refuses."""
        self._refusal = refusal
        raise refusal

    def on_headers_complete(self) -> None:
        """Judge the head, and choose the lane."""
        self._in_head = False
        self.due = self._now + self._limits.body_time
        parser = self.parser
        if parser.get_http_version() == "1.1" and self._may_answer_at_once():
            recognised = self._lane.recognise(parser.get_method(), self.url, self.headers)
            if recognised is not None:
                self._largest = self._limits.body
                self._express, self._fields = recognised
                return
        self._begin_cycle()
        self._judge_head()
        super().on_headers_complete()
        self._handed = True

    def _begin_cycle(self) -> None:
        """Let uvicorn begin, now that the application is to be asked: the express lane needs none of it."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url, self.headers = url, headers
        self.scope["headers"] = headers

    def _is_idle(self) -> bool:
        """Tell whether every request whose head has come is answered; `cycle` is that of the newest."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def _may_answer_at_once(self) -> bool:
        # A client that does not read its answers goes the way that stops reading its requests.
        return self._is_idle() and not self.flow.write_paused

    def _judge_head(self) -> None:
        try:
            fields = judge(self.parser.get_http_version(), self.url, self.headers, upgrade=self.parser.should_upgrade())
        except Refusal as refusal:
            self._object(refusal)
        path = self.url.partition(b"?")[0]
        self._largest = self._door.sizes.get(path.removesuffix(b"/") or path, self._limits.body)
        if int(fields.get(b"content-length", 0)) > self._largest:
            self._object(PayloadTooLarge())
        if b"expect" in fields:
            self.expect_100_continue = fields[b"expect"].lower() == b"100-continue"

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, up to the limit."""
        self._body_size += len(body)
        if self._body_size > self._largest:
            self._object(PayloadTooLarge())
        if self._express is not None:
            self._body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer a request of the express lane, or let the application know that it has all of another."""
        self._in_message = False
        self.due = self._now + self._limits.handler_time
        endpoint = self._express
        if endpoint is None:
            super().on_message_complete()
            return
        self._express = None
        body = b"".join(self._body)
        self._body.clear()
        keep_alive = self.parser.should_keep_alive()
        own_id = request_id(self._fields.get(b"x-request-id"))
        call = Call(
            self._fields,
            body,
            self.client[0] if self.client else "",
            self._lane.proxies,
            needs=endpoint.permission,
            request_id=own_id.decode(),
        )
        answer, task = self._lane.answer(endpoint, call, self.loop)
        if task is None:
            self._send(answer, own_id, keep_alive=keep_alive)
            return
        waiting = _Waiting(keep_alive=keep_alive)
        self.cycle = waiting  # type: ignore[assignment]
        self._task = task
        task.add_done_callback(partial(self._finish, own_id=own_id, waiting=waiting))

    def _finish(self, task: Pending[Answer], *, own_id: bytes, waiting: _Waiting) -> None:
        # Requests that came meanwhile wait in the pipeline, so `cycle` may be one of theirs by now.
        self._task = None
        waiting.response_complete = True
        answer = refuse(DeadlineExceeded(retry_after=1)) if task.cancelled() else task.result()
        if self._closing or self.transport.is_closing():
            return
        self._send(answer, own_id, keep_alive=waiting.keep_alive)
        if self.pipeline and not self.transport.is_closing():
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            if not self.pipeline:
                self.flow.resume_reading()

    def _send(self, answer: Answer, own_id: bytes, *, keep_alive: bool) -> None:
        self.server_state.total_requests += 1
        close = self._leaving or not keep_alive
        self.transport.write(write_as(answer, own_id, self.server_state.default_headers, close=close))
        if close:
            self.transport.close()
        self._rest()

    def _rest(self) -> None:
        """Wait for the next request; one that is arriving already keeps its deadline."""
        if not self._in_message or self._stopped:
            self.due = self.loop.time() + self._limits.idle

    def on_response_complete(self) -> None:
        """Wait for the next request, after one that the application has answered."""
        super().on_response_complete()
        # The door looks after idle connections. Another timer would keep all of one that was reset until it ends.
        self._unset_keepalive_if_required()
        self._rest()
        if self.pipeline:
            # Whoever sends faster than we answer is read no further: what waits here takes memory.
            self.flow.pause_reading()
        if self._leaving and not self.pipeline:
            self.transport.close()

    def shutdown(self) -> None:
        """Close now if nothing is under way; otherwise finish what is and close then."""
        self._leaving = True
        if not self._in_message and self._task is None:
            super().shutdown()
        elif not self._is_idle():
            self.cycle.keep_alive = False

    def overdue(self) -> None:
        """Cut off what takes too long: an idle connection silently, a slow sender with 408, a slow answer with 503."""
        if self._closing:
            self.transport.abort()
        elif self._in_message and not self._stopped:
            self._refuse(RequestTimeout())
        elif self._task is not None:
            self._task.cancel()
        elif self._is_read():
            self.due = self.loop.time() + self._limits.handler_time
        elif not self._is_idle():
            # The guard's deadline has long answered; then it is the client who does not read.
            self.transport.abort()
        else:
            self.transport.close()

    def _is_read(self) -> bool:
        """Tell whether a long answer is under way and its client has read some of it since this was asked last."""
        answering = self._answering
        if answering is None or not answering.response_started or answering.response_complete:
            return False
        # While writing is not paused, the next piece is being made, for which the guard has a deadline.
        return self._unread is None or self._unread.shrinks()

    def pause_writing(self) -> None:
        """Remember how much the client has still to read."""
        super().pause_writing()
        self._unread = Unread(self.transport)
        self._give_time()

    def resume_writing(self) -> None:
        """Give a client that reads its long answer more time for the rest of it."""
        super().resume_writing()
        self._unread = None
        self._give_time()

    def _give_time(self) -> None:
        if self._answering is not None and not self._answering.response_complete and not self._in_message:
            self.due = max(self.due, self.loop.time() + self._limits.handler_time)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Remember which request is being answered: `cycle` of the connection is the newest, which may have to wait."""
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, refusal: Refusal) -> None:
        """Say no to whatever this connection is saying, and close it, gently enough that the answer is read."""
        if self._closing or self._stopped:
            return
        own = self._in_message and self._handed
        if not self._is_idle() and not own:
            # An answer now would be taken for that of an earlier request, which is still being answered.
            self._stop_reading()
            return
        self._closing = True
        if not self._is_idle():
            cycle = self.cycle
            cycle.disconnected = True
            cycle.message_event.set()
            if getattr(cycle, "response_started", False):
                self.transport.abort()
                return
        if not self._has_answered():
            answer = refuse(refusal)
            own_id = request_id(dict(self.headers or ()).get(b"x-request-id"))
            stranger = Stranger(own_id.decode(), self.client[0] if self.client else "")
            self._lane.watch.saw(_UNREAD, answer.status, refusal.code, 0.0, stranger)
            self.transport.write(write_as(answer, own_id, self.server_state.default_headers, close=True))
        self.due = self.loop.time() + self._limits.linger
        if self.transport.can_write_eof():
            # Closing with unread input would reset the connection, and the answer might be lost with it.
            self.transport.write_eof()
        else:
            self.transport.close()

    def _has_answered(self) -> bool:
        """Tell whether the request that is still arriving was answered on its head alone: one request, one answer."""
        return self._in_message and self._handed and self._is_idle()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - our sentence is the same for everybody
        """Refuse what uvicorn itself objects to, in the one shape of every error."""
        self._refuse(BadRequest())
