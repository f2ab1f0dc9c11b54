"""Forged tokens: alterations of a valid token that an attacker can make without its signing key."""

import base64
import hmac
import json
from collections.abc import Iterator
from typing import Any

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_GUESSABLE_KEYS = ("", "secret", "null", "undefined", "changeme", "doorward")
_FAR_FUTURE = 4_000_000_000


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def _bytes(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _signed(header: str, payload: str, key: str) -> str:
    mac = hmac.digest(key.encode(), f"{header}.{payload}".encode(), "sha256")
    return f"{header}.{payload}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def claims(token: str) -> dict[str, Any]:
    """Return the claims of a token without verifying it."""
    payload = json.loads(_bytes(token.split(".")[1]))
    return payload if isinstance(payload, dict) else {}


def _flipped(segment: str) -> str:
    """Return another encoding of the same bytes: an unused bit of the last character is flipped."""
    return segment[:-1] + _LETTERS[_LETTERS.index(segment[-1]) ^ 1]


def algorithms(token: str) -> Iterator[tuple[str, str]]:
    """Yield the token with another algorithm or none (TK1), each with a description of the change."""
    header, payload, signature = token.split(".")
    fields = json.loads(_bytes(header))
    for name in ("none", "None", "NONE", "nOnE", "HS384", "HS512", "RS256", "hs256", ["HS256"], None):
        altered = _encoded({**fields, "alg": name})
        yield f"with alg {name}", f"{altered}.{payload}.{signature}"
        if str(name).lower() == "none":
            yield f"with alg {name} and no signature", f"{altered}.{payload}."
    altered = _encoded({name: value for name, value in fields.items() if name != "alg"})
    yield "without alg", f"{altered}.{payload}.{signature}"


def keys(token: str) -> Iterator[tuple[str, str]]:
    """Yield the token with a key in its header that the attacker chose, signed with it (TK3)."""
    header, payload, _ = token.split(".")
    fields = json.loads(_bytes(header))
    key = base64.urlsafe_b64encode(b"0" * 32).decode().rstrip("=")
    for more in (
        {"jwk": {"kty": "oct", "k": key}},
        {"jku": "https://selftest.invalid/keys"},
        {"x5u": "https://selftest.invalid/keys"},
        {"kid": ""},
        {"kid": "/dev/null"},
        {"kid": "' UNION SELECT '0'; --"},
    ):
        named = next(iter(more))
        yield f"with {named} {str(more[named])[:12]!r}", _signed(_encoded({**fields, **more}), payload, "0" * 32)
        yield f"with {named} and an empty key", _signed(_encoded({**fields, **more}), payload, "")
    for guess in _GUESSABLE_KEYS:
        yield f"signed with the key {guess!r}", _signed(header, payload, guess)


def spellings(token: str) -> Iterator[tuple[str, str]]:
    """Yield other encodings of the same token (TK4), without spaces at the ends, which a header would lose."""
    header, payload, signature = token.split(".")
    yield "with padding", f"{token}="
    yield "with padding in the middle", f"{header}=.{payload}.{signature}"
    yield "with other unused bits", f"{header}.{payload}.{_flipped(signature)}"
    yield "with a fourth segment", f"{token}."
    yield "with two segments", f"{header}.{payload}"
    yield "with a space inside", f"{header}. {payload}.{signature}"
    yield "with a character of another alphabet", f"{header}.{payload}.{signature[:-1]}+"
    spaced = base64.urlsafe_b64encode(json.dumps(claims(token)).encode()).decode().rstrip("=")
    yield "with its claims encoded with spaces", f"{header}.{spaced}.{signature}"


def alterations(token: str, other: str) -> Iterator[tuple[str, str]]:
    """Yield the token with altered claims or signature (TK5); `other` is another valid token."""
    header, payload, signature = token.split(".")
    _, others, foreign = other.split(".")
    own_claims, other_claims = claims(token), claims(other)
    yield "with another's signature", f"{header}.{payload}.{foreign}"
    yield "with another's claims", f"{header}.{others}.{signature}"
    yield "without its signature", f"{header}.{payload}."
    yield "with its signature cut", token[:-2]
    yield "with its signature lengthened", f"{token}AA"
    swapped = "B" if signature[0] == "A" else "A"
    yield "with one letter of its signature changed", f"{header}.{payload}.{swapped}{signature[1:]}"
    for name in ("id", "tenant", "jti"):
        if name in own_claims and name in other_claims:
            yield f"with another's {name}", f"{header}.{_encoded({**own_claims, name: other_claims[name]})}.{signature}"
    yield "with a later expiry", f"{header}.{_encoded({**own_claims, 'exp': _FAR_FUTURE})}.{signature}"
    if "isTenant" not in own_claims:
        yield "with the claim of a tenant token", f"{header}.{_encoded({**own_claims, 'isTenant': True})}.{signature}"


def bearers(token: str, other: str) -> Iterator[tuple[str, str]]:
    """Yield two forgeries of each kind and one more, for endpoints where every request counts against a rate limit."""
    for kind in (algorithms(token), keys(token), spellings(token), alterations(token, other)):
        forged = list(kind)
        yield forged[0]
        yield forged[1]
    header, _, signature = token.split(".")
    tenant = {**claims(token), "id": claims(other).get("id")}
    yield "with another's id", f"{header}.{_encoded(tenant)}.{signature}"
