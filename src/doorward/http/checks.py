"""Pure checks of Host, Accept, Content-Type and query, called by the middleware, the router and the fast path."""

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import parse_qsl

from doorward.core.errors import FieldError, ValidationFailed
from doorward.http.errors import BadHost, NotAcceptable, UnsupportedMediaType

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
ANY_HOST: frozenset[str] = frozenset()

# RFC 3986, section 3.2.2, except that a name is not empty (RFC 9110, section 4.2.1) and has a limited length.
_HOST = re.compile(
    rb"(?P<name>\[(?P<v6>[0-9A-Fa-f:.]+)\]|\[v[0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+\]"
    rb"|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}){1,255})(?::[0-9]{0,5})?"
)


def host_is_served(host: bytes, hosts: frozenset[str]) -> bool:
    """Return whether a `Host` header is well-formed (RFC 9112, section 3.2) and one of `hosts`.

    An entry of `hosts` without a port matches every port; an empty set (`ANY_HOST`) matches every host.
    """
    try:
        authority, name = _parse_host(host)
    except BadHost:
        return False
    return not hosts or authority in hosts or name in hosts


@lru_cache(maxsize=1024)
def _parse_host(host: bytes) -> tuple[str, str]:
    """Return a `Host` header in lower case, with and without its port; BadHost if it is malformed.

    Exceptions are not cached, so the cache holds only values within the limits of the pattern.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        raise BadHost
    if match["v6"] is not None:
        try:
            ipaddress.IPv6Address(match["v6"].decode())
        except ValueError:
            raise BadHost from None
    return host.decode().lower(), match["name"].decode().lower()


def check_accept(accept: bytes | None, media_type: str) -> None:
    """Raise NotAcceptable if an `Accept` header (RFC 9110, section 12.5.1) excludes a media type.

    A missing or empty header admits every type.
    """
    if accept is None or accept == b"*/*":
        return
    # List elements may be empty (RFC 9110, section 5.6.1.2).
    elements = [element for element in accept.decode("latin-1").lower().split(",") if element.strip()]
    if not elements:
        return
    main = media_type.partition("/")[0]
    for element in elements:
        accepted, *parameters = [part.strip() for part in element.split(";")]
        excluded = any(part.replace(" ", "") in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for part in parameters)
        if accepted in {"*/*", f"{main}/*", media_type} and not excluded:
            return
    raise NotAcceptable(media_type)


def check_content_type(headers: Mapping[bytes, bytes], media_type: str) -> None:
    """Raise UnsupportedMediaType unless the body is uncompressed and of a media type: JSON or FORM.

    Parameters such as `charset` are ignored (RFC 8259, section 11): the body has to be UTF-8.
    """
    content_type = headers.get(b"content-type", b"").partition(b";")[0].strip(b" \t").lower()
    if content_type != media_type.encode() or headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMediaType if media_type == JSON else UnsupportedMediaType(media_type)


def unique_query(raw: bytes) -> dict[str, str]:
    """Return the query parameters; ValidationFailed if one is repeated, not UTF-8, or contains NUL."""
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise ValidationFailed(
            [FieldError([], "query.base", "the query must be readable UTF-8, percent-encoded")]
        ) from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise ValidationFailed([FieldError([], "query.unique", "a query parameter is given more than once")])
    if "\0" in "".join(query.values()):
        raise ValidationFailed([FieldError([], "query.base", "the query must not contain NUL characters")])
    return query
