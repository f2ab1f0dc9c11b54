"""Bcrypt hashes, also of passwords that were digested first (Django, WordPress)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping

import bcrypt

from doorward.core.passwords.formats.model import (
    STANDARD,
    HashCost,
    HashLimits,
    HashTooCostly,
    StoredHash,
    UnsupportedHash,
)

LEGACY = "$backend-auth"
"""The prefix of the predecessor's bcrypt strings."""

BCRYPT_MIN_COST = 4
BCRYPT_MAX_COST = STANDARD.bcrypt

BCRYPT_MAX_BYTES = 72


def bcrypt_cost(text: str) -> int | None:
    """Return the cost of a well-formed bcrypt string (`$2a$`, `$2b$`, `$2y$`, 60 characters), else None."""
    form = _BCRYPT.fullmatch(text)
    return int(form[1]) if form else None


def parse_bcrypt(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Parse a bcrypt hash, of a password or of its digest."""
    text, prepare = match["text"], _PREPARED.get(match["prehash"])
    rounds = bcrypt_cost(text)
    if rounds is None or rounds < BCRYPT_MIN_COST:
        raise UnsupportedHash
    if rounds > bounds.bcrypt:
        raise HashTooCostly

    def compare(secret: bytes) -> bool:
        # Systems that hash longer passwords directly truncate them, so the first 72 bytes are the password until the
        # hash is renewed. bcrypt itself reads no more.
        given = prepare(secret) if prepare else secret
        try:
            return bcrypt.checkpw(given[:BCRYPT_MAX_BYTES], text.encode())
        except ValueError:
            return False

    return StoredHash(compare, HashCost("bcrypt", 6e-5 * (1 << rounds)), None if prepare else BCRYPT_MAX_BYTES)


_PREPARED: Mapping[str | None, Callable[[bytes], bytes]] = {
    "bcrypt_sha256$": lambda secret: hashlib.sha256(secret).hexdigest().encode(),
    "$wp": lambda secret: base64.b64encode(hmac.digest(b"wp-sha384", secret, "sha384")),
}
"""Digests of a password that a system hashes with bcrypt instead: Django, WordPress from 6.8 on."""

_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}", re.ASCII)
