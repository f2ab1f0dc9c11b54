"""Which heads of requests can be read in more than one way, and are refused (RFC 9112; request smuggling)."""

from collections.abc import Mapping

import httptools

from doorward.http.errors import BadHost, BadRequest, HttpVersionNotSupported, NotImplementedHere
from doorward.http.wire import Headers

_ONCE = (b"authorization", b"content-type", b"content-length", b"x-doorward-key")


def judge(version: str, target: bytes, headers: Headers, *, upgrade: bool) -> Mapping[bytes, bytes]:
    """Return the header fields by name; a Refusal where another server could take this head for something else."""
    if version not in {"1.1", "1.0"}:
        raise HttpVersionNotSupported
    if upgrade:
        raise NotImplementedHere
    names = [name for name, _ in headers]
    if names.count(b"host") != 1:
        raise BadHost
    fields = dict(headers)
    if b"transfer-encoding" in fields and (
        names.count(b"transfer-encoding") != 1
        or b"content-length" in fields
        or fields[b"transfer-encoding"].lower() != b"chunked"
    ):
        raise BadRequest
    if not target.startswith(b"/"):
        _judge_absolute(target, fields[b"host"])
    if any(names.count(name) > 1 for name in _ONCE):
        raise BadRequest
    return fields


def _judge_absolute(target: bytes, host: bytes) -> None:
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
