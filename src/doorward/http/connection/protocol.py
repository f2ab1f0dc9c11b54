"""HTTP/1.1 connection: sends the responses of the fast path and of the application in order, and errors."""

import asyncio
import fcntl
import logging
import sys
import termios
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from doorward.core.errors import Refusal
from doorward.http.api.endpoint import Endpoint
from doorward.http.connection.eager_task import PendingResult, run_eagerly
from doorward.http.connection.parser import RequestParser
from doorward.http.connection.registry import SILENT, SLOW, UNREAD, Connection
from doorward.http.errors import (
    BadRequest,
    DeadlineExceeded,
    NotImplementedHere,
    RequestTimeout,
    TooManyConnections,
)
from doorward.http.headers import accept_request_id, headers_by_name
from doorward.http.request import Request, UnparsedRequest
from doorward.http.response import Response, error_response, serialize_response
from doorward.observability.recorder import RouteKey

log = logging.getLogger(__name__)

_UNPARSED = RouteKey("other", "", "protocol")


class _PendingCycle:
    """Cycle of a request on the fast path that waits for a store: uvicorn queues later requests behind it."""

    # One event for all, since no coroutine waits for the body of a request that has arrived completely.
    message_event = asyncio.Event()
    more_body = False
    disconnected = False
    response_complete = False

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive


