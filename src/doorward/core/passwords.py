"""Hash, match, upgrade: argon2id off the event loop, in a bounded pool whose threads give way to everything else.

A password is text. It is hashed in its NFC form (NIST SP 800-63B, section 3.1.1.2; RFC 8265), every byte of it, so the
same characters typed on another keyboard match; beyond that nothing is changed and nothing is cut.
"""

import asyncio
import os
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple, TypeVar

import argon2

from doorward.core import hash_formats
from doorward.core.durations import Durations
from doorward.core.fairness import FairSeats
from doorward.core.hash_formats import UnfitHash
from doorward.core.memory import give_back

MAX_CHARACTERS = 256
MAX_BYTES = 1024

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


class Proof(NamedTuple):
    """What a password proved, and the hash that should be kept instead of the outdated one, if that could be made."""

    match: Match
    renewed: str | None = None


class Hasher:
    """Computes and checks hashes, in the calling thread. Slow on purpose."""

    def __init__(self, parameters: Argon2Parameters) -> None:
        """Hash with `parameters`; the decoy for users that do not exist is made with them too."""
        self._argon2 = argon2.PasswordHasher(
            time_cost=parameters.passes, memory_cost=parameters.memory, parallelism=parameters.lanes
        )
        self._compare_decoy = hash_formats.read(self._argon2.hash(secrets.token_urlsafe()))

    def hash(self, password: str) -> str:
        """Return the argon2id hash of a password in the PHC string format."""
        return self._argon2.hash(unicodedata.normalize("NFC", password))

    def match(self, password: str, stored: str | None) -> Match:
        """Compare a password with a stored hash; always exactly one hash is computed, also where there is none.

        An empty or unreadable stored hash, or one beyond the bounds, matches no password. Right for a hash of another
        format, or of other parameters, is outdated.
        """
        try:
            compare = hash_formats.read(stored or "")
        except UnfitHash:
            stored, compare = None, self._compare_decoy
        # Over a hash that was made elsewhere the exact bytes count: its maker knew nothing of our normal form. Of an
        # argon2id hash nobody can tell who made it.
        ours = stored is None or stored.startswith("$argon2id$")
        try:
            right = compare((unicodedata.normalize("NFC", password) if ours else password).encode())
        except UnicodeEncodeError:
            return Match(right=False)
        if stored is None or not right:
            return Match(right=False)
        return Match(right=True, outdated=not ours or self._argon2.check_needs_rehash(stored))


def give_way() -> None:
    """Make the calling thread nicer than the process it is in."""
    # Linux schedules threads, and niceness is per thread there: hashing must never keep the event loop waiting.
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE)


class Passwords:
    """Hashes off the event loop, at most `threads` at a time, tenants in turn, and refuses before it queues too much.

    `patience` is the longest acceptable wait for a thread in seconds; beyond it `Overloaded` is raised unhashed.
    `hashed` counts the hashes, `waits` how long they waited for a thread.
    """

    def __init__(self, hasher: Hasher, *, threads: int, patience: float = 1.0) -> None:
        """Start `threads` threads when they are first needed."""
        self._hasher = hasher
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hash", initializer=give_way)
        self._seats = FairSeats(threads, patience=patience, service_time=0.03)
        self.hashed = 0
        self.waits = Durations()
        self._hashed_before = self._given_back = 0

    async def hash(self, password: str, *, group: str) -> str:
        """Return the hash to store for a password. `group` names whose share of the pool is used."""
        return await self._run(group, lambda: self._hasher.hash(password))

    async def match(self, password: str, stored: str | None, *, group: str) -> Match:
        """Compare a password with a stored hash, or with a decoy of equal cost where there is none."""
        return await self._run(group, lambda: self._hasher.match(password, stored))

    async def prove(self, password: str, stored: str | None, *, group: str) -> Proof:
        """Compare as `match` does, and make an outdated hash anew in the same turn: nobody waits for a thread twice."""
        return await self._run(group, lambda: self._prove(password, stored))

    def _prove(self, password: str, stored: str | None) -> Proof:
        match = self._hasher.match(password, stored)
        if not match.outdated:
            return Proof(match)
        try:
            return Proof(match, self._hasher.hash(password))
        except (MemoryError, argon2.exceptions.HashingError):
            # The password was right; a hash that could not be renewed today is renewed at the next login.
            return Proof(match)

    @property
    def waiting(self) -> int:
        """How many are waiting for a thread."""
        return self._seats.waiting

    @property
    def seats_taken(self) -> int:
        """How many threads are hashing."""
        return self._seats.taken

    def check_room(self, group: str) -> None:
        """Raise Overloaded where a hash of the group would have to wait too long: before anything is spent on it."""
        self._seats.check(group)

    async def _run(self, group: str, work: Callable[[], Result]) -> Result:
        asked = perf_counter()
        async with self._seats.seat(group):
            self.waits.add(perf_counter() - asked)
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

    async def rest(self) -> None:
        """Give the memory of past hashes back to the system, unless one was asked for since this was called before."""
        before, self._hashed_before = self._hashed_before, self.hashed
        if self.hashed == before and self.hashed != self._given_back:
            self._given_back = self.hashed
            await asyncio.get_running_loop().run_in_executor(self._pool, give_back)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
