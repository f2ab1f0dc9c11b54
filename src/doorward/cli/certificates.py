"""Certificate checks of `doorward doctor`: keys that match, validity and expiry."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from doorward.cli.context import format_time
from doorward.cli.finding import Finding
from doorward.core.errors import CannotStart
from doorward.runtime.tls import maintenance_context, public_context
from doorward.settings import Settings
from doorward.settings.secret_files import OTHERS_BITS, mode_of

_DAY = 86_400_000
_SOON = 30 * _DAY
# ACME clients renew when a third of the validity is left.
_RENEWAL_FRACTION = 4
_RENEW = "Renew it, then send SIGHUP to the service."


class _Validity(NamedTuple):
    """Subject of a certificate, and start and end of its validity in milliseconds."""

    subject: str
    begins: int
    ends: int


def check_certificates(settings: Settings, now: int) -> Iterator[Finding]:
    """Yield findings on the certificates that the settings name; `now` is in milliseconds."""
    if settings.https_server == "on":
        certificate, key = settings.https_cert, settings.https_key or settings.https_cert
        yield from _usable("https", lambda: public_context(certificate, settings.https_key))
        yield from _own("https", certificate, key, now)
    if settings.maintain_tls_port is not None:
        pem, authority = settings.maintain_tls_pem, settings.maintain_tls_ca
        yield from _usable("maintenance", lambda: maintenance_context(pem, authority))
        yield from _own("maintenance", pem, pem, now)
        yield from _client_authorities("clients' CA", authority, now)


def _usable(name: str, load: Callable[[], object]) -> Iterator[Finding]:
    try:
        load()
    except CannotStart as reason:
        todo = "Name PEM files that the service's user can read: the certificate and its unencrypted private key."
        yield Finding(name, "fail", str(reason), todo)


def _own(name: str, certificate: str, key: str, now: int) -> Iterator[Finding]:
    """Check the service's certificate, which is the first in its file, and the chain after it."""
    validities = _validities(certificate)
    if not validities:
        return  # `_usable` has reported it
    if mode_of(Path(key)) & OTHERS_BITS:
        yield Finding(name, "warn", f"Other users can read the key in {key}.", f"chmod 600 {key}.")
    for position, validity in enumerate(validities):
        said, state, todo = _check_validity(validity, now)
        if position == 0:
            yield Finding(name, state, said, todo)
        elif state != "ok":
            yield Finding(name, "warn", f"In the chain, {said[0].lower()}{said[1:]}", todo)


def _client_authorities(name: str, authority: str, now: int) -> Iterator[Finding]:
    """Check the authorities of client certificates: one valid authority is enough."""
    results = [_check_validity(validity, now) for validity in _validities(authority)]
    valid = [state for _, state, _ in results if state != "fail"]
    for said, state, todo in results:
        yield Finding(name, "warn" if state == "fail" and valid else state, said, todo)


def _check_validity(validity: _Validity, now: int) -> tuple[str, str, str]:
    """Return a sentence on the validity of a certificate, the state, and what to do."""
    if now < validity.begins:
        todo = "Use one that is valid already, or set this machine's clock."
        return f"{validity.subject} is valid only from {format_time(validity.begins)}.", "fail", todo
    if now >= validity.ends:
        return f"{validity.subject} has expired, on {format_time(validity.ends)}.", "fail", _RENEW
    soon = validity.ends - now < min(_SOON, (validity.ends - validity.begins) / _RENEWAL_FRACTION)
    days = (validity.ends - now) // _DAY
    said = f"{validity.subject} expires in {days} day{'s' * (days != 1)}, on {format_time(validity.ends)}."
    return said, "warn" if soon else "ok", _RENEW if soon else ""


def _validities(file: str) -> list[_Validity]:
    # Imported here, since only this command needs it.
    from cryptography import x509  # noqa: PLC0415 - see above

    try:
        certificates = x509.load_pem_x509_certificates(Path(file).read_bytes())
    except (OSError, ValueError):
        return []
    return [
        _Validity(
            certificate.subject.rfc4514_string() or "It",
            int(certificate.not_valid_before_utc.timestamp() * 1000),
            int(certificate.not_valid_after_utc.timestamp() * 1000),
        )
        for certificate in certificates
    ]
