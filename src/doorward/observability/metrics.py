"""Metrics in the Prometheus text format, over all workers.

No request waits for metrics. The service counts in plain numbers; once a second, and before a response, the increments
are passed to the library, which combines the workers' numbers.
"""

import os
import resource
import tempfile
from collections import Counter as CountOf
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from doorward import __version__
from doorward.core.histogram import BUCKETS, DurationHistogram
from doorward.core.passwords.pool import PasswordHasherPool
from doorward.observability.recorder import OK, RequestRecorder, RouteKey

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()
"""The media type of `Metrics.text`."""
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_VERIFICATIONS = {
    "/auth/verify": "verify",
    "/tenant/verify": "tenant_verify",
    "/oauth/introspect": "introspect",
    "/forward-auth": "forward_auth",
}
_LOGIN = {"/auth": "user", "/tenant/login": "tenant"}
_PAGE = os.sysconf("SC_PAGE_SIZE")

# With `_created` a service of one worker would expose a second series for each counter and histogram.
disable_created_metrics()  # type: ignore[no-untyped-call]


class DatabaseCounts(Protocol):
    """Counts of the database: entries stored in the audit log."""

    @property
    def audit_entries(self) -> int: ...  # noqa: D102 - the class says it

    def sample(self) -> None: ...  # noqa: D102 - times the next operation that is too fast to be timed each time


class SessionCounts(Protocol):
    """Counts of sessions: opened ones by kind, revoked ones by kind and way."""

    @property
    def opened(self) -> Mapping[str, int]: ...  # noqa: D102 - the class says it

    @property
    def revoked(self) -> Mapping[tuple[str, str], int]: ...  # noqa: D102 - likewise


class StoreMetrics(Protocol):
    """Counts of the stores. `meters`: by store, the durations of each operation, and the number of errors."""

    @property
    def database(self) -> DatabaseCounts: ...  # noqa: D102 - the class says it

    @property
    def sessions(self) -> SessionCounts: ...  # noqa: D102 - likewise

    @property
    def pool(self) -> Callable[[], tuple[int, int]]: ...  # noqa: D102 - connections in use, and the maximum

    @property
    def meters(self) -> Mapping[str, tuple[Mapping[str, DurationHistogram], int]]: ...  # noqa: D102 - the class says it


class OpenConnections(Protocol):
    """Open connections, and the number of closed ones by reason."""

    @property
    def connections(self) -> Collection[object]: ...  # noqa: D102 - the class says it

    @property
    def closed(self) -> CountOf[str]: ...  # noqa: D102 - likewise


@dataclass(frozen=True, slots=True)
class MetricSources:
    """The sources of the numbers."""

    recorder: RequestRecorder
    passwords: PasswordHasherPool
    store_metrics: StoreMetrics
    registries: Sequence[OpenConnections]
    lines_lost: Callable[[], int]


