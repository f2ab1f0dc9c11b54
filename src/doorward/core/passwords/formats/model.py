"""Parsed password hashes, their cost, and the limits on it."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple


class HashLimits(NamedTuple):
    """The largest accepted cost of a hash.

    `memory` is in bytes, for argon2 and scrypt. `argon2` counts passes times KiB, `scrypt` N·r·p, `pbkdf2` iterations.
    `bcrypt` and `phpass` are the logarithm of the rounds. The lanes of argon2 are bounded by the memory alone, since
    one thread computes all of them.
    """

    memory: int
    argon2: int
    scrypt: int
    pbkdf2: int
    bcrypt: int
    phpass: int


STANDARD = HashLimits(memory=1 << 27, argon2=1 << 20, scrypt=1 << 20, pbkdf2=2_000_000, bcrypt=14, phpass=15)
"""Limits of the API. The parameters that the service's own settings allow are within them."""

RAISED = HashLimits(memory=1 << 30, argon2=1 << 22, scrypt=1 << 23, pbkdf2=10_000_000, bcrypt=16, phpass=18)
"""Limits that an operator may choose for an import. A stored hash beyond them matches no password."""

SALT_SIZES = range(1, 129)
DIGEST_SIZES = range(16, 129)

CompareFunction = Callable[[bytes], bool]
"""Returns whether the bytes of a password match; computes exactly one hash, in the calling thread alone."""


class HashCost(NamedTuple):
    """Estimated cost of one comparison: CPU seconds on a reference machine, and bytes of memory.

    The reference is one x86-64 core at 19 ms for argon2id with 19 MiB and two passes. The figures of one `algorithm`
    are off by about the same factor on another machine, so measurements of one hash correct the estimates of others
    (`core/passwords/costs.py`).
    """

    algorithm: str
    seconds: float
    memory: int = 0


class StoredHash(NamedTuple):
    """A parsed password hash.

    `prefix` is the number of bytes of a password that the hash covers, if it does not cover all.
    """

    compare: CompareFunction
    cost: HashCost
    prefix: int | None = None


class UnsupportedHash(Exception):
    """A text that cannot be stored as a password hash. `sentence` does not repeat it.

    `rule` is the sentence without its subject.
    """

    code: ClassVar[str] = "hash_unreadable"
    rule: ClassVar[str] = "is of no known format, or not well-formed"
    sentence: ClassVar[str] = f"The password hash {rule}"


class HashTooCostly(UnsupportedHash):
    """A well-formed hash whose comparison would take too much memory or time."""

    code = "hash_too_costly"
    rule = "demands more memory or time than is allowed"
    sentence = f"The password hash {rule}"


def sized_algorithm(algorithm: str, memory: int) -> str:
    """Return the name under which hashes of about this much memory are measured: caches make small ones cheaper."""
    return f"{algorithm}/{memory.bit_length()}"
