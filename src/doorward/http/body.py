"""Strict JSON: what two parsers could understand differently is refused (RFC 8259, RFC 8725 section 3.7)."""

import json
from math import isinf
from typing import Any, NoReturn

from doorward.http.errors import MalformedJson


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("duplicate name")
    return fields


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError("out of range")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant).decode


def parse(body: bytes) -> Any:
    """Return the value of a JSON text; an empty body is an empty object, as the predecessor reads it.

    MalformedJson for anything that is not exactly one JSON text in UTF-8: duplicate names, NaN, numbers out of range, a
    byte order mark, lone surrogates, bottomless nesting, trailing bytes.
    """
    if not body:
        return {}
    try:
        value = _decode(body.decode())
        if b"\\ud" in body.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise MalformedJson from None
    return value
