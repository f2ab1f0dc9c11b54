"""What the doctor looks at where the service speaks TLS: certificates that fit, and that hold for a while yet."""

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
# ACME's clients renew when a third of the time is left.
_PART = 4
_RENEW = "Renew it, then send SIGHUP to the service."


class _Validity(NamedTuple):
    """Whose certificate it is, and from when to when it holds, in milliseconds."""

    subject: str
    begins: int
    ends: int


def check_certificates(settings: Settings, now: int) -> Iterator[Finding]:
    """Yield what there is to say of the certificates that the settings name; `now` is in milliseconds."""
    if settings.https_server == "on":
        certificate, key = settings.https_cert, settings.https_key or settings.https_cert
        yield from _usable("https", lambda: public_context(certificate, settings.https_key))
        yield from _own("https", certificate, key, now)
    if settings.maintain_tls_port is not None:
        pem, authority = settings.maintain_tls_pem, settings.maintain_tls_ca
        yield from _usable("maintenance", lambda: maintenance_context(pem, authority))
        yield from _own("maintenance", pem, pem, now)
        yield from _of_clients("clients' CA", authority, now)


def _usable(name: str, load: Callable[[], object]) -> Iterator[Finding]:
    try:
        load()
    except CannotStart as reason:
        todo = "Name files (PEM) that the service's user can read: the certificate, and its own key, not encrypted."
        yield Finding(name, "fail", str(reason), todo)


def _own(name: str, certificate: str, key: str, now: int) -> Iterator[Finding]:
    """Look at a certificate of ours, the first of its file, and at those that lead from it to its authority."""
    terms = _terms(certificate)
    if not terms:
        return  # it cannot be used, which is said already
    if mode_of(Path(key)) & OTHERS_BITS:
        yield Finding(name, "warn", f"Others can read the key in {key}.", f"chmod 600 {key}.")
    for place, term in enumerate(terms):
        said, state, todo = _check_validity(term, now)
        if place == 0:
            yield Finding(name, state, said, todo)
        elif state != "ok":
            yield Finding(name, "warn", f"In the chain, {said[0].lower()}{said[1:]}", todo)


def _of_clients(name: str, authority: str, now: int) -> Iterator[Finding]:
    """Look at the authorities whose clients are let in: one that holds is enough to work with."""
    judged = [_check_validity(term, now) for term in _terms(authority)]
    alive = [state for _, state, _ in judged if state != "fail"]
    for said, state, todo in judged:
        yield Finding(name, "warn" if state == "fail" and alive else state, said, todo)


def _check_validity(term: _Validity, now: int) -> tuple[str, str, str]:
    """Return what is to be said of a certificate, how it is, and what to do."""
    if now < term.begins:
        todo = "Name one that holds already, or set this machine's clock."
        return f"{term.subject} holds only from {format_time(term.begins)} on.", "fail", todo
    if now >= term.ends:
        return f"{term.subject} has expired, on {format_time(term.ends)}.", "fail", _RENEW
    soon = term.ends - now < min(_SOON, (term.ends - term.begins) / _PART)
    days = (term.ends - now) // _DAY
    said = f"{term.subject} expires in {days} day{'s' * (days != 1)}, on {format_time(term.ends)}."
    return said, "warn" if soon else "ok", _RENEW if soon else ""


def _terms(file: str) -> list[_Validity]:
    # Of this half of the library only the doctor has a use.
    from cryptography import x509  # noqa: PLC0415 - see above

    try:
        found = x509.load_pem_x509_certificates(Path(file).read_bytes())
    except (OSError, ValueError):
        return []
    return [
        _Validity(
            one.subject.rfc4514_string() or "It",
            int(one.not_valid_before_utc.timestamp() * 1000),
            int(one.not_valid_after_utc.timestamp() * 1000),
        )
        for one in found
    ]
