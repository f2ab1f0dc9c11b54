"""Composition root: the only place that names the concrete parts and knows all three rings."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from starlette.types import ASGIApp

from doorward.core.api_keys.service import ApiKeyService
from doorward.core.audit.service import AuditService
from doorward.core.clock import ClockStepDetector, monotonic_clock, system_clock
from doorward.core.login.service import AuthenticationService
from doorward.core.login.timing import LoginTiming
from doorward.core.memory import prepare_to_serve
from doorward.core.passwords.hashing import Argon2Parameters, Hasher, PasswordHasherPool
from doorward.core.passwords.reauthentication import Reauthenticator
from doorward.core.ports import Backoff, Clock
from doorward.core.rate_limits.limiter import Budget, Budgets, RateLimiter, alias_keys
from doorward.core.sessions.activity import ActivityRecorder
from doorward.core.sessions.management import UserSessionService
from doorward.core.sessions.refresh import RefreshService
from doorward.core.sessions.service import SessionLifetimes, SessionService
from doorward.core.tenants.service import TenantService
from doorward.core.tenants.settings import SettingsResolver
from doorward.core.tokens.codec import Codec
from doorward.core.tokens.legacy import LegacyTokenCodec
from doorward.core.users.passwords import UserPasswordService
from doorward.core.users.service import UserService
from doorward.core.users.transfer import UserTransferService
from doorward.http.api.reference.openapi import describe
from doorward.http.api.registration import RegistrationPolicy
from doorward.http.api.router import build_router
from doorward.http.api.routes import FAST_PATH, PATHS
from doorward.http.api.services import Descriptions, Services
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
    """What tests turn or make cheap, and nothing else: the clocks, the cost of a hash, the sizes and times of HTTP."""

    clock: Clock = system_clock
    monotonic: Clock = monotonic_clock
    hashing: Argon2Parameters | None = None
    limits: ConnectionLimits | None = None


def build(settings: Settings, parts: Overrides | None = None, traces: Traces | None = None) -> ASGIApp:
    """Return the application. Its stores are opened when it starts and closed when it stops (ASGI lifespan).

    `traces` are made of every request, if given; they are sent until it stops.
    """
    parts = parts or Overrides()
    masters = {kid: key.encode() for kid, key in settings.with_master_key()}
    clock = parts.clock
    stores = select_stores(settings, clock, traces.store if traces else None)
    accounts = stores.accounts
    lifetimes = SessionLifetimes(settings.jwt_key_exp, settings.tenant_jwt_exp, settings.sessions_per_user)
    watch_clock = ClockStepDetector(clock, parts.monotonic, _log_clock_step)
    codec = _codec(settings, masters, watch_clock)
    door = SessionService(stores.sessions, codec, clock, lifetimes)
    throttle = RateLimiter(
        stores.counters,
        clock,
        alias_keys(masters.values()),
        _budgets(settings),
        _backoff(settings),
        monotonic=parts.monotonic,
    )
    passwords = PasswordHasherPool(
        Hasher(parts.hashing or Argon2Parameters(settings.hash_memory, settings.hash_passes, settings.hash_lanes)),
        threads=settings.hash_threads or _hash_threads(settings.workers),
        max_wait=settings.hash_queue_timeout / 1000,
    )
    current = Reauthenticator(passwords, throttle, stores.audit)
    refreshing = RefreshService(accounts, door, clock, settings.jwt_access_exp)
    activity = _activity(stores, clock, codec)
    house = SettingsResolver(lifetimes, settings.legacy_ready_hashes == "on")
    users = UserService(accounts, door, passwords, throttle, house, clock, settings.existing_login == "replace")
    services = Services(
        sessions=door,
        tenants=TenantService(accounts, stores.api_keys, door, passwords, current, throttle, clock),
        users=users,
        user_passwords=UserPasswordService(
            accounts, stores.reset_codes, door, current, throttle, users, clock, stores.audit
        ),
        user_sessions=UserSessionService(accounts, stores.sessions, throttle, clock),
        refresh_service=refreshing,
        api_keys=ApiKeyService(stores.api_keys, door, throttle, clock),
        settings_resolver=house,
        audit=AuditService(stores.audit),
        authentication=AuthenticationService(
            accounts,
            door,
            passwords,
            throttle,
            house,
            refreshing,
            stores.audit,
            clock,
            LoginTiming(accounts, passwords, clock, settings.login_failure_time / 1000),
            settings.login_errors == "uniform",
        ),
        user_transfer=UserTransferService(accounts, stores.audit, clock),
        rate_limits=throttle,
        activity=activity,
        store_checks=stores.checks,
        registration=RegistrationPolicy(settings.tenant_white_list, any_host=not settings.allowed_hosts),
        unthrottled=settings.throttler_white_list,
        descriptions=describe() if settings.docs == "on" else Descriptions(),
        public_url=settings.public_url or _own_url(settings),
        forward_auth_cookie=settings.forward_auth_cookie,
    )
    rules = _policy(settings)
    proxies = Proxies(settings.trusted_proxies)
    recorder = RequestRecorder(settings.access_log)
    lane = FastPath(FAST_PATH, services, proxies, rules, recorder)
    connections = ConnectionRegistry(
        traced(lane, traces) if traces else lane,
        parts.limits or _limits(settings),
        PATHS.sizes,
    )

    body_memory = BodyMemory()
    apart = ConnectionRegistry(FastPath({}, services, proxies, rules, recorder), connections.limits)
    doors = [connections, apart]
    metrics = _metrics(settings, MetricSources(recorder, passwords, stores.metrics, doors, logs.lines_lost))

    async def tick() -> None:
        if metrics:
            metrics.tick(every=_TICK_SECONDS)

    watch_keys, leave = _follow_key_file(KeyFile.of(settings), codec, throttle)

    async def begin() -> None:
        await _open(stores, clock)
        for one in doors:
            one.open(asyncio.get_running_loop())
        watch_keys()

    async def end() -> None:
        await run_logged(lambda: activity.flush(everything=True))
        await run_logged(lambda: stores.probes.write(clock()))
        leave()
        for one in doors:
            one.close()
        passwords.close()
        await _close(stores, traces)

    tasks = (
        PeriodicTask(_TICK_SECONDS, tick),
        PeriodicTask(_TICK_SECONDS, _background_task(watch_clock.check)),
        PeriodicTask(_FLUSH_SECONDS, activity.flush),
        PeriodicTask(_URGENT_SECONDS, activity.flush_urgent),
        PeriodicTask(_SWEEP_SECONDS, _sweeping(stores, clock, watch_clock, settings.audit_retention)),
        PeriodicTask(_SWEEP_SECONDS, stores.index_logins),
        PeriodicTask(_REST_SECONDS, passwords.release_memory),
        PeriodicTask(_REST_SECONDS, body_memory.release),
        PeriodicTask(_WATCH_SECONDS, _background_task(watch_keys)),
    )
    router = build_router(
        services,
        proxies,
        body_memory,
        docs=settings.docs == "on",
        hash_queue_seconds=settings.hash_queue_timeout / 1000,
    )
    router.lifespan_context = Lifespan(begin, tasks, end, {"door": connections, "metrics": apart}).lifespan
    inner: ASGIApp = router
    if metrics:
        inner = MetricsEndpoint(router, metrics, [apart], settings.metrics_white_list, proxies)
    guard = RequestMiddleware(inner, rules, PATHS, recorder=recorder, proxies=proxies)
    return TracedApp(guard, traces) if traces else guard


def from_environment() -> ASGIApp:
    """Return the application as the environment describes it: what every worker process starts with."""
    prepare_to_serve()
    settings = Settings.read()
    logs.configure(settings.log_level, settings.log_format)
    logs.log_in_background()
    return build(settings, traces=tracing.start_tracing(telemetry()))


def _sweeping(
    stores: Stores, clock: Clock, recorder: ClockStepDetector, retention: int
) -> Callable[[], Awaitable[None]]:
    async def sweep() -> None:
        # A clock that was set far forward may be set back: what is over by it is refused, but not removed yet.
        if recorder.is_settled():
            await stores.sweep(clock, audit_retention=retention)

    return sweep


async def _open(stores: Stores, clock: Clock) -> None:
    await stores.open()
    await stores.accounts.forget_user_counts()
    await run_logged(lambda: _backfill_retired_key(stores, clock))


async def _backfill_retired_key(stores: Stores, clock: Clock) -> None:
    """Log whether the clock was set back while no process of the service ran; leave the time for the next start."""
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


def _codec(settings: Settings, masters: dict[str, bytes], clock: ClockStepDetector) -> Codec:
    if settings.legacy_jwt_key:
        codec: Codec = LegacyTokenCodec(masters, settings.jwt_audience, settings.legacy_jwt_key)
    else:
        codec = Codec(masters, settings.jwt_audience)
    codec.follow_clock(clock.since)
    return codec


def _activity(stores: Stores, clock: Clock, codec: Codec) -> ActivityRecorder:
    activity = ActivityRecorder(stores.accounts, stores.sessions, stores.api_keys, clock)
    codec.follow_activity(activity.last_seen)
    return activity


def _policy(settings: Settings) -> HostAndOriginPolicy:
    own_origins = [origin_of(settings.public_url)] if settings.public_url else []
    return HostAndOriginPolicy(
        frozenset(settings.allowed_hosts),
        frozenset(origin.encode() for origin in settings.cors_origins),
        frozenset(origin.encode() for origin in own_origins),
    )


def _own_url(settings: Settings) -> str:
    if settings.http_server == "on":
        return f"http://{settings.host}:{settings.port}"
    return f"https://{settings.host}:{settings.https_port}"


def _follow_key_file(
    file: KeyFile | None, codec: Codec, throttle: RateLimiter
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return what makes this worker work with the keys that its file holds now, and what ends its following."""
    if file is None:
        return _no_reload, _no_reload
    presence = WorkerRegistration(file.folder)

    def recorder() -> None:
        keys = file.changed()
        if keys is None:
            return
        masters = {kid: key.encode() for kid, key in keys}
        codec.replace_keys(masters)
        throttle.replace_keys(alias_keys(masters.values()))
        # With keys that are given, there need not be a folder of our own; then the log alone tells.
        with suppress(OSError) if file.given else nullcontext():
            presence.publish(keys)
        log.info("master keys", extra={"signs": keys[0][0], "known": ",".join(kid for kid, _ in keys)})

    codec.on_unknown_key(recorder)
    return recorder, presence.close


