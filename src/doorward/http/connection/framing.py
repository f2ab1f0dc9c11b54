"""Checks of a request's head that another server could read differently (RFC 9112; request smuggling)."""

from collections.abc import Mapping

import httptools

from doorward.http.errors import BadHost, BadRequest, HttpVersionNotSupported
from doorward.http.headers import Headers
from doorward.http.middleware import is_host

_SINGLE_HEADERS = (b"authorization", b"content-type", b"content-length", b"x-doorward-key")


def check_framing(version: str, target: bytes, headers: Headers) -> Mapping[bytes, bytes]:
    """Return the header fields by name; a Refusal for a head that another server could read differently."""
    if version not in {"1.1", "1.0"}:
        raise HttpVersionNotSupported
    names = [name for name, _ in headers]
    fields = dict(headers)
    _check_host(version, fields.get(b"host"), names.count(b"host"))
    if b"transfer-encoding" in fields and (
        names.count(b"transfer-encoding") != 1
        or b"content-length" in fields
        or fields[b"transfer-encoding"].lower() != b"chunked"
    ):
        raise BadRequest
    if not target.startswith(b"/"):
        _check_absolute_target(target, fields.get(b"host", b""))
    if any(names.count(name) > 1 for name in _SINGLE_HEADERS):
        raise BadRequest
    return fields


def without_upgrade_offer(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """Return the head of a request without its offer to change the protocol, which a server may ignore.

    `Connection` may still name the missing field; that means nothing (RFC 9110, section 7.6.1).
    """
    lines = [b"%b: %b\r\n" % (name, value) for name, value in headers if name != b"upgrade"]
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version.encode(), b"".join(lines))


def _check_host(version: str, host: bytes | None, count: int) -> None:
    """RFC 9112, section 3.2: one well-formed `Host`, which only HTTP/1.0 may lack."""
    if count == 0 and version == "1.0":
        return
    if count != 1 or host is None or not is_host(host):
        raise BadHost


def _check_absolute_target(target: bytes, host: bytes) -> None:
    """RFC 9112, section 3.2.2: the authority of an absolute-form target has to be the one in Host."""
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise BadRequest from None
    authority = url.host or b""
    if b":" in authority:
        authority = b"[%s]" % authority
    if url.port:
        authority += b":%d" % url.port
    if not authority or authority.lower() != host.lower() or url.path is None:
        raise BadHost
