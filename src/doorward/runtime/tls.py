"""TLS contexts of the listeners (Mozilla's intermediate profile)."""

import ssl
from collections.abc import Callable

from doorward.core.errors import CannotStart

# Of TLS 1.2 only forward secrecy with authenticated encryption (Mozilla 5.7, intermediate). Those of 1.3 all have both.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)


def public_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the context of the HTTPS listener: TLS 1.2 and 1.3, with the chain and the key in these files (PEM).

    Raises CannotStart, naming the setting, where they cannot be used.
    """
    context = _context()
    _load("HTTPS_CERT and HTTPS_KEY", lambda: context.load_cert_chain(certificate, key or None, password=_no_password))
    return context


def maintenance_context(pem: str, authority: str) -> ssl.SSLContext:
    """Return the context of the maintenance listener, which requires a client certificate issued by `authority`.

    `pem` has the server's key and chain, `authority` the certificates (PEM) of the issuers. Raises CannotStart, naming
    the setting, where they cannot be used.
    """
    context = _context()
    # A resumed connection would not present its certificate again, so resumption is off: a reload applies to all.
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
    # Without this OpenSSL would prompt on the terminal, and the service would block.
    raise ValueError("it is encrypted")


def _load(setting: str, load: Callable[[], None]) -> None:
    try:
        load()
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise CannotStart(f"{setting} cannot be used ({reason}).") from error
