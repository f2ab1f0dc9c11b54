"""Argon2 hashes: PHC strings, and the spellings of Django, OpenLDAP, Dovecot and Spring Security."""

import hmac
import re

from argon2.exceptions import HashingError
from argon2.low_level import Type, core, error_to_str, ffi

from doorward.core.passwords.formats.encodings import decode_base64
from doorward.core.passwords.formats.model import (
    DIGEST_SIZES,
    HashCost,
    HashLimits,
    HashTooCostly,
    StoredHash,
    UnsupportedHash,
    sized_algorithm,
)


def parse_argon2(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Parse an Argon2 hash."""
    memory, passes, lanes = int(match["m"]), int(match["t"]), int(match["p"])
    if memory << 10 > bounds.memory or memory * passes > bounds.argon2:
        raise HashTooCostly
    if not passes or not lanes or memory < 8 * lanes:
        raise UnsupportedHash
    salt, digest = decode_base64(match["salt"], range(8, 129)), decode_base64(match["hash"], DIGEST_SIZES)
    kind, version = Type[match["kind"].upper()], int(match["version"] or 16)

    def compare(secret: bytes) -> bool:
        # The context has pointers to these three; they live as long as this call.
        out = ffi.new("uint8_t[]", len(digest))
        given = ffi.new("uint8_t[]", secret)
        salted = ffi.new("uint8_t[]", salt)
        context = ffi.new("argon2_context *")
        context.out, context.outlen = out, len(digest)
        context.pwd, context.pwdlen = given, len(secret)
        context.salt, context.saltlen = salted, len(salt)
        context.version, context.t_cost, context.m_cost = version, passes, memory
        # One thread for all lanes: argon2-cffi's own functions start one for each.
        context.lanes, context.threads = lanes, 1
        code = core(context, kind.value)
        if code != 0:  # ARGON2_OK
            raise HashingError(error_to_str(code))
        return hmac.compare_digest(bytes(ffi.buffer(out)), digest)

    return StoredHash(compare, HashCost(sized_algorithm("argon2", memory << 10), 5e-7 * memory * passes, memory << 10))
