"""Structured logs: one JSON line per event, or readable ones on a terminal. Redaction happens here and only here."""

import logging
import logging.config
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_NAMES = re.compile(r"passw|secret|token|authorization|cookie|jwt_key|hash|credential", re.IGNORECASE)
# Tokens, password hashes, and bearer credentials, wherever in a text they turn up.
_SECRET_TEXT = re.compile(
    r"eyJ[\w-]+\.[\w-]*\.?[\w-]*|\$(?:argon2\w*|2[abxy])\$\S+|dw_[\w-]{8,}|(?i:bearer|basic)\s+\S+|://[^/\s@]+@"
)
_HIDDEN = "[hidden]"


def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace whatever is named like a secret or looks like one (a structlog processor)."""
    for name, value in event.items():
        if _SECRET_NAMES.search(name):
            event[name] = _HIDDEN
        elif isinstance(value, str):
            event[name] = _SECRET_TEXT.sub(_HIDDEN, value)
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
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if text else structlog.processors.JSONRenderer(),
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
