"""Settings of the service: name, type, default and meaning of each, read once at start.

Settings come from the environment and from a `.env` file in the working directory; the environment takes precedence.
Each can also be given as `<NAME>_FILE`, the path of a file with the value, which is the recommended way for secrets. An
empty value counts as not given.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from doorward.core.errors import CannotStart
from doorward.settings import values
from doorward.settings.keys import Keys, is_guessable, master_keys, stored_keys
from doorward.settings.sources import GivenSetting, find
from doorward.settings.values import POSTGRESQL, Network

_GUESSABLE_LEGACY_KEY = (
    "LEGACY_JWT_KEY was published or can be guessed: a copy of the predecessor's Redis is enough to forge tokens of "
    "the imported sessions. Remove the setting when these sessions have expired."
)

_EVERY_PROXY_TRUSTED = (
    "TRUSTED_PROXIES contains every address: each client counts as a proxy, so its own address is unknown, it is in no "
    "address list, and MAX_CONNECTIONS_PER_ADDRESS does not apply to it. List only the addresses of your proxies."
)


def _setting(read: Callable[[str], Any], default: str, why: str, *, secret: bool = False) -> Any:
    return field(metadata={"read": read, "default": default, "why": why, "secret": secret})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of the service, as returned by `Settings.read()`."""

    host: str = _setting(values.host, "127.0.0.1", "Address to listen on. 0.0.0.0 for all, as in a container.")
    port: int = _setting(values.whole(0, 65535), "3000", "Port to listen on. 0 for any free one.")
    http_server: str = _setting(values.switch, "on", "Serve plain HTTP on PORT. off: only the TLS listeners.")
    https_server: str = _setting(values.switch, "off", "Serve HTTPS on HTTPS_PORT.")
    https_port: int = _setting(values.whole(0, 65535), "3443", "Port for HTTPS. 0 for any free one.")
    https_cert: str = _setting(
        values.text,
        "",
        "File with the HTTPS certificate and its chain (PEM). SIGHUP reloads it.",
    )
    https_key: str = _setting(
        values.text, "", "File with the private key of HTTPS_CERT (PEM). Default: the file of HTTPS_CERT."
    )
    maintain_tls_port: int | None = _setting(
        values.optional_port,
        "off",
        "Port of the maintenance listener, which requires a client certificate and registers tenants from any address. "
        "off, or 0 for any free one.",
    )
    maintain_tls_pem: str = _setting(
        values.text,
        "",
        "File with the private key and the certificate (PEM) of the maintenance listener. SIGHUP reloads it.",
    )
    maintain_tls_ca: str = _setting(
        values.text, "", "File with the certificate authority (PEM) of the clients of the maintenance listener."
    )
    maintain_tls_ca_cn: tuple[str, ...] = _setting(
        values.names, "", "Common names of the clients of the maintenance listener, separated by commas."
    )
    metrics_port: int | None = _setting(
        values.optional_port, "off", "Port that serves only GET /metrics (Prometheus). off, or 0 for any free one."
    )
    metrics_white_list: tuple[Network, ...] = _setting(
        values.networks,
        "",
        "Addresses or networks (CIDR) that may GET /metrics on the other listeners, directly and not through a proxy. "
        "Default: none.",
    )
    workers: int = _setting(
        values.whole(1, 64),
        "1",
        "Worker processes, which share the port and the stores; start with about one per CPU core.",
    )
    worker_start_timeout: int = _setting(
        values.whole(1, 3600),
        "60",
        "Seconds in which each of several workers has to start, in addition to DATABASE_WAIT. A slower worker is "
        "stopped and restarted.",
    )
    data_dir: str = _setting(values.text, "./data", "Folder of the embedded database and of its generated master key.")
    database_url: str = _setting(
        values.database,
        "",
        "Database of accounts: sqlite:///path, or postgresql://user:password@host:port/database. A server on another "
        "machine is verified by TLS unless ?sslmode= says otherwise. Default: doorward.db in DATA_DIR.",
        secret=True,
    )
    database_pool: int = _setting(values.whole(2, 100), "8", "Connections to PostgreSQL per worker.")
    database_wait: int = _setting(
        values.whole(0, 600), "10", "Seconds to wait at start for a PostgreSQL server that is unreachable."
    )
    redis_url: str = _setting(
        values.redis,
        "",
        "Store of sessions and counters, if not the database: redis://user:password@host:port, or rediss:// for TLS "
        "(?ca=, ?cert= and ?key= name files). Several hosts separated by commas, or ?cluster=true, are a Cluster. A "
        "server on another machine needs TLS and a password, unless ?insecure=true.",
        secret=True,
    )
    jwt_key: tuple[tuple[str, str], ...] = _setting(
        master_keys,
        "",
        "Master key, half of every signing key: 32 random bytes or more, as text. Several as <number>:<key> separated "
        "by commas: the first signs, all verify. Default with the embedded database: generated once, in DATA_DIR.",
        secret=True,
    )
    legacy_jwt_key: str = _setting(
        values.text,
        "",
        "JWT_KEY of the predecessor (backend-auth), which verifies tokens of imported sessions and signs none.",
        secret=True,
    )
    jwt_key_exp: int = _setting(values.lifetime, "604800", "Lifetime of user tokens, in seconds or as 12h, 7d.")
    jwt_access_exp: int = _setting(
        values.lifetime, "900", "Lifetime of user tokens issued with a refresh token, in seconds or as 15m."
    )
    tenant_jwt_exp: int | None = _setting(
        values.optional_lifetime,
        "",
        "Lifetime of tenant tokens, in seconds or as 30d. Default: until they are revoked.",
    )
    jwt_audience: str = _setting(
        values.text,
        "doorward",
        "The aud claim of every token. Tokens with another one are rejected, so a change invalidates all tokens.",
    )
    sessions_per_user: int = _setting(
        values.whole(1, 100_000), "100", "Open sessions per user; one more revokes the oldest."
    )
    tenant_white_list: tuple[Network, ...] = _setting(
        values.networks,
        "127.0.0.0/8,::1",
        "Addresses or networks (CIDR) that may register tenants; * for any, none for no address.",
    )
    existing_login: str = _setting(
        values.choice("reject", "replace"),
        "reject",
        "POST /user with an existing login: reject the request (409), or replace the user's password and attributes "
        "and revoke its sessions.",
    )
    legacy_ready_hashes: str = _setting(
        values.choice("on", "off"),
        "off",
        "Accept a bcrypt string in the password of POST /user as a hash, as the predecessor's newest version did; "
        "a tenant setting overrides it.",
    )
    login_errors: str = _setting(
        values.choice("distinct", "uniform"),
        "distinct",
        "Errors of POST /auth: 404 for an unknown user and 403 for a wrong password, or 401 for both.",
    )
    login_failure_time: int = _setting(
        values.whole(0, 5000),
        "200",
        "Minimum time of a rejected login in milliseconds, so that its cause cannot be measured.",
    )
    throttler_white_list: tuple[Network, ...] = _setting(
        values.networks, "", "Addresses or networks (CIDR) that are exempt from the rate limit of addresses."
    )
    throttler_interval: int = _setting(
        values.whole(1, 86_400_000),
        "1000",
        "Milliseconds in which one address may send THROTTLER_MAX unauthenticated requests.",
    )
    throttler_max: int = _setting(
        values.whole(0, 1_000_000),
        "5",
        "Requests without a valid tenant credential that one address may send in THROTTLER_INTERVAL. 0: no limit.",
    )
    throttler_min_diff: int = _setting(
        values.whole(0, 86_400_000),
        "0",
        "Minimum interval between two such requests of one address, in milliseconds. 0: none.",
    )
    budget_verify: tuple[int, int] = _setting(
        values.budget(100_000), "1000:2000", "Verifications per second and burst of a tenant, per worker; or off."
    )
    budget_write: tuple[int, int] = _setting(
        values.budget(1_000), "50:100", "Changes of users per second and burst of a tenant; or off."
    )
    budget_login: tuple[int, int] = _setting(
        values.budget(1_000), "10:30", "Logins of users per second and burst of a tenant; or off."
    )
    public_url: str = _setting(
        values.url, "", "URL of the service for its clients, such as https://auth.example.org. Default: HOST and PORT."
    )
    forward_auth_cookie: str = _setting(
        values.cookie_name,
        "",
        "Cookie from which /forward-auth reads the user token if there is no Authorization header.",
    )
    audit_retention: int = _setting(
        values.lifetime, "90d", "Retention of the audit log, in seconds or as 90d. Older entries are removed."
    )
    max_audit_bytes_per_tenant: int = _setting(
        values.whole(0, 999_999_999_999),
        "0",
        "Bytes of audit entries per tenant; beyond that the oldest are removed. 0: no quota.",
    )
    max_users_per_tenant: int = _setting(values.whole(0, 1_000_000_000), "0", "Users per tenant. 0: no quota.")
    trusted_proxies: tuple[Network, ...] = _setting(
        values.networks, "", "Addresses or networks (CIDR) of proxies whose X-Forwarded-For is trusted. Default: none."
    )
    allowed_hosts: tuple[str, ...] = _setting(
        values.hosts, "", "Host names that requests may have in Host, separated by commas. Default: any."
    )
    cors_origins: tuple[str, ...] = _setting(
        values.origins,
        "",
        "Origins whose pages may send requests, separated by commas. Default: only the service's own.",
    )
    docs: str = _setting(values.switch, "on", "Serve /docs and /openapi.json.")
    max_connections: int = _setting(
        values.whole(1, 1_000_000),
        "10000",
        "Open connections per worker. One more closes the connection that has been idle the longest.",
    )
    max_connections_per_address: int = _setting(
        values.whole(0, 1_000_000),
        "0",
        "Open connections of one address per worker, TRUSTED_PROXIES excepted. 0: half of MAX_CONNECTIONS.",
    )
    hash_memory: int = _setting(
        values.whole(19_456, 65_536),
        "19456",
        "KiB of memory per argon2id hash; the default is the minimum.",
    )
    hash_passes: int = _setting(values.whole(2, 10), "2", "Passes per argon2id hash.")
    hash_lanes: int = _setting(values.whole(1, 4), "1", "Lanes per argon2id hash.")
    hash_threads: int = _setting(
        values.whole(0, 64),
        "0",
        "Threads per worker that hash passwords. 0: all CPU cores but one, divided among the workers, within a "
        "container's CPU limit.",
    )
    hash_queue_timeout: int = _setting(
        values.whole(100, 20_000),
        "5000",
        "Milliseconds that a password may wait for a thread, and of CPU time that may be queued ahead of it on each "
        "thread; beyond that the response is 503.",
    )
    access_log: str = _setting(
        values.choice("on", "errors", "off"),
        "errors",
        "Access log: on for every request, errors for responses of 500 and above (at most 50 a second), or off.",
    )
    log_level: str = _setting(values.choice("debug", "info", "warning", "error"), "info", "Minimum level of log lines.")
    log_format: str = _setting(
        values.choice("auto", "json", "text"), "auto", "Log lines as JSON or as text. auto: text on a terminal."
    )

    given_keys: Path | None = None
    """The file that JWT_KEY_FILE names. Not a setting: its content is `jwt_key`."""

    warnings: tuple[str, ...] = field(default=(), compare=False)
    """Warnings about the given settings, logged at start."""

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> "Settings":
        """Return the settings of this process; CannotStart, with the setting and never its value, if one is invalid."""
        found = find(_secrecy(), environment, folder)
        settings = cls(
            **{item.name: _parse(item, found.given.get(item.name.upper())) for item in _settings()},
            given_keys=found.files.get("JWT_KEY"),
            warnings=found.warnings,
        )
        settings._check_combinations()
        return replace(
            settings, warnings=(*settings.warnings, *_warn_of_loose_networks(found.given), *settings._warnings_of())
        )

    def _warnings_of(self) -> Iterator[str]:
        if self.legacy_jwt_key and is_guessable(self.legacy_jwt_key):
            yield _GUESSABLE_LEGACY_KEY
        if values.has_every_address(self.trusted_proxies):
            yield _EVERY_PROXY_TRUSTED

    def _check_combinations(self) -> None:
        if self.https_server == "on" and not self.https_cert:
            raise CannotStart("HTTPS_CERT is missing: HTTPS_SERVER is on.")
        if self.maintain_tls_port is not None:
            for name in ("maintain_tls_pem", "maintain_tls_ca", "maintain_tls_ca_cn"):
                if not getattr(self, name):
                    raise CannotStart(f"{name.upper()} is missing: MAINTAIN_TLS_PORT is set.")
        if self.http_server == "off" and self.https_server == "off":
            raise CannotStart("HTTP_SERVER and HTTPS_SERVER are both off; turn one on.")

    @property
    def database_path(self) -> Path:
        """The file of the embedded database."""
        if self.database_url:
            return Path(self.database_url.removeprefix("sqlite:///"))
        return Path(self.data_dir) / "doorward.db"

    @property
    def database_place(self) -> str:
        """The database of accounts, without credentials."""
        if self.on_postgresql:
            return f"PostgreSQL at {re.split('[?#]', self.database_url.rpartition('@')[2].rpartition('://')[2])[0]}"
        return str(self.database_path)

    @property
    def on_postgresql(self) -> bool:
        """True if the accounts are in PostgreSQL."""
        return self.database_url.startswith(POSTGRESQL)

    @property
    def kept_key(self) -> Path:
        """The file of the master keys that the service generates."""
        return Path(self.data_dir) / "master.key"

    def with_master_key(self, *, create: bool = True) -> Keys:
        """Return the master keys. On the embedded database one is generated if none was given and `create` is set.

        CannotStart if there is none.
        """
        if self.jwt_key:
            return self.jwt_key
        if self.on_postgresql or self.redis_url:
            store = "PostgreSQL" if self.on_postgresql else "Redis"
            raise CannotStart(
                f"JWT_KEY is missing: services that share a {store} also share the key; generate one with: "
                "openssl rand -base64 32."
            )
        return stored_keys(self.kept_key, create=create)