def _no_reload() -> None:
    """Follow nothing: the keys are given by JWT_KEY itself, which is read once."""


def _background_task(task: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        task()

    return run


def _budgets(settings: Settings) -> Budgets:
    period = max(1, settings.throttler_interval // max(1, settings.throttler_max))
    return Budgets(
        address=Budget(period, settings.throttler_max),
        spacing=settings.throttler_min_diff,
        verify=_budget_in_memory(*settings.budget_verify),
        write=_budget(*settings.budget_write),
        login=_budget(*settings.budget_login),
    )


def _backoff(settings: Settings) -> Backoff:
    # A reservation outlives the deadline of the request that made it, or more guesses would be in flight than may be.
    return Backoff(lease=settings.hash_queue_timeout + 10_000)


def _budget(rate: int, burst: int) -> Budget:
    return Budget(1000 // max(1, rate), burst)


def _budget_in_memory(rate: int, burst: int) -> Budget:
    return Budget(1000 / max(1, rate), burst)


def _limits(settings: Settings) -> ConnectionLimits:
    connections = possible_connections(settings.max_connections)
    share = settings.max_connections_per_address or max(1, connections // 2)
    return ConnectionLimits(
        max_connections=connections, max_per_address=share, hash_queue_time=settings.hash_queue_timeout / 1000
    )


def _hash_threads(workers: int) -> int:
    return max(1, (available_cores() - 1) // workers)
