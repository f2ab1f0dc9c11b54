"""Encodings of salts and digests in password hashes."""

import base64
import binascii
import hashlib
import re

from doorward.core.passwords.formats.model import DIGEST_SIZES, UnsupportedHash

_ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PLAIN = str.maketrans("-_.", "+/+")


def decode_text_salt(match: re.Match[str]) -> tuple[bytes, bytes]:
    """Return a salt that is text, and a digest in base64 (Django) or hexadecimal (Werkzeug)."""
    digest = bytes.fromhex(match["hex"]) if "hex" in match.re.groupindex else decode_base64(match["hash"], DIGEST_SIZES)
    return match["salt"].encode(), digest


def decode_little_endian(text: str) -> int:
    """Decode a number in the base64 of crypt(3): least significant character first."""
    return sum(_ITOA64.index(character) << 6 * place for place, character in enumerate(text))


def decode_itoa64(text: str) -> bytes:
    """Decode the base64 of crypt(3) and phpass: groups of four characters, least significant first."""
    decoded = b""
    for start in range(0, len(text), 4):
        group = text[start : start + 4]
        size = len(group) * 6 // 8
        decoded += decode_little_endian(group).to_bytes(3, "little")[:size]
    return decoded


def decode_hex(text: str, name: str) -> bytes:
    """Decode the digest of this algorithm from hexadecimal."""
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        raise UnsupportedHash from None
    if len(digest) != hashlib.new(name).digest_size:
        raise UnsupportedHash
    return digest


def decode_base64(text: str, sizes: range) -> bytes:
    """Decode any spelling of base64 that systems use for hashes; raises UnsupportedHash for other text, or sizes."""
    plain = text.rstrip("=").translate(_PLAIN)
    try:
        decoded = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise UnsupportedHash from None
    if len(decoded) not in sizes:
        raise UnsupportedHash
    return decoded
