"""What monitoring asks: numbers in Prometheus' text format, over all workers.

Nothing here is on the way of a request. The service counts in plain numbers; once a second, and before an answer, what
has been added since is handed on to the library, which puts the workers' numbers together.
"""

import os
import resource
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.types import ASGIApp, Receive, Scope, Send

from doorward import __version__
from doorward.core.durations import SECONDS, Durations
from doorward.core.passwords import Passwords
from doorward.http.errors import NotFound
from doorward.http.protocol import Door
from doorward.http.watch import Watch
from doorward.http.wire import Network, listed

PATH = "/metrics"
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_VERIFY = {"/auth/verify", "/tenant/verify", "/oauth/introspect", "/forward-auth"}
_LOGIN = {"/auth": "user", "/tenant/login": "tenant"}
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the numbers are counted."""

    watch: Watch
    passwords: Passwords
    doors: Sequence[Door]
    lines_lost: Callable[[], int]


@dataclass(slots=True)
class Metrics:
    """The numbers of one worker, and the text of all."""

    sources: Sources
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _told: dict[tuple[str, ...], float] = field(default_factory=dict)
    _counters: dict[str, Counter] = field(default_factory=dict)
    _gauges: dict[str, Gauge] = field(default_factory=dict)
    _durations: Histogram = field(init=False)
    _ticked: float = 0.0
    _lag: float = 0.0

    def __post_init__(self) -> None:
        """Declare everything, so that it is there from the first answer on."""
        for name, what, *labels in (
            ("doorward_http_requests", "Requests answered", "method", "route", "status"),
            ("doorward_refusals", "Requests refused, by the code of the error", "code"),
            ("doorward_verifications", "Questions about tokens, by what was answered", "outcome"),
            ("doorward_logins", "Logins, by whose and how they ended", "kind", "outcome"),
            ("doorward_password_hashes", "Passwords hashed"),
            ("doorward_log_lines_lost", "Log lines that nobody took"),
            ("doorward_process_cpu_seconds", "CPU time of the workers"),
        ):
            self._counters[name] = Counter(name, f"{what}.", labels, registry=self.registry)
        for name, what, mode in (
            ("doorward_connections", "Open connections.", "livesum"),
            ("doorward_hash_queue_length", "Passwords that wait for a thread.", "livesum"),
            ("doorward_process_resident_memory_bytes", "Memory of the workers.", "livesum"),
            (
                "doorward_event_loop_lag_seconds",
                "How late the slowest worker came to its work.",
                "livemax",
            ),
            ("doorward_workers", "Workers that serve.", "livesum"),
        ):
            self._gauges[name] = Gauge(name, what, registry=self.registry, multiprocess_mode=mode)  # type: ignore[arg-type]
        built = Gauge(
            "doorward_build_info", "The version.", ["version"], registry=self.registry, multiprocess_mode="max"
        )
        built.labels(__version__).set(1)
        self._durations = Histogram(
            "doorward_http_request_duration_seconds",
            "From the whole request to its answer, by lane.",
            ["lane"],
            buckets=SECONDS,
            registry=self.registry,
        )

    def tick(self, *, every: float) -> None:
        """Hand on what was counted. Called each `every` seconds, it sees how late the event loop is."""
        now = monotonic()
        self._lag = max(0.0, now - self._ticked - every) if self._ticked else 0.0
        self._ticked = now
        self.publish()

    def publish(self) -> None:
        """Hand on what was counted since the last time."""
        watch, passwords = self.sources.watch, self.sources.passwords
        for (asked, status, outcome), count in watch.answers.items():
            key = (asked.method, asked.route, asked.lane, str(status), outcome)
            added = self._added(("answers", *key), count)
            if not added:
                continue
            self._counters["doorward_http_requests"].labels(asked.method, asked.route, str(status)).inc(added)
            if outcome != "ok":
                self._counters["doorward_refusals"].labels(outcome).inc(added)
            if asked.route in _VERIFY:
                self._counters["doorward_verifications"].labels("active" if outcome == "ok" else outcome).inc(added)
            if asked.route in _LOGIN and asked.method == "POST":
                self._counters["doorward_logins"].labels(_LOGIN[asked.route], outcome).inc(added)
        for lane, durations in watch.durations.items():
            self._publish_durations(lane, durations)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        for name, total in (
            ("doorward_password_hashes", passwords.hashed),
            ("doorward_log_lines_lost", self.sources.lines_lost()),
            ("doorward_process_cpu_seconds", usage.ru_utime + usage.ru_stime),
        ):
            self._counters[name].inc(self._added((name,), total))
        self._gauges["doorward_connections"].set(sum(len(door.connections) for door in self.sources.doors))
        self._gauges["doorward_hash_queue_length"].set(passwords.waiting)
        self._gauges["doorward_process_resident_memory_bytes"].set(_resident())
        self._gauges["doorward_event_loop_lag_seconds"].set(self._lag)
        self._gauges["doorward_workers"].set(1)

    def text(self) -> bytes:
        """Return the numbers of all workers; those of the others are up to a second old."""
        self.publish()
        if _FOLDER not in os.environ:  # noqa: TID251 - the library's own way to tell its processes
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def _publish_durations(self, lane: str, durations: Durations) -> None:
        # The library takes one duration at a time, for more than a verification costs; its parts take a second's worth.
        histogram = self._durations.labels(lane)
        for place, bucket in enumerate(histogram._buckets):  # noqa: SLF001 - see above
            bucket.inc(self._added(("bucket", lane, str(place)), durations.counts[place]))
        histogram._sum.inc(self._added(("sum", lane), durations.total))  # noqa: SLF001 - likewise

    def _added(self, key: tuple[str, ...], total: float) -> float:
        before = self._told.get(key, 0)
        self._told[key] = total
        return total - before


class Exposition:
    """Answers /metrics to who comes over the listener for it, or from a listed address; for others it is not there."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, listeners: Sequence[Door], white_list: Sequence[Network]
    ) -> None:
        """Stand before `app`; `listeners` are the doors behind which there is nothing else."""
        self._app = app
        self._metrics = metrics
        self._listeners = listeners
        self._white_list = white_list

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        apart = any(scope["state"]["door"] is door for door in self._listeners)
        peer = scope["client"][0] if scope["client"] else ""
        asked = scope["method"] == "GET" and scope["path"] == PATH
        if asked and (apart or listed(peer, self._white_list)):
            scope["template"] = PATH
            body = self._metrics.text()
            headers = [(b"content-type", CONTENT_TYPE_LATEST.encode()), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        elif apart:
            raise NotFound(scope["method"], scope["path"])
        else:
            await self._app(scope, receive, send)


def share() -> None:
    """Let the processes that are started from now on put their numbers together."""
    os.environ[_FOLDER] = tempfile.mkdtemp(prefix="doorward-metrics-")  # noqa: TID251 - likewise


def forget(worker: int) -> None:
    """Take a worker that has ended out of what is true of the living; what it has counted stays counted."""
    mark_process_dead(worker)  # type: ignore[no-untyped-call]


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - it is read each second
        return int(file.read().split()[1]) * _PAGE
