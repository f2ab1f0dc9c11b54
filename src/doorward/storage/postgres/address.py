"""DATABASE_URL of PostgreSQL: hosts, credentials, TLS."""

import ipaddress
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from doorward.core.errors import CannotStart

_PORT = 5432
_PARAMETERS = {"sslmode", "sslrootcert", "sslcert", "sslkey", "host", "port", "target_session_attrs"}
_MODES = ("disable", "require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class Address:
    """Servers, of which one is the primary, with credentials. `tls` is None for unencrypted connections."""

    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    user: str | None
    password: str | None = field(repr=False)
    database: str | None
    tls: ssl.SSLContext | None

    @classmethod
    def read(cls, url: str) -> "Address":
        """Return the address of a `postgresql://` URL; CannotStart, without the password, if it is invalid.

        The default of `sslmode` is `disable` for a server on this machine and `verify-full` for any other. `allow` and
        `prefer` are rejected: an attacker in the network can turn off their encryption.
        """
        try:
            parts = urlsplit(url)
            given = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
            login, _, places = parts.netloc.rpartition("@")
            user, _, password = login.partition(":")
            hosts, ports = _places(given.get("host") or unquote(places), given.get("port"))
        except ValueError:
            raise CannotStart("DATABASE_URL has to be postgresql://user:password@host:port/database.") from None
        for name in given:
            if name not in _PARAMETERS:
                raise CannotStart(f"DATABASE_URL: {name} is not one of {', '.join(sorted(_PARAMETERS))}.")
        if given.get("target_session_attrs", "read-write") not in {"read-write", "primary"}:
            raise CannotStart("DATABASE_URL: a standby may lack recent revocations; only the primary is used.")
        return cls(
            hosts=hosts,
            ports=ports,
            user=unquote(user) or None,
            password=unquote(password) or None,
            database=unquote(parts.path.lstrip("/")) or None,
            tls=_tls(given, local=all(map(_is_local, hosts))),
        )

    @property
    def place(self) -> str:
        """Hosts and ports for messages."""
        return ",".join(f"{host}:{port}" for host, port in zip(self.hosts, self.ports, strict=True))

    async def connect(self, *, seconds: float, **server_settings: str) -> Any:
        """Return a connection to the primary. Raises `FAULTS` (`postgres/faults.py`)."""
        import asyncpg  # noqa: PLC0415 - many commands read an address and never connect

        return await asyncpg.connect(
            host=list(self.hosts),
            port=list(self.ports),
            user=self.user,
            password=self.password,
            database=self.database,
            ssl=self.tls or False,
            timeout=seconds,
            target_session_attrs="read-write",
            max_cached_statement_lifetime=0,
            server_settings={"application_name": "doorward", **server_settings},
        )


def _places(text: str, port: str | None) -> tuple[tuple[str, ...], tuple[int, ...]]:
    hosts: list[str] = []
    ports: list[int] = []
    for item in (text or "localhost").split(","):
        if item.startswith("/"):
            host, number = item, None
        else:
            parts = urlsplit(f"//{item}")
            host, number = parts.hostname or "localhost", parts.port
        hosts.append(host)
        ports.append(number or int(port or _PORT))
    return tuple(hosts), tuple(ports)


def _is_local(host: str) -> bool:
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(given: dict[str, str], *, local: bool) -> ssl.SSLContext | None:
    mode = given.get("sslmode", "disable" if local else "verify-full")
    if mode not in _MODES:
        raise CannotStart(f"DATABASE_URL: sslmode has to be one of {', '.join(_MODES)}.")
    if mode == "disable":
        return None
    try:
        context = ssl.create_default_context(cafile=given.get("sslrootcert"))
        if "sslcert" in given:
            context.load_cert_chain(given["sslcert"], given.get("sslkey"))
    except OSError as error:
        raise CannotStart(
            f"DATABASE_URL: a file of sslrootcert, sslcert or sslkey cannot be used ({error.strerror or error})."
        ) from error
    context.check_hostname = mode == "verify-full"
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context
