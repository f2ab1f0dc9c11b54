"""Every setting: name, type, default, why. Read once, here, and handed on as values.

Settings come from the environment and from a `.env` file in the working directory; the environment wins. Each can also
be given as `<NAME>_FILE`, the path of a file that holds it, which is how secrets should come.
"""

import base64
import difflib
import ipaddress
import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from doorward.core.errors import CannotStart

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ANYONE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
POSTGRESQL = ("postgresql://", "postgres://")
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

# Not DOORWARD_, DATABASE_ or REDIS_: orchestrators put names like REDIS_PORT into every environment.
_FAMILIES = ("JWT_", "THROTTLER_", "TENANT_", "MAINTAIN_", "HTTPS_", "HASH_", "LOGIN_", "BUDGET_", "LEGACY_")
# The variables of OpenTelemetry's library are its own to understand.
_TELEMETRY = "OTEL_"
_ALIKE = 0.85
_MIN_KEY_BYTES = 32
_MIN_KEY_VARIETY = 10
# What tutorials and compose files use, the predecessor's own default among them; compared without case and punctuation.
_KNOWN_KEYS = re.compile(
    r"changeme|changethis|replaceme|yoursecret|mysecret|supersecret|topsecret|secretkey|jwtsecret|jwtkey|password|"
    r"insecure|example|default|qwerty|abcdefgh|0123456789abcdef|1234567890|deadbeef|shhhhh|keyboardcat|am3f13l4g"
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _text(value: str) -> str:
    return value


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", value) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return read


def _optional_port(value: str) -> int | None:
    if value in {"", "off"}:
        return None
    try:
        return _whole(0, 65535)(value)
    except ValueError:
        raise ValueError("a whole number from 0 to 65535, or off") from None


def _lifetime(value: str) -> int:
    match = re.fullmatch(r"([0-9]{1,10})([smhd]?)", value)
    seconds = int(match[1]) * _UNITS[match[2] or "s"] if match else 0
    if not 0 < seconds <= 3650 * _UNITS["d"]:
        raise ValueError("a number of seconds, or one with a unit such as 15m, 12h or 30d, up to 3650d")
    return seconds


def _optional_lifetime(value: str) -> int | None:
    return None if value in {"", "0", "off", "none"} else _lifetime(value)


def _choice(*options: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in options:
            raise ValueError(f"one of {', '.join(options)}")
        return value

    return read


def _items(value: str) -> list[str]:
    return [item for part in value.split(",") if (item := part.strip())]


def _names(value: str) -> tuple[str, ...]:
    return tuple(_items(value))


def _networks(value: str) -> tuple[Network, ...]:
    found: list[Network] = []
    for item in _items(value):
        if item == "*":
            found += ANYONE
            continue
        try:
            found.append(ipaddress.ip_network(item, strict=False))
        except ValueError:
            raise ValueError("addresses or networks (CIDR) separated by commas, or * for any") from None
    return tuple(found)


def _origins(value: str) -> tuple[str, ...]:
    items = tuple(_items(value))
    if not all(re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", item) for item in items):
        raise ValueError("origins such as https://app.example.org separated by commas; * is not one")
    return items


def _url(value: str) -> str:
    if value and not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~/-]*)?", value):
        raise ValueError("a URL such as https://auth.example.org")
    return value.rstrip("/")


def _cookie_name(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise ValueError("a cookie's name: letters, digits, - and _")
    return value


def _hosts(value: str) -> tuple[str, ...]:
    return tuple(item.lower() for item in _items(value))


def _budget(value: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})(?::([0-9]{1,7}))?", value)
    if value == "off" or not match:
        if value == "off":
            return 0, 0
        raise ValueError("requests a second and burst, such as 50:100, or off")
    rate = int(match[1])
    if not 0 < rate <= 1000:  # noqa: PLR2004 - budgets count in whole milliseconds
        raise ValueError("a rate from 1 to 1000 a second, and a burst, such as 50:100, or off")
    return rate, int(match[2] or rate)


def _database(value: str) -> str:
    if value and not value.startswith(("sqlite:///", *POSTGRESQL)):
        raise ValueError("sqlite:///path/to/file.db or postgresql://user:password@host:port/database")
    return value


def _redis(value: str) -> str:
    if value and not value.startswith(("redis://", "rediss://")):
        raise ValueError("redis://user:password@host:port, or rediss://… for TLS")
    return value


def _master_keys(value: str) -> tuple[tuple[str, str], ...]:
    keys: list[tuple[str, str]] = []
    items = [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]
    for item in items:
        match = re.fullmatch(r"([0-9]{1,6}):(\S+)", item)
        kid, key = (match[1], match[2]) if match else ("1", item)
        if len(items) > 1 and not match:
            raise ValueError("one key, or several as <number>:<key> separated by commas, the signing one first")
        if any(kid == known for known, _ in keys):
            raise ValueError("keys with different numbers")
        _refuse_weak(key)
        keys.append((kid, key))
    return tuple(keys)


def _refuse_weak(key: str) -> None:
    plain = re.sub(r"[^a-z0-9]", "", key.lower())
    if len(key.encode()) < _MIN_KEY_BYTES:
        raise ValueError("at least 32 bytes; make one with: openssl rand -base64 32")
    if len(set(key)) < _MIN_KEY_VARIETY or _KNOWN_KEYS.search(plain) or _repeats(plain):
        raise ValueError("random, this one can be guessed; make one with: openssl rand -base64 32")


def _repeats(text: str) -> bool:
    # A text that occurs inside its own doubling before the end is made of repetitions.
    return (text + text).find(text, 1) < len(text)


def _setting(read: Callable[[str], Any], default: str, why: str, *, secret: bool = False) -> Any:
    return field(metadata={"read": read, "default": default, "why": why, "secret": secret})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service was told. `Settings.read()` is how to get one."""

    host: str = _setting(_text, "127.0.0.1", "Address to listen on. 0.0.0.0 for all, as in a container.")
    port: int = _setting(_whole(0, 65535), "3000", "Port to listen on. 0 for any free one.")
    http_server: str = _setting(
        _choice("on", "off"), "on", "Speak plain HTTP on PORT. off: only the listeners that speak TLS."
    )
    https_server: str = _setting(_choice("on", "off"), "off", "Speak HTTPS on HTTPS_PORT.")
    https_port: int = _setting(_whole(0, 65535), "3443", "Port for HTTPS. 0 for any free one.")
    https_cert: str = _setting(
        _text,
        "",
        "File with the certificate of HTTPS and those that lead to its authority (PEM). SIGHUP reads it anew.",
    )
    https_key: str = _setting(
        _text, "", "File with the key of that certificate (PEM). Default: it is in the same file."
    )
    maintain_tls_port: int | None = _setting(
        _optional_port,
        "off",
        "Port for maintenance, where clients show a certificate; there tenants are registered from "
        "any address. off, or 0 for any free one.",
    )
    maintain_tls_pem: str = _setting(
        _text, "", "File with the key and the certificate (PEM) of the maintenance listener. SIGHUP reads it anew."
    )
    maintain_tls_ca: str = _setting(
        _text, "", "File with the authority (PEM) whose certificates the maintenance listener accepts."
    )
    maintain_tls_ca_cn: tuple[str, ...] = _setting(
        _names, "", "Common names of the clients that the maintenance listener accepts, separated by commas."
    )
    metrics_port: int | None = _setting(
        _optional_port, "off", "Port for GET /metrics (Prometheus), and nothing else. off, or 0 for any free one."
    )
    metrics_white_list: tuple[Network, ...] = _setting(
        _networks, "", "Addresses that may GET /metrics on the other listeners, as addresses or CIDR. Default: none."
    )
    workers: int = _setting(
        _whole(1, 64), "1", "Processes that share the port and the database; about one for each core is a good start."
    )
    data_dir: str = _setting(_text, "./data", "Folder of the embedded database and of the master key made for it.")
    database_url: str = _setting(
        _database,
        "",
        "Where accounts are kept: sqlite:///path, or postgresql://user:password@host:port/database. A server on "
        "another machine has to prove itself by TLS unless ?sslmode= says otherwise. Default: doorward.db under "
        "DATA_DIR.",
        secret=True,
    )
    database_pool: int = _setting(_whole(2, 100), "8", "Connections to PostgreSQL per worker.")
    database_wait: int = _setting(
        _whole(0, 600), "10", "Seconds to wait at start for a PostgreSQL that cannot be reached yet."
    )
    redis_url: str = _setting(
        _redis,
        "",
        "Where sessions and counters are kept, if not in the database: redis://user:password@host:port, or rediss:// "
        "for TLS (?ca=, ?cert= and ?key= name files). Several hosts separated by commas, or ?cluster=true, are a "
        "Cluster. A server on another machine needs TLS and a password, unless ?insecure=true.",
        secret=True,
    )
    jwt_key: tuple[tuple[str, str], ...] = _setting(
        _master_keys,
        "",
        "Master key: half of every signing key; 32 random bytes or more, as text. Several as <number>:<key> separated "
        "by commas: the first signs, all verify. Default on the embedded database: made once, kept under DATA_DIR.",
        secret=True,
    )
    legacy_jwt_key: str = _setting(
        _text,
        "",
        "JWT_KEY of the predecessor (backend-auth), for sessions that were imported from it. It verifies those and "
        "signs nothing.",
        secret=True,
    )
    jwt_key_exp: int = _setting(_lifetime, "604800", "Lifetime of user tokens, in seconds or as 12h, 7d.")
    jwt_access_exp: int = _setting(
        _lifetime, "900", "Lifetime of user tokens that come with a refresh token, in seconds or as 15m."
    )
    tenant_jwt_exp: int | None = _setting(
        _optional_lifetime, "", "Lifetime of tenant tokens, in seconds or as 30d. Default: until they are revoked."
    )
    jwt_audience: str = _setting(
        _text,
        "doorward",
        "The aud claim of every token. A token with another one is refused, so a change ends them all.",
    )
    sessions_per_user: int = _setting(
        _whole(1, 100_000), "100", "Sessions a user may have at once; one more ends the oldest."
    )
    tenant_white_list: tuple[Network, ...] = _setting(
        _networks, "127.0.0.0/8,::1", "Addresses that may register tenants, as addresses or CIDR; * opens it to all."
    )
    existing_login: str = _setting(
        _choice("reject", "replace"),
        "reject",
        "What POST /user does with a login that exists: reject it (409), or replace the user's password and attributes "
        "and end its sessions.",
    )
    login_errors: str = _setting(
        _choice("distinct", "uniform"),
        "distinct",
        "POST /auth tells an unknown user (404) from a wrong password (403), or gives one 401 for both.",
    )
    login_failure_time: int = _setting(
        _whole(0, 5000), "200", "Milliseconds a refused login takes at least, so that its reason cannot be measured."
    )
    throttler_white_list: tuple[Network, ...] = _setting(
        _networks, "", "Addresses that are never throttled, as addresses or CIDR."
    )
    throttler_interval: int = _setting(
        _whole(1, 86_400_000),
        "1000",
        "Milliseconds in which one address may send THROTTLER_MAX requests without proof.",
    )
    throttler_max: int = _setting(
        _whole(0, 1_000_000),
        "5",
        "Requests that one address may send in THROTTLER_INTERVAL unless they prove a tenant credential. 0: no limit.",
    )
    throttler_min_diff: int = _setting(
        _whole(0, 86_400_000), "0", "Least milliseconds between two such requests of one address. 0: any."
    )
    budget_verify: tuple[int, int] = _setting(
        _budget, "1000:2000", "Questions a tenant may ask a second, and at once, per worker; or off."
    )
    budget_write: tuple[int, int] = _setting(
        _budget, "50:100", "Changes to its users a tenant may make a second, and at once; or off."
    )
    budget_login: tuple[int, int] = _setting(
        _budget, "10:30", "Logins of its users a tenant may send a second, and at once; or off."
    )
    public_url: str = _setting(
        _url, "", "Where clients find the service, such as https://auth.example.org. Default: HOST and PORT."
    )
    forward_auth_cookie: str = _setting(
        _cookie_name, "", "Cookie in which /forward-auth looks for a user token if there is no Authorization header."
    )
    audit_retention: int = _setting(
        _lifetime, "90d", "How long the audit log is kept, in seconds or as 90d. Older entries are removed."
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        _networks, "", "Proxies whose X-Forwarded-For is believed, as addresses or CIDR. Default: none."
    )
    allowed_hosts: tuple[str, ...] = _setting(
        _hosts, "", "Host names that requests may be addressed to, separated by commas. Default: any."
    )
    cors_origins: tuple[str, ...] = _setting(
        _origins, "", "Origins whose browsers may call, separated by commas. Default: none but our own."
    )
    docs: str = _setting(_choice("on", "off"), "on", "Serve /docs and /openapi.json.")
    max_connections: int = _setting(
        _whole(1, 1_000_000), "10000", "Open connections per worker; one more is answered 503 at once."
    )
    hash_memory: int = _setting(
        _whole(19_456, 65_536), "19456", "KiB of memory per argon2id hash; the default is the least that is allowed."
    )
    hash_passes: int = _setting(_whole(2, 10), "2", "Passes per argon2id hash.")
    hash_lanes: int = _setting(_whole(1, 4), "1", "Lanes per argon2id hash.")
    hash_threads: int = _setting(
        _whole(0, 64),
        "0",
        "Threads per worker that hash passwords. 0: one for each core but one, shared by the workers.",
    )
    access_log: str = _setting(
        _choice("on", "errors", "off"),
        "errors",
        "A line for each request: on, or errors (answers of 500 and above, at most 50 a second), or off.",
    )
    log_level: str = _setting(
        _choice("debug", "info", "warning", "error"), "info", "The least severe log line written."
    )
    log_format: str = _setting(
        _choice("auto", "json", "text"), "auto", "Log lines as JSON or as text. auto: text on a terminal."
    )

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> "Settings":
        """Return the settings of this process; CannotStart, naming the setting and never its value, if one is wrong."""
        given = dict(os.environ) if environment is None else dict(environment)  # noqa: TID251 - this is its one home
        written = _written(folder)
        known = {item.name.upper(): item for item in fields(cls)}
        _refuse_unknown(known, written, given)
        merged = {**written, **given}
        settings = cls(**{item.name: _read_one(name, item, merged) for name, item in known.items()})
        settings._refuse_contradictions()
        return settings

    def _refuse_contradictions(self) -> None:
        if self.https_server == "on" and not self.https_cert:
            raise CannotStart("HTTPS_CERT is missing: HTTPS_SERVER is on.")
        if self.maintain_tls_port is not None:
            for name in ("maintain_tls_pem", "maintain_tls_ca", "maintain_tls_ca_cn"):
                if not getattr(self, name):
                    raise CannotStart(f"{name.upper()} is missing: MAINTAIN_TLS_PORT is set.")
        if self.http_server == "off" and self.https_server == "off":
            raise CannotStart("HTTP_SERVER and HTTPS_SERVER are both off: nobody could reach the service.")

    @property
    def database_path(self) -> Path:
        """The file of the embedded database."""
        if self.database_url:
            return Path(self.database_url.removeprefix("sqlite:///"))
        return Path(self.data_dir) / "doorward.db"

    @property
    def database_place(self) -> str:
        """Where accounts are kept, in words that may be shown to anybody."""
        if self.on_postgresql:
            return f"PostgreSQL at {re.split('[?#]', self.database_url.rpartition('@')[2].rpartition('://')[2])[0]}"
        return str(self.database_path)

    @property
    def on_postgresql(self) -> bool:
        """Whether accounts are kept in PostgreSQL."""
        return self.database_url.startswith(POSTGRESQL)

    @property
    def kept_key(self) -> Path:
        """The file of the master keys that the service makes for itself."""
        return Path(self.data_dir) / "master.key"

    def with_master_key(self) -> tuple[tuple[str, str], ...]:
        """Return the master keys; on the embedded database one is made, once, if none was given."""
        if self.jwt_key:
            return self.jwt_key
        if self.on_postgresql or self.redis_url:
            store = "PostgreSQL" if self.on_postgresql else "Redis"
            raise CannotStart(
                f"JWT_KEY is missing: services that share a {store} share the key too; make one with: "
                "openssl rand -base64 32."
            )
        return _kept_key(self.kept_key)


def telemetry(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> dict[str, str]:
    """Return the variables of OpenTelemetry's library, from where settings come from too."""
    given = dict(os.environ) if environment is None else dict(environment)  # noqa: TID251 - this is its one home
    merged = {**_written(folder), **given}
    return {name: value for name, value in merged.items() if name.startswith(_TELEMETRY)}


def _written(folder: Path | None) -> dict[str, str]:
    file = (folder or Path()) / ".env"
    return {name: value or "" for name, value in dotenv_values(file, interpolate=False).items()}


def _refuse_unknown(known: Mapping[str, Any], written: Mapping[str, str], given: Mapping[str, str]) -> None:
    names = {*known, *(f"{name}_FILE" for name in known)}
    for name in written:
        if name not in names and not name.startswith(_TELEMETRY):
            raise CannotStart(f"{name} in .env is not a setting{_guess(name, names)}.")
    for name in given:
        if name in names or name.startswith(_TELEMETRY):
            continue
        # An environment is full of other people's names: only what looks like ours can be a mistake.
        likely = difflib.get_close_matches(name, names, n=1, cutoff=_ALIKE) if name.isupper() else []
        if name.startswith(_FAMILIES) or (likely and name not in {"HOSTS", "HOSTNAME"}):
            raise CannotStart(f"{name} is not a setting{_guess(name, names)}.")


def _guess(name: str, names: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1)
    return f"; did you mean {close[0]}?" if close else "; `doorward settings` lists them all"


def _read_one(name: str, item: "Field[Any]", merged: Mapping[str, str]) -> Any:
    value, from_file = merged.get(name), merged.get(f"{name}_FILE")
    if value is not None and from_file:
        raise CannotStart(f"{name} and {name}_FILE are both set; keep one.")
    if from_file:
        value = _content(name, Path(from_file), secret=item.metadata["secret"])
    try:
        return item.metadata["read"](item.metadata["default"] if value is None else value.strip())
    except ValueError as error:
        raise CannotStart(f"{name} has to be {error}.") from None


def _content(name: str, path: Path, *, secret: bool) -> str:
    try:
        if secret and stat.S_IMODE(path.stat().st_mode) & 0o007:
            raise CannotStart(f"{name}_FILE can be read by everybody on this machine; chmod 600 it.")
        content = path.read_text(encoding="utf-8")
        if secret and not content.strip():
            raise CannotStart(f"{name}_FILE is empty.")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"{name}_FILE cannot be read ({type(error).__name__}).") from error
    return content


