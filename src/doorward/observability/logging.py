"""Structured logging: one JSON line per event, or text on a terminal. All redaction of secrets is here."""

import atexit
import contextlib
import logging
import logging.config
import logging.handlers
import os
import queue
import re
import select
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

_SECRET_NAMES = re.compile(
    r"passw|passphrase|pwd|secret|token|authorization|cookie|jwt_key|api.?key|doorward.?key|hash|credential",
    re.IGNORECASE,
)
# Tokens, password hashes, and bearer credentials, anywhere in a text.
_SECRET_TEXT = re.compile(
    r"eyJ[\w-]+\.[\w-]*\.?[\w-]*|\$(?:argon2\w*|2[abxy])\$\S+|dw_[\w-]{8,}|(?i:bearer|basic)\s+\S+|://[^/\s]+@"
)
_REDACTED = "[hidden]"
_MAX_QUEUED_LINES = 10_000
_FLUSH_SECONDS = 2.0
_WRITE_TIMEOUT_MS = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values whose name or form is that of a secret, at any depth (a structlog processor)."""
    event.update({name: _redacted(name, value) for name, value in event.items()})
    return event


def _redacted(name: object, value: object) -> object:
    if _SECRET_NAMES.search(str(name)):
        return _REDACTED
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _redacted(key, part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_redacted("", part) for part in value]
    return _SECRET_TEXT.sub(_REDACTED, value if isinstance(value, str) else repr(value))


def escape(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters, so that no text can forge a line or control a terminal (a structlog processor).

    Line ends of tracebacks stay. The JSON renderer escapes by itself.
    """
    for name, value in event.items():
        if isinstance(value, str):
            lines = value.split("\n") if name in {"exception", "stack"} else [value]
            event[name] = "\n".join(_CONTROL.sub(lambda found: ascii(found[0])[1:-1], line) for line in lines)
    return event


def configure(level: str, style: str) -> None:
    """Send every log line of this process to standard error; `style` is json, text or auto."""
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
        *(
            [escape, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
            if text
            else [structlog.processors.JSONRenderer()]
        ),
    ]
    formatter = {"()": structlog.stdlib.ProcessorFormatter, "foreign_pre_chain": shared, "processors": rendering}
    logging.raiseExceptions = False  # a full disk or a closed pipe loses log lines, never requests
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": formatter},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
            "loggers": {
                # The service logs starts and stops of workers itself.
                "uvicorn": {"level": "WARNING"},
                "uvicorn.error": {"level": "WARNING"},
                "uvicorn.access": {"level": "WARNING"},
            },
        }
    )


class _DroppingQueueHandler(logging.handlers.QueueHandler):
    """Passes lines to the writing thread; drops them while its queue is full."""

    lost = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            super().enqueue(record)
        except queue.Full:
            _DroppingQueueHandler.lost += 1

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # Unformatted, because it stays in this process: the formatter needs the parts.
        return record


class _TimeoutStream:
    """A file that is written only while it accepts data. After a timeout, writes no longer wait."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._poll = select.poll()
        self._poll.register(file, select.POLLOUT)
        self._timeout = _WRITE_TIMEOUT_MS
        self._mid_line = False

    def write(self, text: str) -> int:
        rest = text.encode(errors="backslashreplace")
        if self._mid_line:
            rest = b"\n" + rest
        while rest:
            if not self._poll.poll(self._timeout):
                self._timeout = 0
                raise BlockingIOError
            self._timeout = _WRITE_TIMEOUT_MS
            # A pipe that accepts data accepts this much at once (POSIX: PIPE_BUF).
            rest = rest[os.write(self._file, rest[: select.PIPE_BUF]) :]
            self._mid_line = bool(rest)
        return len(text)

    def flush(self) -> None:
        """Do nothing: no data is buffered."""


class _Writer(logging.handlers.QueueListener):
    def stop(self) -> None:
        """Write the remaining lines, unless that takes too long: the reader may be gone."""
        thread = self._thread
        if thread is None:
            return
        with contextlib.suppress(queue.Full):
            self.enqueue_sentinel()
        thread.join(_FLUSH_SECONDS)
        self._thread = None


_WRITERS: list[_Writer] = []


def log_in_background() -> None:
    """Write log lines in a thread of their own from now on, so that a blocked reader delays nothing else.

    Some thousand lines are queued; more are dropped.
    """
    root = logging.getLogger()
    lines: queue.Queue[logging.LogRecord] = queue.Queue(_MAX_QUEUED_LINES)
    for handler in root.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(_TimeoutStream(handler.stream.fileno()))
    writer = _Writer(lines, *root.handlers)
    root.handlers = [_DroppingQueueHandler(lines)]
    writer.start()
    _WRITERS.append(writer)
    atexit.register(writer.stop)


def flush() -> None:
    """Return when the queued lines are written, or after a timeout.

    For the end of a process: uvicorn exits by the signal that stopped it, and then no other code runs.
    """
    for writer in _WRITERS:
        writer.stop()
        writer.start()


def lines_lost() -> int:
    """Return the number of lines of this process that were dropped because the queue was full."""
    return _DroppingQueueHandler.lost
