"""Password hashing: argon2id, and comparison with hashes in the formats of other systems.

A password is text. It is hashed in its NFC form (NIST SP 800-63B, section 3.1.1.2; RFC 8265), every byte of it, so the
same characters typed on another keyboard match. Nothing else is changed and nothing is truncated.
"""

import logging
import secrets
import unicodedata
from dataclasses import dataclass
from functools import partial
from time import perf_counter, thread_time
from typing import NamedTuple

import argon2

from doorward.core.passwords import formats
from doorward.core.passwords.costs import CostModel
from doorward.core.passwords.formats import CompareFunction, HashCost, UnsupportedHash

log = logging.getLogger(__name__)

MAX_PASSWORD_CHARACTERS = 256
MAX_PASSWORD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Argon2Parameters:
    """The cost of a hash: memory in KiB, passes, lanes (RFC 9106).

    The defaults are the minimum that OWASP recommends.
    """

    memory: int = 19_456
    passes: int = 2
    lanes: int = 1


class PasswordMatch(NamedTuple):
    """The result of a comparison: a right password, and a hash that is outdated."""

    right: bool
    outdated: bool = False


class HashComparison(NamedTuple):
    """A parsed stored hash. `stored` is None for the decoy, which matches no password.

    `prefix` is the number of bytes of a password that the hash covers, where it does not cover all.
    """

    stored: str | None
    compare: CompareFunction
    cost: HashCost
    prefix: int | None = None


class Hasher:
    """Computes and compares hashes in the calling thread.

    `costs` estimates their CPU time, as `timer` measures it.
    """

    def __init__(self, parameters: Argon2Parameters) -> None:
        """Hash with `parameters`, also the decoy for users that do not exist."""
        self._argon2 = argon2.PasswordHasher(
            time_cost=parameters.passes, memory_cost=parameters.memory, parallelism=parameters.lanes
        )
        self._parallel = parameters.lanes > 1
        self._own = f"$argon2id$v=19$m={parameters.memory},t={parameters.passes},p={parameters.lanes}$"
        # Several lanes run on threads that the clock of this thread does not count: wall time is the substitute.
        self.timer = perf_counter if self._parallel else thread_time
        began = self.timer()
        decoy = self._argon2.hash(secrets.token_urlsafe())
        took = self.timer() - began
        self.costs = CostModel(formats.parse_hash(decoy).cost, took)
        self._decoy = self.parse(decoy)._replace(stored=None)

    def hash(self, password: str) -> str:
        """Return the argon2id hash of a password in the PHC string format."""
        return self._argon2.hash(unicodedata.normalize("NFC", password))

    def match(self, password: str, stored: str | None) -> PasswordMatch:
        """Compare a password with a stored hash; see `parse` and `compare`."""
        return self.compare(password, self.parse(stored))

    def parse(self, stored: str | None) -> HashComparison:
        """Parse a stored hash; return the decoy where it is missing, malformed or beyond the limits."""
        try:
            compare, cost, prefix = formats.parse_hash(stored or "", formats.RAISED)
        except UnsupportedHash:
            return self._decoy
        if self._parallel and stored and stored.startswith(self._own):
            compare = partial(self._verify, stored)
        return HashComparison(stored, compare, cost, prefix)

    def cost(self, stored: str | None) -> HashCost:
        """Return the cost of a comparison with a stored hash, or with the decoy in its place."""
        if stored and stored.startswith(self._own):
            return self.costs.native
        return self.parse(stored).cost

    def compare(self, password: str, against: HashComparison) -> PasswordMatch:
        """Compare a password with a parsed hash; always computes exactly one hash, also for the decoy.

        A match with a hash of another format, or of other parameters, is outdated. A comparison that fails with an
        error matches nothing. A password of which the hash covers only the beginning matches by that, and a line is
        logged.
        """
        stored = against.stored
        # For a hash from another system the exact bytes count: that system does not apply NFC. The origin of an
        # argon2id hash is unknown.
        ours = stored is None or stored.startswith("$argon2id$")
        try:
            secret = (unicodedata.normalize("NFC", password) if ours else password).encode()
            right = against.compare(secret)
        except UnicodeEncodeError:
            return PasswordMatch(right=False)
        except Exception as error:  # noqa: BLE001 - a wrong password is counted as a failure, an error 500 is not
            log.warning(
                "password comparison failed, treated as a wrong password",
                extra={"algorithm": against.cost.algorithm, "error": type(error).__name__},
            )
            return PasswordMatch(right=False)
        if stored is None or not right:
            return PasswordMatch(right=False)
        if against.prefix is not None and len(secret) > against.prefix:
            log.info(
                "long password verified by its first %d bytes: its imported hash covers no more",
                against.prefix,
                extra={"algorithm": against.cost.algorithm},
            )
        return PasswordMatch(right=True, outdated=not ours or self._argon2.check_needs_rehash(stored))

    def _verify(self, stored: str, secret: bytes) -> bool:
        """Compare with one of the service's own hashes, its lanes in parallel."""
        try:
            return self._argon2.verify(stored, secret)
        except argon2.exceptions.VerifyMismatchError:
            return False
