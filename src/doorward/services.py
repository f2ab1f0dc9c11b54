"""The wiring of services: the only place that builds them, for the service and for the command line."""

from collections.abc import Mapping
from dataclasses import dataclass

from doorward.core.api_keys.service import ApiKeyService
from doorward.core.audit.service import AuditService
from doorward.core.clock import monotonic_clock, system_clock
from doorward.core.login.flow import LoginFlow
from doorward.core.login.issuer import SessionIssuer
from doorward.core.login.password import PasswordLogin
from doorward.core.login.timing import LoginTiming
from doorward.core.passwords.hashing import Argon2Parameters, Hasher
from doorward.core.passwords.pool import PasswordHasherPool
from doorward.core.passwords.reauthentication import Reauthenticator
from doorward.core.ports import Backoff, Clock
from doorward.core.rate_limits.budgets import Budget, Budgets
from doorward.core.rate_limits.limiter import RateLimiter, alias_keys
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
from doorward.http.api.registration import RegistrationPolicy
from doorward.http.api.services import Descriptions, Services
from doorward.settings import Settings
from doorward.stores import Stores

_UNLIMITED = Budgets(Budget(1, 0), 0, Budget(1, 0), Budget(1, 0), Budget(1, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What differs between the service, the command line and tests.

    Attributes:
        clock: The time of the machine.
        monotonic: A clock that only runs forward, for waits in memory.
        hashing: The cost of a password hash; None: as the settings say.
        hash_threads: How many threads compute password hashes.
        for_operator: Without rate limits, and with the rules of the service for passwords and existing logins instead
            of those that the settings make compatible with the predecessor.
    """

    clock: Clock = system_clock
    monotonic: Clock = monotonic_clock
    hashing: Argon2Parameters | None = None
    hash_threads: int = 1
    for_operator: bool = False


def build_services(
    settings: Settings,
    stores: Stores,
    master_keys: Mapping[str, bytes],
    *,
    wiring: Wiring,
    descriptions: Descriptions | None = None,
) -> Services:
    """Return every service on these stores. `master_keys` are the keys by `kid`; the first signs."""
    clock = wiring.clock
    lifetimes = SessionLifetimes(settings.jwt_key_exp, settings.tenant_jwt_exp, settings.sessions_per_user)
    codec = _codec(settings, master_keys)
    sessions = SessionService(
        session_store=stores.sessions,
        codec=codec,
        clock=clock,
        lifetimes=lifetimes,
    )
    rate_limits = RateLimiter(
        counter_store=stores.counters,
        clock=clock,
        alias_keys=alias_keys(master_keys.values()),
        budgets=_UNLIMITED if wiring.for_operator else _budgets(settings),
        backoff=_backoff(settings),
        monotonic=wiring.monotonic,
    )
    passwords = PasswordHasherPool(
        Hasher(wiring.hashing or Argon2Parameters(settings.hash_memory, settings.hash_passes, settings.hash_lanes)),
        threads=wiring.hash_threads,
        max_wait=settings.hash_queue_timeout / 1000,
    )
    reauthenticator = Reauthenticator(passwords=passwords, rate_limits=rate_limits, audit_store=stores.audit)
    settings_resolver = SettingsResolver(
        lifetimes=lifetimes, ready_hashes=settings.legacy_ready_hashes == "on" and not wiring.for_operator
    )
    issuer = SessionIssuer(accounts=stores.accounts, sessions=sessions)
    refresh_service = RefreshService(
        accounts=stores.accounts, sessions=sessions, clock=clock, lifetime=settings.jwt_access_exp
    )
    users = UserService(
        accounts=stores.accounts,
        sessions=sessions,
        passwords=passwords,
        rate_limits=rate_limits,
        settings_resolver=settings_resolver,
        clock=clock,
        replace_existing=settings.existing_login == "replace" and not wiring.for_operator,
    )
    return Services(
        codec=codec,
        passwords=passwords,
        sessions=sessions,
        tenants=TenantService(
            accounts=stores.accounts,
            api_keys=stores.api_keys,
            audit_store=stores.audit,
            sessions=sessions,
            issuer=issuer,
            passwords=passwords,
            reauthenticator=reauthenticator,
            rate_limits=rate_limits,
            clock=clock,
        ),
        users=users,
        login=LoginFlow(
            accounts=stores.accounts,
            password=PasswordLogin(
                accounts=stores.accounts,
                passwords=passwords,
                rate_limits=rate_limits,
                audit_store=stores.audit,
                timing=LoginTiming(
                    accounts=stores.accounts,
                    passwords=passwords,
                    clock=clock,
                    least=settings.login_failure_time / 1000,
                ),
                clock=clock,
                uniform=settings.login_errors == "uniform",
            ),
            issuer=issuer,
            refresh_service=refresh_service,
            settings_resolver=settings_resolver,
            rate_limits=rate_limits,
            clock=clock,
        ),
        user_passwords=UserPasswordService(
            accounts=stores.accounts,
            reset_code_store=stores.reset_codes,
            sessions=sessions,
            reauthenticator=reauthenticator,
            rate_limits=rate_limits,
            users=users,
            clock=clock,
            audit=stores.audit,
        ),
        user_sessions=UserSessionService(
            accounts=stores.accounts, session_store=stores.sessions, rate_limits=rate_limits, clock=clock
        ),
        refresh_service=refresh_service,
        api_keys=ApiKeyService(keys=stores.api_keys, sessions=sessions, rate_limits=rate_limits, clock=clock),
        settings_resolver=settings_resolver,
        audit=AuditService(audit_store=stores.audit),
        user_transfer=build_user_transfer(stores, clock),
        rate_limits=rate_limits,
        activity=_activity(stores, clock, codec),
        store_checks=stores.checks,
        registration=RegistrationPolicy(settings.tenant_white_list, any_host=not settings.allowed_hosts),
        unthrottled=settings.throttler_white_list,
        descriptions=descriptions or Descriptions(),
        public_url=settings.public_url or _own_url(settings),
        forward_auth_cookie=settings.forward_auth_cookie,
    )


def build_user_transfer(stores: Stores, clock: Clock = system_clock) -> UserTransferService:
    """Return the service that imports and exports users; it needs no master key."""
    return UserTransferService(account_store=stores.accounts, audit_store=stores.audit, clock=clock)


def _codec(settings: Settings, master_keys: Mapping[str, bytes]) -> Codec:
    if settings.legacy_jwt_key:
        return LegacyTokenCodec(master_keys, settings.jwt_audience, settings.legacy_jwt_key)
    return Codec(master_keys, settings.jwt_audience)


def _activity(stores: Stores, clock: Clock, codec: Codec) -> ActivityRecorder:
    activity = ActivityRecorder(stores.accounts, stores.sessions, stores.api_keys, clock)
    codec.follow_activity(activity.last_seen)
    return activity


def _own_url(settings: Settings) -> str:
    if settings.http_server == "on":
        return f"http://{settings.host}:{settings.port}"
    return f"https://{settings.host}:{settings.https_port}"


def _budgets(settings: Settings) -> Budgets:
    period = max(1, settings.throttler_interval // max(1, settings.throttler_max))
    return Budgets(
        address=Budget(period, settings.throttler_max),
        spacing=settings.throttler_min_diff,
        verify=_budget_in_memory(*settings.budget_verify),
        write=_budget(*settings.budget_write),
        login=_budget(*settings.budget_login),
    )


def _budget(rate: int, burst: int) -> Budget:
    return Budget(1000 // max(1, rate), burst)


def _budget_in_memory(rate: int, burst: int) -> Budget:
    return Budget(1000 / max(1, rate), burst)


def _backoff(settings: Settings) -> Backoff:
    # A reservation outlives the deadline of its request, so that no more guesses are in flight than are allowed.
    return Backoff(lease=settings.hash_queue_timeout + 10_000)
