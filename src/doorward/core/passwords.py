"""Hash, match, upgrade: argon2id off the event loop, in a bounded pool whose threads give way to everything else.

A password is text. It is hashed in its NFC form (NIST SP 800-63B, section 3.1.1.2; RFC 8265), every byte of it, so the
same characters typed on another keyboard match; beyond that nothing is changed and nothing is cut.
"""

import asyncio
import os
import re
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import argon2
import bcrypt

from doorward.core.fairness import FairSeats

MAX_CHARACTERS = 256
MAX_BYTES = 1024
BCRYPT_MAX_COST = 14
BCRYPT_MIN_COST = 4
BCRYPT_MAX_BYTES = 72

_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}", re.ASCII)
_NICE = 10

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Argon2Parameters:
    """Cost of a hash: memory in KiB, passes, lanes (RFC 9106). The defaults are the floor that OWASP sets."""

    memory: int = 19_456
    passes: int = 2
    lanes: int = 1


class Match(NamedTuple):
    """Whether the password was right, and whether its hash should be made anew with today's parameters."""

    right: bool
    outdated: bool = False


def bcrypt_cost(text: str) -> int | None:
    """Return the cost of a well-formed bcrypt string (`$2a$`, `$2b$`, `$2y$`, 60 characters), else None."""
    form = _BCRYPT.fullmatch(text)
    return int(form[1]) if form else None


class Hasher:
    """Computes and checks hashes, in the calling thread. Slow on purpose."""

    def __init__(self, parameters: Argon2Parameters) -> None:
        """Hash with `parameters`; the decoy for users that do not exist is made with them too."""
        self._argon2 = argon2.PasswordHasher(
            time_cost=parameters.passes, memory_cost=parameters.memory, parallelism=parameters.lanes
        )
        self._decoy = self._argon2.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """Return the argon2id hash of a password in the PHC string format."""
        return self._argon2.hash(unicodedata.normalize("NFC", password))

    def match(self, password: str, stored: str | None) -> Match:
        """Compare a password with a stored hash; always exactly one hash is computed, also where there is none.

        An empty or unreadable stored hash matches no password.
        """
        if stored and stored.startswith("$2"):
            return Match(self._match_bcrypt(password, stored), outdated=True)
        known = stored or self._decoy
        try:
            self._argon2.verify(known, unicodedata.normalize("NFC", password))
        except (argon2.exceptions.VerificationError, ValueError):
            return Match(right=False)
        return Match(right=bool(stored), outdated=bool(stored) and self._argon2.check_needs_rehash(known))

    @staticmethod
    def _match_bcrypt(password: str, stored: str) -> bool:
        # Over a ready hash the exact bytes count: whoever made it knew nothing of our normal form. bcrypt sees only 72
        # bytes; a longer password cannot be told from others with the same beginning, so it is never right.
        secret = password.encode()
        try:
            right = bcrypt.checkpw(secret[:BCRYPT_MAX_BYTES], stored.encode())
        except ValueError:
            return False
        return right and len(secret) <= BCRYPT_MAX_BYTES


def give_way() -> None:
    """Make the calling thread nicer than the process it is in."""
    # Linux schedules threads, and niceness is per thread there: hashing must never keep the event loop waiting.
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE)


class Passwords:
    """Hashes off the event loop, at most `threads` at a time, tenants in turn, and refuses before it queues too much.

    `patience` is the longest acceptable wait for a thread in seconds; beyond it `Overloaded` is raised unhashed.
    """

    def __init__(self, hasher: Hasher, *, threads: int, patience: float = 1.0) -> None:
        """Start `threads` threads when they are first needed."""
        self._hasher = hasher
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hash", initializer=give_way)
        self._seats = FairSeats(threads, patience=patience, service_time=0.03)
        self.hashed = 0

    async def hash(self, password: str, *, group: str) -> str:
        """Return the hash to store for a password. `group` names whose share of the pool is used."""
        return await self._run(group, lambda: self._hasher.hash(password))

    async def match(self, password: str, stored: str | None, *, group: str) -> Match:
        """Compare a password with a stored hash, or with a decoy of equal cost where there is none."""
        return await self._run(group, lambda: self._hasher.match(password, stored))

    @property
    def waiting(self) -> int:
        """How many are waiting for a thread."""
        return self._seats.waiting

    def check_room(self, group: str) -> None:
        """Raise Overloaded where a hash of the group would have to wait too long: before anything is spent on it."""
        self._seats.check(group)

    async def _run(self, group: str, work: Callable[[], Result]) -> Result:
        async with self._seats.seat(group):
            self.hashed += 1
            # Shielded: a caller that goes away gives up the answer, but the seat only when the thread is free again.
            running = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(self._pool, work))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                while not running.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([running])
                raise

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
