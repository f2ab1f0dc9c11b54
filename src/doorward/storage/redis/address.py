"""REDIS_URL: hosts, Cluster, credentials, TLS."""

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from doorward.core.errors import CannotStart
from doorward.storage.redis.scripts import Word

_PORT = 6379
_PARAMETERS = ("cluster", "insecure", "ca", "cert", "key")
_FORM = "REDIS_URL has to be redis://user:password@host:port or rediss://… with TLS, several hosts separated by commas"

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Address:
    """Servers and credentials. `tls` is None for unencrypted connections."""

    places: tuple[Place, ...]
    cluster: bool
    user: str | None
    password: str | None = field(repr=False)
    database: int
    tls: ssl.SSLContext | None

    @classmethod
    def read(cls, url: str) -> "Address":
        """Return the address of a URL; CannotStart, without the password, if it is invalid.

        A server on another machine needs TLS and a password (ASVS 12.3, 13.2), unless the URL has `?insecure=true`.
        Several hosts, or `?cluster=true`, mean a Cluster.
        """
        try:
            parts = urlsplit(url)
            given = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
            login, _, hosts = parts.netloc.rpartition("@")
            user, _, password = login.partition(":")
            places = tuple(_place(item) for item in hosts.split(","))
            database = int(parts.path.strip("/") or 0)
        except ValueError:
            raise CannotStart(f"{_FORM}.") from None
        if parts.scheme not in {"redis", "rediss"} or parts.fragment:
            raise CannotStart(f"{_FORM}.")
        for name, value in given.items():
            if name not in _PARAMETERS:
                raise CannotStart(f"REDIS_URL: {name} is not one of {', '.join(_PARAMETERS)}.")
            if name in {"cluster", "insecure"} and value not in {"true", "false"}:
                raise CannotStart(f"REDIS_URL: {name} has to be true or false.")
        address = cls(
            places=places,
            cluster=given.get("cluster", "true" if len(places) > 1 else "false") == "true",
            user=unquote(user) or None,
            password=unquote(password) or None,
            database=database,
            tls=_tls(given) if parts.scheme == "rediss" else None,
        )
        address._check_contradictions()
        if given.get("insecure") != "true":
            address._check_security()
        return address

    @property
    def place(self) -> str:
        """Hosts and ports for messages."""
        return ",".join(f"{host}:{port}" for host, port in self.places)

    @property
    def greeting(self) -> list[tuple[Word, ...]]:
        """Commands that every connection sends first."""
        begin: list[tuple[Word, ...]] = []
        if self.password is not None:
            begin.append(("AUTH", self.user, self.password) if self.user else ("AUTH", self.password))
        if self.database:
            begin.append(("SELECT", self.database))
        return begin

    def _check_contradictions(self) -> None:
        if not self.cluster and len(self.places) > 1:
            raise CannotStart("REDIS_URL: several hosts are nodes of a Cluster, which contradicts cluster=false.")
        if self.cluster and self.database:
            raise CannotStart("REDIS_URL: a Cluster has only database 0.")
        if self.user and self.password is None:
            raise CannotStart("REDIS_URL names a user without a password.")

    def _check_security(self) -> None:
        if all(_is_local(host) for host, _ in self.places):
            return
        if self.tls is None:
            raise CannotStart(
                "REDIS_URL: a server on another machine needs TLS (rediss://), or ?insecure=true if the network "
                "is trusted."
            )
        if self.password is None:
            raise CannotStart(
                "REDIS_URL: a server on another machine needs a password (rediss://user:password@host), or "
                "?insecure=true if the network is trusted."
            )


def without_secrets(url: str) -> str:
    """Return the hosts of a REDIS_URL, without credentials and parameters."""
    return re.split("[/?#]", url.rpartition("@")[2].rpartition("://")[2])[0]


def _place(item: str) -> Place:
    parts = urlsplit(f"//{item}")
    if not parts.hostname:
        raise ValueError(item)
    return parts.hostname, parts.port or _PORT


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(given: dict[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=given.get("ca"))
        if "cert" in given:
            context.load_cert_chain(given["cert"], given.get("key"))
    except OSError as error:
        raise CannotStart(
            f"REDIS_URL: a file of ca, cert or key cannot be used ({error.strerror or error})."
        ) from error
    return context