def _kept_key(path: Path) -> tuple[tuple[str, str], ...]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_key(path)
    except OSError as error:
        raise CannotStart(f"DATA_DIR: {path} cannot be made or read ({error.strerror}).") from error
    return read_keys(path)


def read_keys(path: Path) -> tuple[tuple[str, str], ...]:
    """Return the master keys of a file that the service keeps; CannotStart where it cannot be used."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise CannotStart(f"JWT_KEY: {path} can be read by others; chmod 600 it.")
        keys = _master_keys(path.read_text(encoding="ascii"))
    except OSError as error:
        raise CannotStart(f"DATA_DIR: {path} cannot be made or read ({error.strerror}).") from error
    except ValueError as error:
        raise CannotStart(f"JWT_KEY: {path} does not hold a key, it has to be {error}.") from None
    if not keys:
        raise CannotStart(f"JWT_KEY: {path} is empty.")
    return keys


def _make_key(path: Path) -> None:
    # Written in full under another name and then linked: who starts at the same moment sees no key or a whole one.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"1:{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def describe() -> list[dict[str, str]]:
    """Return every setting with its default and meaning, in order."""
    assert all(item.default is MISSING for item in fields(Settings))  # noqa: S101 - defaults live in the metadata
    return [
        {"name": item.name.upper(), "default": item.metadata["default"], "meaning": item.metadata["why"]}
        for item in fields(Settings)
    ]
