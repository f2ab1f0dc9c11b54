"""Scrypt hashes: PHC strings, crypt(3), Django, Werkzeug, Better Auth, Firebase."""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable

from doorward.core.passwords.formats.encodings import (
    decode_base64,
    decode_itoa64,
    decode_little_endian,
    decode_text_salt,
)
from doorward.core.passwords.formats.model import (
    DIGEST_SIZES,
    SALT_SIZES,
    HashCost,
    HashLimits,
    HashTooCostly,
    StoredHash,
    UnsupportedHash,
    sized_algorithm,
)

_MAX_LN = 31
_SCRYPT_BLOCKS = 1 << 20
"""Bytes that scrypt may use in addition to its table, so that the largest table is within the limit."""


def parse_scrypt(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Parse a scrypt hash of passlib or Ory."""
    power = int(match["ln"])
    # Ory writes N itself there; no system has ever used an N as small as 31.
    count = 1 << power if power <= _MAX_LN else power
    salt, digest = decode_base64(match["salt"], SALT_SIZES), decode_base64(match["hash"], DIGEST_SIZES)
    return _scrypted(count, int(match["r"]), int(match["p"]), salt, digest, bounds)


def parse_scrypt_text_salt(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Parse a scrypt hash of Django or Werkzeug."""
    salt, digest = decode_text_salt(match)
    return _scrypted(int(match["n"]), int(match["r"]), int(match["p"]), salt, digest, bounds)


def parse_scrypt_mcf(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Parse a scrypt hash of crypt(3)."""
    power, block, lanes = (decode_little_endian(match[name]) for name in ("ln", "r", "p"))
    return _scrypted(1 << power, block, lanes, match["salt"].encode(), decode_itoa64(match["hash"]), bounds)


def parse_scrypt_better_auth(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Parse a scrypt hash of Better Auth."""
    # The salt is hexadecimal, and hashed as that text.
    stored = _scrypted(16_384, 16, 1, match["salt"].encode(), bytes.fromhex(match["hex"]), bounds)
    return stored._replace(
        compare=lambda secret: stored.compare(unicodedata.normalize("NFKC", secret.decode()).encode())
    )


def _scrypted(count: int, block: int, lanes: int, salt: bytes, digest: bytes, bounds: HashLimits) -> StoredHash:
    derive, cost = _derive_scrypt(count, block, lanes, salt, len(digest), bounds)
    return StoredHash(lambda secret: hmac.compare_digest(derive(secret), digest), cost)


def _derive_scrypt(
    count: int, block: int, lanes: int, salt: bytes, size: int, bounds: HashLimits
) -> tuple[Callable[[bytes], bytes], HashCost]:
    # OpenSSL counts the blocks of all lanes and two more in addition to the N of the table.
    memory = 128 * block * (count + lanes + 2)
    if memory > bounds.memory + _SCRYPT_BLOCKS or count * block * lanes > bounds.scrypt:
        raise HashTooCostly
    if count <= 1 or count & (count - 1) or not block or not lanes or len(salt) not in SALT_SIZES:
        raise UnsupportedHash
    if count.bit_length() > 16 * block:
        # RFC 7914, section 2: N < 2^(128 r / 8). No scrypt computes such a hash.
        raise UnsupportedHash

    def derive(secret: bytes) -> bytes:
        return hashlib.scrypt(secret, salt=salt, n=count, r=block, p=lanes, maxmem=memory + (1 << 20), dklen=size)

    # PBKDF2 computes the blocks, which dominates where N is small.
    return derive, HashCost(sized_algorithm("scrypt", memory), (3e-7 * count + 3e-6) * block * lanes, memory)


def parse_firebase(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Parse a hash of Firebase: scrypt, then AES of a key of the project."""
    salt = decode_base64(match["salt"], SALT_SIZES) + decode_base64(match["separator"] or "", range(65))
    signer, digest = decode_base64(match["signer"], DIGEST_SIZES), decode_base64(match["hash"], DIGEST_SIZES)
    # A shift by an attacker's number would be the attack.
    count = 1 << min(int(match["ln"]), _MAX_LN)
    derive, cost = _derive_scrypt(count, int(match["r"]), int(match.groupdict().get("p", 1)), salt, 32, bounds)

    def compare(secret: bytes) -> bool:
        # Only users from Firebase need AES, so the first of them loads it.
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - see above

        cipher = Cipher(algorithms.AES(derive(secret)), modes.CTR(bytes(16)))
        return hmac.compare_digest(cipher.encryptor().update(signer), digest)

    return StoredHash(compare, cost)
