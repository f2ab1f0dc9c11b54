"""Cryptographic parts of tokens: keys, HMAC-SHA256, base64url without padding, JSON in one spelling."""

import secrets
from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from hashlib import sha256

import msgspec

from doorward.core.model import Session

SESSION_KEY_BYTES = 32


def new_session_id() -> str:
    """Return 16 random bytes as base64url: 22 characters."""
    return secrets.token_urlsafe(16)


def new_session_key() -> bytes:
    """Return a random session key of 32 bytes."""
    return secrets.token_bytes(SESSION_KEY_BYTES)


_BLOCK = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def mac(key: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA256 of a message (RFC 2104).

    Written out because a verification computes six of them over short texts, where `hmac.digest` spends two thirds of
    its 1.3 µs on setting up (docs/measurements/0012-verify-performance.md). The hash itself is OpenSSL's either way.
    """
    if len(key) > _BLOCK:
        key = sha256(key).digest()
    block = key.ljust(_BLOCK, b"\0")
    return sha256(block.translate(_OUTER) + sha256(block.translate(_INNER) + message).digest()).digest()


def signing_key(master: bytes, session: Session) -> bytes:
    """Derive a session's signing key: HKDF-SHA256 (RFC 5869) of the master key, salted with the session key.

    The expansion covers the session's kind, tenant and id, so a key that is moved to another row signs nothing.
    """
    info = f"auth/v1/{session.kind}/{session.tenant_id}/{session.id}\x01".encode()
    return mac(mac(session.key, master), info)


def encode_segment(raw: bytes) -> bytes:
    """Return base64url without padding (RFC 7515, section 2)."""
    return b2a_base64(raw, newline=False).translate(_STANDARD_TO_URL, b"=")


_STANDARD_TO_URL = bytes.maketrans(b"+/", b"-_")
_URL_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING = (b"", b"!", b"==", b"=")
# By the length of a segment modulo 4: the last characters whose unused bits are zero, as an encoder leaves them.
_ANY = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST = (_ANY, b"", _ANY[::16], _ANY[::4])


def decode_segment(segment: bytes) -> bytes:
    """Decode base64url in its canonical spelling; raises binascii.Error for every other one."""
    if segment[-1:] not in _LAST[len(segment) & 3]:
        raise NotBase64
    return a2b_base64(segment.translate(_URL_TO_STANDARD) + _PADDING[len(segment) & 3], strict_mode=True)


_encode_json = msgspec.json.Encoder().encode


def spell(value: object) -> bytes:
    """Return JSON text in the one spelling that tokens use."""
    return _encode_json(value)
