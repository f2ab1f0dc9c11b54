"""PBKDF2 hashes: passlib, Keycloak, Ory, Django, Werkzeug, ASP.NET Core Identity."""

import hashlib
import hmac
import re

from doorward.core.passwords.formats.encodings import decode_base64, decode_text_salt
from doorward.core.passwords.formats.model import (
    DIGEST_SIZES,
    SALT_SIZES,
    HashCost,
    HashLimits,
    HashTooCostly,
    StoredHash,
    UnsupportedHash,
)


def parse_pbkdf2(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Parse a PBKDF2 hash of passlib, Keycloak or Ory."""
    size = match.groupdict().get("size")
    digest = decode_base64(match["hash"], DIGEST_SIZES)
    if size is not None and int(size) != len(digest):
        raise UnsupportedHash
    return _derived(match["name"] or "sha1", int(match["i"]), decode_base64(match["salt"], SALT_SIZES), digest, bounds)


def parse_pbkdf2_text_salt(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Parse a PBKDF2 hash of Django or Werkzeug."""
    return _derived(match["name"], int(match["i"]), *decode_text_salt(match), bounds)


def parse_pbkdf2_aspnet(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Parse a PBKDF2 hash of ASP.NET Core Identity 3.

    It begins with a byte 1, then PRF, iterations and size of the salt in four bytes each.
    """
    raw = decode_base64(match["hash"], range(13 + 16 + 16, 256))
    prf, iterations, size = (int.from_bytes(raw[start : start + 4]) for start in (1, 5, 9))
    salt, digest = raw[13 : 13 + size], raw[13 + size :]
    if prf >= len(_ASPNET_PRFS) or len(salt) != size or len(digest) not in DIGEST_SIZES:
        raise UnsupportedHash
    return _derived(_ASPNET_PRFS[prf], iterations, salt, digest, bounds)


def _derived(name: str, iterations: int, salt: bytes, digest: bytes, bounds: HashLimits) -> StoredHash:
    if iterations > bounds.pbkdf2:
        raise HashTooCostly
    if not iterations or len(salt) not in SALT_SIZES:
        raise UnsupportedHash
    # The blocks of a derived key are independent. The first one has 20 to 64 bytes, which is enough to compare;
    # Keycloak's four blocks of SHA-1 would take four times as long.
    first = digest[: hashlib.new(name).digest_size]
    seconds = (6e-7 if name in {"sha384", "sha512"} else 2.5e-7) * iterations

    def compare(secret: bytes) -> bool:
        return hmac.compare_digest(hashlib.pbkdf2_hmac(name, secret, salt, iterations, len(first)), first)

    return StoredHash(compare, HashCost(f"pbkdf2/{name}", seconds))


_ASPNET_PRFS = ("sha1", "sha256", "sha512")