@dataclass(slots=True)
class Metrics:
    """The metrics of one worker, and the text of all workers."""

    sources: MetricSources
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _published: dict[tuple[str, ...], float] = field(default_factory=dict)
    _counters: dict[str, Counter] = field(default_factory=dict)
    _gauges: dict[str, Gauge] = field(default_factory=dict)
    _histograms: dict[str, Histogram] = field(default_factory=dict)
    _last_tick: float = 0.0
    _lag: float = 0.0

    def __post_init__(self) -> None:
        """Declare every metric, so that it is in the first response."""
        for name, text, *labels in (
            ("doorward_http_requests", "Responses", "method", "route", "status"),
            ("doorward_refusals", "Error responses by error code", "code"),
            ("doorward_verifications", "Token verifications by endpoint and result", "question", "outcome"),
            ("doorward_logins", "Login attempts by kind (user or tenant) and outcome", "kind", "outcome"),
            ("doorward_password_hashes", "Passwords hashed"),
            ("doorward_sessions_opened", "Sessions opened, by kind of owner", "kind"),
            (
                "doorward_sessions_ended",
                "Revocations of one session or of all sessions of an owner, by kind of owner and way",
                "kind",
                "how",
            ),
            ("doorward_audit_entries", "Entries stored in the audit log"),
            ("doorward_store_errors", "Failed operations of stores", "store"),
            ("doorward_connections_closed", "Connections closed by a limit", "reason"),
            ("doorward_log_lines_lost", "Log lines dropped because standard error was not read fast enough"),
            ("doorward_process_cpu_seconds", "CPU time of the workers"),
        ):
            self._counters[name] = Counter(name, f"{text}.", labels, registry=self.registry)
        for name, text, mode in (
            ("doorward_connections", "Open connections.", "livesum"),
            ("doorward_hash_queue_length", "Passwords waiting for a hashing thread.", "livesum"),
            ("doorward_hash_threads_in_use", "Threads hashing a password.", "livesum"),
            ("doorward_database_pool_in_use", "PostgreSQL connections in use.", "livesum"),
            ("doorward_database_pool_size", "Maximum number of PostgreSQL connections.", "livesum"),
            ("doorward_process_resident_memory_bytes", "Resident memory of the workers in bytes.", "livesum"),
            (
                "doorward_event_loop_lag_seconds",
                "Event loop lag of the slowest worker in seconds.",
                "livemax",
            ),
            ("doorward_workers", "Live workers.", "livesum"),
        ):
            self._gauges[name] = Gauge(name, text, registry=self.registry, multiprocess_mode=mode)  # type: ignore[arg-type]
        built = Gauge(
            "doorward_build_info",
            "Version of the service.",
            ["version"],
            registry=self.registry,
            multiprocess_mode="max",
        )
        built.labels(__version__).set(1)
        for name, text, *labels in (
            (
                "doorward_http_request_duration_seconds",
                "Time from the complete request to its response in seconds, by lane",
                "lane",
            ),
            ("doorward_store_duration_seconds", "Duration of store operations in seconds", "store", "operation"),
            ("doorward_hash_wait_seconds", "Time that passwords waited for a hashing thread in seconds"),
        ):
            self._histograms[name] = Histogram(name, f"{text}.", labels, buckets=BUCKETS, registry=self.registry)

    def tick(self, *, every: float) -> None:
        """Publish the counts. Called every `every` seconds, it measures the lag of the event loop."""
        now = monotonic()
        self._lag = max(0.0, now - self._last_tick - every) if self._last_tick else 0.0
        self._last_tick = now
        self.sources.store_metrics.database.sample()
        self.publish()

    def publish(self) -> None:
        """Publish the counts since the last call."""
        recorder, passwords, store_metrics = self.sources.recorder, self.sources.passwords, self.sources.store_metrics
        for (key, status, outcome), count in recorder.responses.items():
            self._publish_responses(key, status, outcome, count)
        for lane, durations in recorder.durations.items():
            self._publish_durations("doorward_http_request_duration_seconds", durations, lane)
        for store, (operations, errors) in store_metrics.meters.items():
            for operation, durations in operations.items():
                self._publish_durations("doorward_store_duration_seconds", durations, store, operation)
            self._count("doorward_store_errors", errors, store)
        for kind, opened in store_metrics.sessions.opened.items():
            self._count("doorward_sessions_opened", opened, kind)
        for (kind, how), ended in store_metrics.sessions.revoked.items():
            self._count("doorward_sessions_ended", ended, kind, how)
        for reason, closed in sum(
            (connections.closed for connections in self.sources.registries), CountOf[str]()
        ).items():
            self._count("doorward_connections_closed", closed, reason)
        self._publish_durations("doorward_hash_wait_seconds", passwords.waits)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._count("doorward_password_hashes", passwords.hashed)
        self._count("doorward_audit_entries", store_metrics.database.audit_entries)
        self._count("doorward_log_lines_lost", self.sources.lines_lost())
        self._count("doorward_process_cpu_seconds", usage.ru_utime + usage.ru_stime)
        in_use, size = store_metrics.pool()
        for name, value in (
            ("doorward_connections", sum(len(listener.connections) for listener in self.sources.registries)),
            ("doorward_hash_queue_length", passwords.waiting),
            ("doorward_hash_threads_in_use", passwords.busy_slots),
            ("doorward_database_pool_in_use", in_use),
            ("doorward_database_pool_size", size),
            ("doorward_process_resident_memory_bytes", _resident()),
            ("doorward_event_loop_lag_seconds", self._lag),
            ("doorward_workers", 1),
        ):
            self._gauges[name].set(value)

    def text(self) -> bytes:
        """Return the metrics of all workers; those of the others are up to a second old."""
        self.publish()
        if _FOLDER not in os.environ:  # noqa: TID251 - the library's own switch for several processes
            return generate_latest(self.registry)
        combined = CollectorRegistry()
        MultiProcessCollector(combined)  # type: ignore[no-untyped-call]
        return generate_latest(combined)

    def _publish_responses(self, key: RouteKey, status: int, outcome: str, count: int) -> None:
        added = self._added(("answers", key.method, key.route, key.lane, str(status), outcome), count)
        if not added:
            return
        self._counters["doorward_http_requests"].labels(key.method, key.route, str(status)).inc(added)
        if status >= HTTPStatus.BAD_REQUEST:
            self._counters["doorward_refusals"].labels(outcome).inc(added)
        if key.route in _VERIFICATIONS:
            result = "active" if outcome == OK else outcome
            self._counters["doorward_verifications"].labels(_VERIFICATIONS[key.route], result).inc(added)
        if key.route in _LOGIN and key.method == "POST":
            self._counters["doorward_logins"].labels(_LOGIN[key.route], outcome).inc(added)

    def _count(self, name: str, total: float, *labels: str) -> None:
        counter = self._counters[name]
        (counter.labels(*labels) if labels else counter).inc(self._added((name, *labels), total))

    def _publish_durations(self, name: str, durations: DurationHistogram, *labels: str) -> None:
        # The library observes one duration at a time, which costs more than a verification; its parts take sums.
        histogram = self._histograms[name].labels(*labels) if labels else self._histograms[name]
        for index, bucket in enumerate(histogram._buckets):  # noqa: SLF001 - see above
            bucket.inc(self._added((name, *labels, str(index)), durations.counts[index]))
        histogram._sum.inc(self._added((name, *labels, "sum"), durations.total))  # noqa: SLF001 - likewise

    def _added(self, key: tuple[str, ...], total: float) -> float:
        previous = self._published.get(key, 0)
        self._published[key] = total
        return total - previous


def share() -> None:
    """Let processes that start from now on combine their metrics."""
    os.environ[_FOLDER] = tempfile.mkdtemp(prefix="doorward-metrics-")  # noqa: TID251 - likewise


def forget(worker: int) -> None:
    """Remove a worker that has exited from the gauges; its counters stay."""
    mark_process_dead(worker)  # type: ignore[no-untyped-call]


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - it is read each second
        return int(file.read().split()[1]) * _PAGE
