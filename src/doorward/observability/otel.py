"""Traces with the OpenTelemetry SDK; the only module that imports it.

A span has the template of the path and the status. It contains nothing else of a request. Of the client's
trace headers only `traceparent` is used, which has a fixed form; `tracestate` can contain any text.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http import HTTPStatus

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from doorward import __version__

_EXPORT_SECONDS = 5.0
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Span:
    """The span of a request."""

    def __init__(self, span: trace.Span, method: str) -> None:
        self._span = span
        self._method = method

    def finish(self, route: str, status: int) -> None:
        """See `doorward.observability.tracing.Span`."""
        if route:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(trace.StatusCode.ERROR)


class OpenTelemetry:
    """Creates and exports spans (see `doorward.observability.tracing.Traces`)."""

    def __init__(self) -> None:
        """Export to the collector that the library's variables name."""
        resource = Resource({"service.name": "doorward", "service.version": __version__})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("doorward", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, method: str, headers: Mapping[bytes, bytes]) -> Iterator[_Span]:
        """See `doorward.observability.tracing.Tracer`."""
        parent = headers.get(b"traceparent", b"").decode("latin-1")
        method = method if method in _METHODS else "_OTHER"
        with self._tracer.start_as_current_span(
            method if method != "_OTHER" else "HTTP",
            self._propagator.extract({"traceparent": parent}),
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": method},
            # The text of an exception may contain anything.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield _Span(span, method)

    def store(self, store: str, operation: str) -> AbstractContextManager[object]:
        """See `doorward.observability.tracing.Traces`. Operations outside of a traced request have no span."""
        if not trace.get_current_span().is_recording():
            return nullcontext()
        return self._tracer.start_as_current_span(
            f"{operation} {store}",
            kind=trace.SpanKind.CLIENT,
            attributes={"db.system.name": store, "db.operation.name": operation},
            record_exception=False,
        )

    async def close(self) -> None:
        """See `doorward.observability.tracing.Traces`."""
        # In a daemon thread: the library waits half a minute for an unavailable collector.
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=stop, name="traces-shutdown", daemon=True).start()
        try:
            await asyncio.wait_for(done.wait(), _EXPORT_SECONDS)
        except TimeoutError:
            return