def _settings() -> "tuple[Field[Any], ...]":
    return tuple(item for item in fields(Settings) if item.metadata)


def _secrecy() -> dict[str, bool]:
    return {item.name.upper(): bool(item.metadata["secret"]) for item in _settings()}


def _warn_of_loose_networks(given: Mapping[str, GivenSetting]) -> Iterator[str]:
    for item in _settings():
        name = item.name.upper()
        if item.metadata["read"] is values.networks and name in given:
            for number, network in values.loose_networks(given[name].text):
                yield (
                    f"{name}, item {number}, has address bits beyond its prefix and is read as the network {network}: "
                    "write that, or the address without a prefix."
                )


def _parse(item: "Field[Any]", given: GivenSetting | None) -> Any:
    """Return the given or default value of a setting; CannotStart if it is invalid."""
    try:
        return item.metadata["read"](item.metadata["default"] if given is None else given.text)
    except ValueError as error:
        raise CannotStart(f"{item.name.upper()} has to be {error}.") from None


def describe() -> list[dict[str, str]]:
    """Return every setting with its default and meaning, in order."""
    return [
        {"name": item.name.upper(), "default": item.metadata["default"], "meaning": item.metadata["why"]}
        for item in _settings()
    ]


class EffectiveSetting(NamedTuple):
    """A setting in effect. The `value` of a secret is `set` or `not set`; `source` may be `default`."""

    name: str
    value: str
    source: str
    default: str
    meaning: str


def effective_settings(
    environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> tuple[list[EffectiveSetting], str | None]:
    """Return every setting in effect, in order, and the error with which a start would fail, if any.

    An invalid value is shown as `invalid`. If a source cannot be read, every setting has its default.
    """
    given: Mapping[str, GivenSetting] = {}
    error: str | None = None
    try:
        given = find(_secrecy(), environment, folder).given
        Settings.read(environment, folder)
    except CannotStart as reason:
        error = str(reason)
    return [_effective(item, given.get(item.name.upper())) for item in _settings()], error


def _effective(item: "Field[Any]", given: GivenSetting | None) -> EffectiveSetting:
    name, meta = item.name.upper(), item.metadata
    if meta["secret"]:
        value = "set" if given else "not set"
    else:
        try:
            _parse(item, given)
        except CannotStart:
            value = "invalid"
        else:
            value = " ".join(given.text.split()) if given else meta["default"]
    return EffectiveSetting(name, value, given.source if given else "default", meta["default"], meta["why"])
