"""Header helpers: headers by name, credentials of the Authorization header, request ids."""

import re
import secrets
from collections.abc import Sequence
from itertools import count

Headers = Sequence[tuple[bytes, bytes]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9-]{1,64}")
_ids = count(secrets.randbits(32))
_process = secrets.token_hex(8).encode()
_JOINED = ((b"x-forwarded-for", b","), (b"cookie", b"; "))
"""Headers whose lines are joined, and the separator (RFC 9110, section 5.3; for cookies RFC 9113, section 8.2.3)."""

HEADERS_BY_NAME = "headers_by_name"
"""Key of an ASGI scope: the headers by name, made once for each request by the connection."""


def headers_by_name(headers: Headers) -> dict[bytes, bytes]:
    """Return headers by name. Lines of X-Forwarded-For and Cookie are joined; of other headers the last one counts."""
    by_name = dict(headers)
    if len(by_name) != len(headers):
        for name, separator in _JOINED:
            if name in by_name:
                by_name[name] = separator.join([value for line, value in headers if line == name])
    return by_name


def accept_request_id(request_id: bytes | None) -> bytes:
    """Return the client's request id if it is safe to log and to repeat, else a new one."""
    if request_id is not None and _REQUEST_ID.fullmatch(request_id):
        return request_id
    return b"%s-%x" % (_process, next(_ids))


def authorization_credentials(authorization: bytes | None, scheme: bytes) -> bytes | None:
    """Return the credentials of an `Authorization` header with this scheme, None for another scheme.

    `scheme` is in lower case and ends with a space. One or more spaces separate it from the credentials; a tab does not
    (RFC 9110, section 11.4). Trailing spaces are not part of the value (section 5.5).
    """
    if authorization is None or authorization[: len(scheme)].lower() != scheme:
        return None
    return authorization[len(scheme) :].strip(b" ")


def bearer_credential(authorization: bytes | None) -> bytes | None:
    """Return the credential of an `Authorization: Bearer` header (RFC 6750), None for anything else."""
    return authorization_credentials(authorization, b"bearer ")
