"""Selection of tracing: whether it is enabled, and the interfaces of tracers. Imports the extra `otel` only then.

The variables of the OpenTelemetry specification configure it.
"""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

log = logging.getLogger(__name__)

_ENABLING_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SUPPORTED_PROTOCOL = "http/protobuf"


class Span(Protocol):
    """The span of one request."""

    def finish(self, route: str, status: int) -> None:
        """Record the response; `route` is the template of the path, "" for none."""
        ...


class Tracer(Protocol):
    """Creates spans."""

    def request(self, method: str, headers: Mapping[bytes, bytes]) -> AbstractContextManager[Span]:
        """Return the span of a request, which continues the trace of its headers (W3C Trace Context)."""
        ...


class Traces(Tracer, Protocol):
    """Creates spans and exports them to a collector, in a thread of its own."""

    @property
    def store(self) -> Callable[[str, str], AbstractContextManager[object]]:
        """Return the context of an operation, given a store and the operation."""
        ...

    async def close(self) -> None:
        """Export the remaining spans, for at most some seconds, and stop."""
        ...


def start_tracing(variables: Mapping[str, str]) -> Traces | None:
    """Return the tracer if the variables enable tracing and the library is installed, else None.

    Where tracing is enabled and cannot start, the reason is logged and the service runs without it.
    """
    if not _is_enabled(variables):
        return None
    protocol = next((variables[name] for name in _PROTOCOLS if variables.get(name)), _SUPPORTED_PROTOCOL)
    exporter = variables.get("OTEL_TRACES_EXPORTER") or "otlp"
    if exporter != "otlp" or protocol != _SUPPORTED_PROTOCOL:
        log.warning(
            "no traces: the exporter has to be otlp, and its protocol http/protobuf; set OTEL_TRACES_EXPORTER and "
            "OTEL_EXPORTER_OTLP_PROTOCOL accordingly"
        )
        return None
    os.environ.update(variables)  # noqa: TID251 - the library reads nothing else
    try:
        from doorward.observability import otel  # noqa: PLC0415 - imported only where tracing is enabled
    except ImportError:
        log.warning(
            "no traces: OTEL_* enables them, but the OpenTelemetry library is not installed; "
            "run pip install 'doorward[otel]' or use an image built with EXTRAS=otel"
        )
        return None
    try:
        return otel.OpenTelemetry()
    except Exception as error:  # noqa: BLE001 - the library raises many kinds of errors for invalid variables
        log.warning("no traces: the OpenTelemetry library rejects the OTEL_* variables", extra={"reason": repr(error)})
        return None


def _is_enabled(variables: Mapping[str, str]) -> bool:
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true" or variables.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(variables.get(name) for name in _ENABLING_VARIABLES)
