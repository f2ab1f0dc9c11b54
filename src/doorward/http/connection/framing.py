"""Request framing checks against request smuggling (RFC 9112): version, Host, lengths, duplicate headers."""

from collections.abc import Mapping

import httptools

from doorward.http.checks import ANY_HOST, host_is_served
from doorward.http.errors import BadHost, BadRequest, HttpVersionNotSupported
from doorward.http.headers import Headers

_SINGLE_HEADERS = (b"authorization", b"content-type", b"content-length", b"x-doorward-key")


def check_framing(version: str, target: bytes, headers: Headers, by_name: Mapping[bytes, bytes]) -> None:
    """Reject a request head that another server could read differently.

    Raises BadRequest, BadHost or HttpVersionNotSupported.
    """
    if version not in {"1.1", "1.0"}:
        raise HttpVersionNotSupported
    names = [name for name, _ in headers]
    # RFC 9112, section 3.2: one well-formed `Host`, which only HTTP/1.0 may lack.
    hosts = names.count(b"host")
    if (hosts or version != "1.0") and (hosts != 1 or not host_is_served(by_name[b"host"], ANY_HOST)):
        raise BadHost
    if b"transfer-encoding" in by_name and (
        names.count(b"transfer-encoding") != 1
        or b"content-length" in by_name
        or by_name[b"transfer-encoding"].lower() != b"chunked"
    ):
        raise BadRequest
    if not target.startswith(b"/"):
        _check_absolute_target(target, by_name.get(b"host", b""))
    # The names of a head without duplicates need no count each.
    if len(names) != len(by_name) and [name for name in _SINGLE_HEADERS if names.count(name) > 1]:
        raise BadRequest


def without_upgrade_offer(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """Return the head of a request without its `Upgrade` header, which a server may ignore.

    `Connection` may still name the missing header; that has no effect (RFC 9110, section 7.6.1).
    """
    lines = [b"%b: %b\r\n" % (name, value) for name, value in headers if name != b"upgrade"]
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version.encode(), b"".join(lines))


def _check_absolute_target(target: bytes, host: bytes) -> None:
    """RFC 9112, section 3.2.2: the authority of an absolute-form target has to equal Host."""
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
