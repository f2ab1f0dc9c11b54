"""Header fields: types, look-up by name, bearer credentials, request ids."""

import re
import secrets
from collections.abc import Sequence
from itertools import count

Headers = Sequence[tuple[bytes, bytes]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9-]{1,64}")
_ids = count(secrets.randbits(32))
_process = secrets.token_hex(8).encode()
_JOINED = ((b"x-forwarded-for", b","), (b"cookie", b"; "))
"""Fields whose lines are one value, and the separator: RFC 9110, section 5.3; RFC 9113, section 8.2.3, for cookies."""


def headers_by_name(headers: Headers) -> dict[bytes, bytes]:
    """Return headers by name. The lines of X-Forwarded-For and Cookie are joined; of others the last counts."""
    fields = dict(headers)
    if len(fields) != len(headers):
        for name, separator in _JOINED:
            if name in fields:
                fields[name] = separator.join([value for line, value in headers if line == name])
    return fields


def accept_request_id(given: bytes | None) -> bytes:
    """Return the caller's request id if it is a harmless one, else a fresh one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"%s-%x" % (_process, next(_ids))


def authorization_credentials(authorization: bytes | None, scheme: bytes) -> bytes | None:
    """Return what follows the scheme in an `Authorization` field, None for another scheme.

    `scheme` is in lower case and ends with a space. One or more spaces separate it from the credentials, and a tab is
    none (RFC 9110, section 11.4). Spaces at the end do not belong to the field's value (section 5.5).
    """
    if authorization is None or authorization[: len(scheme)].lower() != scheme:
        return None
    return authorization[len(scheme) :].strip(b" ")


def bearer_credential(authorization: bytes | None) -> bytes | None:
    """Return the credential of an `Authorization: Bearer` field (RFC 6750), None for anything else."""
    return authorization_credentials(authorization, b"bearer ")
