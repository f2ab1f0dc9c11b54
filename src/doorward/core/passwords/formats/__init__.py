"""Password hashes in the formats of other systems: strict parsing, cost limits, comparison.

Parsing costs microseconds. The cost of a comparison depends on the hash, up to `HashLimits`; `HashCost` is the
estimate.
"""

from doorward.core.passwords.formats.bcrypt import (
    BCRYPT_MAX_BYTES,
    BCRYPT_MAX_COST,
    BCRYPT_MIN_COST,
    LEGACY,
    bcrypt_cost,
)
from doorward.core.passwords.formats.model import (
    RAISED,
    STANDARD,
    CompareFunction,
    HashCost,
    HashLimits,
    HashTooCostly,
    StoredHash,
    UnsupportedHash,
)
from doorward.core.passwords.formats.parser import MAX_HASH_LENGTH, parse_hash

__all__ = [
    "BCRYPT_MAX_BYTES",
    "BCRYPT_MAX_COST",
    "BCRYPT_MIN_COST",
    "LEGACY",
    "MAX_HASH_LENGTH",
    "RAISED",
    "STANDARD",
    "CompareFunction",
    "HashCost",
    "HashLimits",
    "HashTooCostly",
    "StoredHash",
    "UnsupportedHash",
    "bcrypt_cost",
    "parse_hash",
]
