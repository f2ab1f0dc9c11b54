"""Reasons of errors in plain words, for operators, without text of a server or file."""

import os
import re
import socket
import ssl

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")


_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLError, "TLS failed"),
    (socket.gaierror, "the name of the host cannot be resolved"),
    (TimeoutError, "no answer in time"),
    (UnicodeError, "it is not UTF-8 text"),
)
_NO_CONNECTION = "the connection failed"


def describe_error(error: BaseException) -> str:
    """Return the reason of an error in a few words; only the kind of the error counts, never its message."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    if isinstance(error, OSError | EOFError):
        return os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else _NO_CONNECTION
    name = type(error).__name__
    return _NO_CONNECTION if name == "ConnectionError" else _words(name.removesuffix("Error"))


def _words(name: str) -> str:
    return " ".join(_WORD.findall(name)).lower()
