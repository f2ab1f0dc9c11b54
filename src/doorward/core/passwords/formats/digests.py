"""Salted digests: phpass, LDAP, Django, Werkzeug, Ory Kratos."""

import hashlib
import hmac
import re
from collections.abc import Callable

from doorward.core.passwords.formats.encodings import decode_base64, decode_hex, decode_itoa64, decode_little_endian
from doorward.core.passwords.formats.model import (
    SALT_SIZES,
    HashCost,
    HashLimits,
    HashTooCostly,
    StoredHash,
    UnsupportedHash,
)


def parse_phpass(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Parse a phpass hash (WordPress before 6.8, phpBB)."""
    power = decode_little_endian(match["ln"])
    salt, digest = match["salt"].encode(), decode_itoa64(match["hash"])
    if power > bounds.phpass:
        raise HashTooCostly

    def compare(secret: bytes) -> bool:
        result = _md5(salt + secret)
        for _ in range(1 << power):
            result = _md5(result + secret)
        return hmac.compare_digest(result, digest)

    return StoredHash(compare, HashCost("phpass", 4.5e-7 * (1 << power)))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def parse_ldap(match: re.Match[str], _bounds: HashLimits) -> StoredHash:
    """Parse a SHA-1 or SHA-2 digest of LDAP, salted or not."""
    name = {"": "sha1", "256": "sha256", "512": "sha512"}[match["size"]]
    raw = decode_base64(match["hash"], range(1024))
    size = hashlib.new(name).digest_size
    digest, salt = raw[:size], raw[size:]
    if len(digest) != size or (len(salt) not in SALT_SIZES if match["salted"] else salt):
        raise UnsupportedHash
    return _digested(lambda secret: hashlib.new(name, secret + salt).digest(), digest)


def parse_digest_django(match: re.Match[str], _bounds: HashLimits) -> StoredHash:
    """Parse a salted MD5 or SHA-1 digest of Django."""
    name, salt = match["name"], match["salt"].encode()
    return _digested(
        lambda secret: hashlib.new(name, salt + secret, usedforsecurity=False).digest(),
        decode_hex(match["hex"], name),
    )


def parse_hmac_werkzeug(match: re.Match[str], _bounds: HashLimits) -> StoredHash:
    """Parse an HMAC of Werkzeug before 2.3."""
    name, salt = match["name"], match["salt"].encode()
    return _digested(lambda secret: hmac.digest(salt, secret, name), decode_hex(match["hex"], name))


def parse_digest_kratos(match: re.Match[str], _bounds: HashLimits) -> StoredHash:
    """Parse a digest of Ory Kratos: `pf` is the text to hash, with {SALT} and {PASSWORD} in it."""
    name = match["name"]
    template, salt = (
        decode_base64(match["pf"] or "", range(257)) or b"{PASSWORD}",
        decode_base64(match["salt"] or "", range(129)),
    )
    digest = decode_base64(match["hash"], range(hashlib.new(name).digest_size, hashlib.new(name).digest_size + 1))
    if b"{PASSWORD}" not in template:
        # Every password would match.
        raise UnsupportedHash

    def make(secret: bytes) -> bytes:
        text = _PLACEHOLDER.sub(lambda place: salt if place[0] == b"{SALT}" else secret, template)
        return hashlib.new(name, text, usedforsecurity=False).digest()

    return _digested(make, digest)


def parse_hmac_kratos(match: re.Match[str], _bounds: HashLimits) -> StoredHash:
    """Parse an HMAC of Ory Kratos."""
    name, key = match["name"], decode_base64(match["key"], SALT_SIZES)
    try:
        text = decode_base64(match["hash"], range(257)).decode()
    except UnicodeDecodeError:
        raise UnsupportedHash from None
    return _digested(lambda secret: hmac.digest(key, secret, name), decode_hex(text, name))


def _digested(make: Callable[[bytes], bytes], digest: bytes) -> StoredHash:
    return StoredHash(lambda secret: hmac.compare_digest(make(secret), digest), HashCost("digest", 1e-6))


_PLACEHOLDER = re.compile(rb"\{(?:SALT|PASSWORD)\}")
