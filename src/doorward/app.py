"""Composition root of the service: settings in, an ASGI application out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from starlette.types import ASGIApp

from doorward.core.clock import ClockStepDetector, monotonic_clock, system_clock
from doorward.core.memory import prepare_to_serve
from doorward.core.passwords.hashing import Argon2Parameters
from doorward.core.ports import Clock
from doorward.core.rate_limits.limiter import RateLimiter, alias_keys
from doorward.core.tokens.codec import Codec
from doorward.http.api.reference.openapi import describe
from doorward.http.api.router import build_router
from doorward.http.api.routes import FAST_PATH, PATHS
from doorward.http.client_address import Proxies
from doorward.http.connection.fast_path import FastPath
from doorward.http.connection.registry import ConnectionLimits, ConnectionRegistry
from doorward.http.connection.traced import TracedApp, traced
from doorward.http.large_bodies import BodyMemory
from doorward.http.metrics_endpoint import MetricsEndpoint
from doorward.http.middleware import HostAndOriginPolicy, RequestMiddleware
from doorward.observability import logging as logs
from doorward.observability import tracing
from doorward.observability.metrics import Metrics, MetricSources
from doorward.observability.recorder import RequestRecorder
from doorward.observability.tracing import Traces
from doorward.operations.master_keys import KeyFile, WorkerRegistration
from doorward.runtime.cpu import available_cores, possible_connections
from doorward.runtime.lifespan import Lifespan, PeriodicTask, run_logged
from doorward.services import Wiring, build_services
from doorward.settings import Settings
from doorward.settings.sources import telemetry
from doorward.settings.values import origin_of
from doorward.stores import Stores, select_stores

log = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_FLUSH_SECONDS = 2.0
_URGENT_SECONDS = 0.05
_SWEEP_SECONDS = 30.0
_REST_SECONDS = 3.0
_WATCH_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Overrides:
    """Replacements for tests: the clocks, the cost of a password hash, the limits of connections."""

    clock: Clock = system_clock
    monotonic: Clock = monotonic_clock
    hashing: Argon2Parameters | None = None
    limits: ConnectionLimits | None = None


def build(settings: Settings, overrides: Overrides | None = None, traces: Traces | None = None) -> ASGIApp:
    """Return the application. It opens its stores when it starts and closes them when it stops (ASGI lifespan).

    With `traces`, every request is traced.
    """
    overrides = overrides or Overrides()
    clock = overrides.clock
    stores = select_stores(settings, clock, traces.store if traces else None)
    services = build_services(
        settings,
        stores,
        {kid: key.encode() for kid, key in settings.with_master_key()},
        wiring=Wiring(
            clock=clock,
            monotonic=overrides.monotonic,
            hashing=overrides.hashing,
            hash_threads=settings.hash_threads or _hash_threads(settings.workers),
        ),
        descriptions=describe() if settings.docs == "on" else None,
    )
    clock_steps = ClockStepDetector(clock, overrides.monotonic, _log_clock_step)
    services.codec.follow_clock(clock_steps.since)
    activity, passwords = services.activity, services.passwords
    policy = _policy(settings)
    proxies = Proxies(settings.trusted_proxies)
    recorder = RequestRecorder(settings.access_log)
    fast_path = FastPath(FAST_PATH, services, proxies, policy, recorder)
    connections = ConnectionRegistry(
        traced(fast_path, traces) if traces else fast_path,
        overrides.limits or _limits(settings),
        PATHS.body_limits,
    )

    body_memory = BodyMemory()
    metrics_connections = ConnectionRegistry(FastPath({}, services, proxies, policy, recorder), connections.limits)
    registries = [connections, metrics_connections]
    metrics = _metrics(settings, MetricSources(recorder, passwords, stores.metrics, registries, logs.lines_lost))

    async def tick() -> None:
        if metrics:
            metrics.tick(every=_TICK_SECONDS)

    follow_keys, unregister = _follow_key_file(KeyFile.of(settings), services.codec, services.rate_limits)

    async def begin() -> None:
        await _open(stores, clock)
        for registry in registries:
            registry.open(asyncio.get_running_loop())
        follow_keys()

    async def end() -> None:
        await run_logged(lambda: activity.flush(everything=True), task="write_activity")
        await run_logged(lambda: stores.probes.write(clock()), task="write_probe")
        unregister()
        for registry in registries:
            registry.close()
        passwords.close()
        await _close(stores, traces)

    tasks = (
        PeriodicTask("publish_metrics", _TICK_SECONDS, tick),
        PeriodicTask("check_clock", _TICK_SECONDS, _background_task(clock_steps.check)),
        PeriodicTask("write_activity", _FLUSH_SECONDS, activity.flush),
        PeriodicTask("write_urgent_activity", _URGENT_SECONDS, activity.flush_urgent),
        PeriodicTask("sweep_stores", _SWEEP_SECONDS, _sweeping(stores, clock, clock_steps, settings.audit_retention)),
        PeriodicTask("index_logins", _SWEEP_SECONDS, stores.index_logins),
        PeriodicTask("release_hash_memory", _REST_SECONDS, passwords.release_memory),
        PeriodicTask("release_body_memory", _REST_SECONDS, body_memory.release),
        PeriodicTask("follow_key_file", _WATCH_SECONDS, _background_task(follow_keys)),
    )
    router = build_router(
        services,
        proxies,
        body_memory,
        docs=settings.docs == "on",
        hash_queue_seconds=settings.hash_queue_timeout / 1000,
    )
    router.lifespan_context = Lifespan(
        begin, tasks, end, {"connections": connections, "metrics": metrics_connections}
    ).lifespan
    inner: ASGIApp = router
    if metrics:
        inner = MetricsEndpoint(router, metrics, [metrics_connections], settings.metrics_white_list, proxies)
    middleware = RequestMiddleware(inner, policy, PATHS, recorder=recorder, proxies=proxies)
    return TracedApp(middleware, traces) if traces else middleware


def from_environment() -> ASGIApp:
    """Return the application that the environment configures; every worker process calls this."""
    prepare_to_serve()
    settings = Settings.read()
    logs.configure(settings.log_level, settings.log_format)
    logs.log_in_background()
    return build(settings, traces=tracing.start_tracing(telemetry()))


def _sweeping(
    stores: Stores, clock: Clock, clock_steps: ClockStepDetector, retention: int
) -> Callable[[], Awaitable[None]]:
    async def sweep() -> None:
        # A clock that was set far forward may be set back: what has expired by it is rejected, but not removed yet.
        if clock_steps.is_settled():
            await stores.sweep(clock, audit_retention=retention)

    return sweep


async def _open(stores: Stores, clock: Clock) -> None:
    await stores.open()
    await stores.accounts.forget_user_counts()
    await run_logged(lambda: _report_clock_step(stores, clock), task="check_clock")


async def _report_clock_step(stores: Stores, clock: Clock) -> None:
    """Log whether the clock was set back while no process of the service ran; store the time for the next start."""
    step = await stores.probes.claim_step(clock())
    if step:
        _log_clock_step(-step)
    await stores.probes.write(clock())


def _log_clock_step(by: int) -> None:
    seconds = abs(by) / 1000
    if by < 0:
        log.warning("the clock was set back; stored times that lie ahead no longer count", extra={"seconds": seconds})
    else:
        log.warning("the clock was set forward; nothing expired is removed for an hour", extra={"seconds": seconds})


def _metrics(settings: Settings, sources: MetricSources) -> Metrics | None:
    return Metrics(sources) if settings.metrics_port is not None or settings.metrics_white_list else None


async def _close(stores: Stores, traces: Traces | None) -> None:
    await stores.close()
    if traces:
        await traces.close()


def _policy(settings: Settings) -> HostAndOriginPolicy:
    own_origins = [origin_of(settings.public_url)] if settings.public_url else []
    return HostAndOriginPolicy(
        frozenset(settings.allowed_hosts),
        frozenset(origin.encode() for origin in settings.cors_origins),
        frozenset(origin.encode() for origin in own_origins),
    )


def _follow_key_file(
    file: KeyFile | None, codec: Codec, rate_limits: RateLimiter
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a function that loads the master keys if their file changed, and one that ends the registration."""
    if file is None:
        return _no_reload, _no_reload
    registration = WorkerRegistration(file.folder)

    def follow() -> None:
        keys = file.changed()
        if keys is None:
            return
        masters = {kid: key.encode() for kid, key in keys}
        codec.replace_keys(masters)
        rate_limits.replace_keys(alias_keys(masters.values()))
        # With an operator's key file there may be no folder to register in; then only the log names this worker's keys.
        with suppress(OSError) if file.given else nullcontext():
            registration.publish(keys)
        log.info("master keys loaded", extra={"signs": keys[0][0], "known": ",".join(kid for kid, _ in keys)})

    codec.on_unknown_key(follow)
    return follow, registration.close


def _no_reload() -> None:
    """Do nothing: the keys come from JWT_KEY, which is read once."""


def _background_task(task: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        task()

    return run


def _limits(settings: Settings) -> ConnectionLimits:
    connections = possible_connections(settings.max_connections)
    share = settings.max_connections_per_address or max(1, connections // 2)
    return ConnectionLimits(
        max_connections=connections, max_per_address=share, hash_queue_time=settings.hash_queue_timeout / 1000
    )


def _hash_threads(workers: int) -> int:
    return max(1, (available_cores() - 1) // workers)
