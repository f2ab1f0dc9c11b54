"""Structured logs: one JSON line per event, or readable ones on a terminal. Redaction happens here and only here."""

import logging
import logging.config
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

_SECRET_NAMES = re.compile(
    r"passw|passphrase|pwd|secret|token|authorization|cookie|jwt_key|api.?key|doorward.?key|hash|credential",
    re.IGNORECASE,
)
# Tokens, password hashes, and bearer credentials, wherever in a text they turn up.
_SECRET_TEXT = re.compile(
    r"eyJ[\w-]+\.[\w-]*\.?[\w-]*|\$(?:argon2\w*|2[abxy])\$\S+|dw_[\w-]{8,}|(?i:bearer|basic)\s+\S+|://[^/\s]+@"
)
_HIDDEN = "[hidden]"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace whatever is named like a secret or looks like one, however deep it lies (a structlog processor)."""
    event.update({name: _redacted(name, value) for name, value in event.items()})
    return event


def _redacted(name: object, value: object) -> object:
    if _SECRET_NAMES.search(str(name)):
        return _HIDDEN
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _redacted(key, part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_redacted("", part) for part in value]
    return _SECRET_TEXT.sub(_HIDDEN, value if isinstance(value, str) else repr(value))


def escape(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters, so that no text can forge a line or steer a terminal (a structlog processor).

    Tracebacks keep their line ends. JSON needs none of this, it escapes by itself.
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
    last: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
        *(
            [escape, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
            if text
            else [structlog.processors.JSONRenderer()]
        ),
    ]
    formatter = {"()": structlog.stdlib.ProcessorFormatter, "foreign_pre_chain": shared, "processors": last}
    logging.raiseExceptions = False  # a full disk or a closed pipe loses log lines, never requests
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": formatter},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
            "loggers": {
                # Our own lines say when a worker starts and stops; uvicorn's would say it again.
                "uvicorn": {"level": "WARNING"},
                "uvicorn.error": {"level": "WARNING"},
                "uvicorn.access": {"level": "WARNING"},
            },
        }
    )
