"""TLS of the listeners: what is spoken (Mozilla's intermediate profile), with which certificates, and with whom."""

import ssl
from collections.abc import Callable

from doorward.core.errors import CannotStart

# Of TLS 1.2 only forward secrecy with authenticated encryption (Mozilla 5.7, intermediate). Those of 1.3 all have both.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)


def public_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return what the HTTPS listener speaks: TLS 1.2 and 1.3, with the chain and the key in these files (PEM).

    CannotStart, naming the setting, where they cannot be used.
    """
    context = _context()
    _load("HTTPS_CERT and HTTPS_KEY", lambda: context.load_cert_chain(certificate, key or None, password=_no_password))
    return context


def maintenance_context(pem: str, authority: str) -> ssl.SSLContext:
    """Return what the maintenance listener speaks: as the public one, and only with whom `authority` certifies.

    `pem` has the server's key and chain, `authority` the certificates (PEM) that a client's has to descend from.
    CannotStart, naming the setting, where they cannot be used.
    """
    context = _context()
    # A resumed connection would not show its certificate again, so there is none: what a reload takes away is gone.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    _load("MAINTAIN_TLS_PEM", lambda: context.load_cert_chain(pem, password=_no_password))
    _load("MAINTAIN_TLS_CA", lambda: context.load_verify_locations(authority))
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask the terminal, and a service would wait for somebody to type.
    raise ValueError("it is encrypted")


def _load(setting: str, load: Callable[[], None]) -> None:
    try:
        load()
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise CannotStart(f"{setting} cannot be used ({reason}).") from error