class DoorwardProtocol(RequestParser):
    """One connection. `handshake` is its entry in the registry during the TLS handshake."""

    handshake: Connection | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take uvicorn's arguments."""
        super().__init__(*args, **kwargs)
        self._fast_path = self._registry.fast_path
        self._shutting_down = False
        self._endpoint: Endpoint | None = None
        self._headers: dict[bytes, bytes] = {}
        self._task: PendingResult[Response] | None = None
        self._task_deadline = 0.0
        self._responding: RequestResponseCycle | None = None
        self._unsent: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or reject it where the limit on connections is reached."""
        super().connection_made(transport)
        now = self.loop.time()
        self.deadline = now + self._limits.first_byte
        if self.handshake is not None:
            self._registry.unregister(self.handshake)
        if not self._registry.register(self, self.client[0] if self.client else "", now):
            if self._registry.is_full():
                self.evict()
            else:
                self._send_error(TooManyConnections(retry_after=1))

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection. A request that is being processed continues."""
        self._registry.unregister(self)
        self._closing = True
        super().connection_lost(exc)

    def _stop_reading(self) -> None:
        """Respond to the requests that have arrived, close with the last response, and process no other request."""
        self._reading_stopped = True
        self.cycle.keep_alive = False
        self.deadline = self.loop.time() + self._limits.handler_time

    def on_headers_complete(self) -> None:
        """Check the head, and choose the fast path or the application."""
        self._in_head = False
        self.deadline = self._now + self._limits.body_time
        parser = self.parser
        headers = headers_by_name(self.headers)
        cycle: Any = self.cycle
        # A client that does not read its responses takes the slow path, which stops reading its requests.
        if (
            (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and parser.get_http_version() == "1.1"
        ):
            endpoint = self._fast_path.match(parser.get_method(), self.url, headers, len(self.headers))
            if endpoint is not None:
                self._endpoint = endpoint
                self._headers = headers
                self._body = []
                return
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                self._reject(NotImplementedHere())
            return
        self._begin_cycle(headers)
        super().on_headers_complete()
        self._in_application = True
        if self._shutting_down:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Respond on the fast path, or hand the complete request to the application."""
        self._in_message = False
        self.deadline = self._now + self._limits.handler_time
        endpoint = self._endpoint
        if endpoint is None or self._body is None:
            if not self.parser.should_upgrade():
                self._is_chunked = False
                super().on_message_complete()
            return
        body = b"".join(self._body)
        self._endpoint = self._body = None
        keep_alive = self.parser.should_keep_alive()
        request_id = accept_request_id(self._headers.get(b"x-request-id"))
        request = Request(
            self._headers,
            body,
            self.client[0] if self.client else "",
            self._fast_path.proxies,
            required_permission=endpoint.permission,
            request_id=request_id.decode(),
        )
        work = self._fast_path.respond(endpoint, request)
        response: Response | None = None
        task: PendingResult[Response] | None = None
        if self._fast_path.is_eager:
            response, task = run_eagerly(work, self.loop)
        else:
            task = self.loop.create_task(work)
        if response is not None:
            self._send(response, request_id, keep_alive=keep_alive)
        elif task is not None:
            if endpoint.hashes_password:
                self.deadline += self._limits.hash_queue_time
            self._task_deadline = self.deadline
            pending = _PendingCycle(keep_alive=keep_alive)
            self.cycle = pending  # type: ignore[assignment]
            self._task = task
            task.add_done_callback(partial(self._finish, request_id=request_id, pending=pending))

    def _finish(self, task: PendingResult[Response], *, request_id: bytes, pending: _PendingCycle) -> None:
        # Requests that arrived meanwhile wait in the pipeline, so `cycle` may belong to one of them.
        self._task = None
        pending.response_complete = True
        response = error_response(DeadlineExceeded(retry_after=1)) if task.cancelled() else task.result()
        if self._closing or self.transport.is_closing():
            return
        self._send(response, request_id, keep_alive=pending.keep_alive)
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            if not self.pipeline:
                self.flow.resume_reading()

    def _send(self, response: Response, request_id: bytes, *, keep_alive: bool) -> None:
        self.server_state.total_requests += 1
        # During shutdown, the last of several pipelined requests closes the connection.
        close = not keep_alive or (self._shutting_down and not self.pipeline)
        self.transport.write(serialize_response(response, request_id, self.server_state.default_headers, close=close))
        if close:
            self.transport.close()
        # A request that is arriving already has its own deadline.
        if not self._in_message or self._reading_stopped:
            self.deadline = self.loop.time() + self._limits.idle

    def on_response_complete(self) -> None:
        """Wait for the next request after a response of the application."""
        if self._responding is not None:
            # A body that no handler has read, such as that of an unauthenticated caller.
            self._responding.body = bytearray()
        super().on_response_complete()
        # The registry checks idle connections. A second timer would hold the memory of a reset connection until it
        # expires.
        self._unset_keepalive_if_required()
        if not self._in_message or self._reading_stopped:
            self.deadline = self.loop.time() + self._limits.idle
        if self.pipeline:
            # Waiting requests take memory, so a client that sends faster than it is served is not read further.
            self.flow.pause_reading()

    def shutdown(self) -> None:
        """Close the connection now if it is idle; otherwise close it after the requests that have arrived."""
        self._shutting_down = True
        if not self._in_message and self._task is None:
            super().shutdown()
        elif not self._has_responded():
            self.cycle.keep_alive = False

    def is_silent(self) -> bool:
        """Return whether the client has sent nothing so far, or nothing more is read from it."""
        return self._closing or not self._now

    def is_idle(self) -> bool:
        """Return whether no request is being received or processed, so that closing loses nothing."""
        return not self._in_message and self._task is None and self._has_responded()

    def evict(self) -> None:
        """Close the connection now, in favor of another one."""
        self._closing = True
        self.transport.abort()

    def on_timeout(self) -> None:
        """Close an idle connection, send 408 to a slow client, and cancel a slow handler, which becomes a 503."""
        if self._closing:
            self.transport.abort()
        elif self._in_message and not self._reading_stopped:
            self._registry.closed[SLOW] += 1
            self._send_error(RequestTimeout())
        elif (handler_deadline := self._handler_deadline()) > self.loop.time():
            # The deadline was that of a later request, or of one with less time.
            self.deadline = handler_deadline
        elif self._task is not None:
            self._task.cancel()
        elif self._is_response_read():
            self.deadline = self.loop.time() + self._limits.handler_time
        elif not self._has_responded():
            # The middleware's deadline is over and its response is under way: the client does not read it.
            self._registry.closed[UNREAD] += 1
            self.transport.abort()
        else:
            self._registry.closed[SILENT] += self.is_silent()
            self.transport.close()

    def _has_responded(self) -> bool:
        """Return whether every request whose head has arrived has its response; `cycle` is that of the newest."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def _has_responded_early(self) -> bool:
        """Return whether the request that is arriving has its response already, which is the only one it gets."""
        return self._in_message and self._in_application and self._has_responded()

    def _handler_deadline(self) -> float:
        """Return the deadline of the handler that is running; 0 where none is running, or it has no deadline now."""
        if self._task is not None:
            return self._task_deadline
        responding: Any = self._responding
        timeout = responding.scope.get("deadline") if responding else None
        deadline = timeout.when() if timeout else None
        # The middleware has a second to send its error first.
        return deadline + 1 if deadline is not None and not self._has_responded() else 0.0

    def _is_response_read(self) -> bool:
        """Return whether a long response is under way and the client has read some of it since the last call."""
        responding = self._responding
        if responding is None or not responding.response_started or responding.response_complete:
            return False
        if self._unsent is None:
            # Writing is not paused, so the handler makes the next piece, for which the middleware has a deadline.
            return True
        before, self._unsent = self._unsent, _unsent_bytes(self.transport)
        return self._unsent < before

    def pause_writing(self) -> None:
        """Note the number of bytes that the client has not read."""
        super().pause_writing()
        self._unsent = _unsent_bytes(self.transport)
        self._extend_deadline()

    def resume_writing(self) -> None:
        """Extend the deadline of a client that reads its long response."""
        super().resume_writing()
        self._unsent = None
        self._extend_deadline()

    def _extend_deadline(self) -> None:
        if self._responding is not None and not self._responding.response_complete and not self._in_message:
            self.deadline = max(self.deadline, self.loop.time() + self._limits.handler_time)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Note the request that is being processed; `self.cycle` is the newest one, which may wait in the pipeline."""
        self._responding = cycle
        super()._start_asgi_task(cycle, app)

    def _send_error(self, refusal: Refusal) -> None:
        """Send an error and close the connection in a way that lets the client read it."""
        if self._closing or self._reading_stopped:
            return
        if not self._has_responded() and not (self._in_message and self._in_application):
            # The client would take an error for the response to an earlier request, which is still being processed.
            self._stop_reading()
            return
        self._closing = True
        if not self._has_responded():
            cycle = self.cycle
            cycle.disconnected = True
            cycle.message_event.set()
            if getattr(cycle, "response_started", False):
                self.transport.abort()
                return
        if not self._has_responded_early():
            response = error_response(refusal)
            headers = self.headers or ()
            request_id = accept_request_id(dict(headers).get(b"x-request-id"))
            peer = self.client[0] if self.client else ""
            sender = UnparsedRequest(request_id.decode(), peer, headers, self._fast_path.proxies)
            self._fast_path.recorder.record(_UNPARSED, response.status, refusal.code, 0.0, sender)
            self.transport.write(
                serialize_response(response, request_id, self.server_state.default_headers, close=True)
            )
        self.deadline = self.loop.time() + self._limits.linger
        if self.transport.can_write_eof():
            # Closing a socket with unread input resets the connection, and the client could lose the response.
            self.transport.write_eof()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - every client gets the same sentence
        """Send the error of a request that uvicorn rejects."""
        self._send_error(BadRequest())


def _unsent_bytes(transport: asyncio.Transport) -> int:
    """Return the number of bytes written that the client's machine has not acknowledged."""
    # The kernel buffers megabytes and takes more only when much of that is gone. So the transport's own buffer can
    # keep its size for a while although the client reads.
    queued = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    return transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)
