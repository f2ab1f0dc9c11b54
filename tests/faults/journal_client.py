"""Clients that keep a journal of what was acknowledged to them, however they lose their service."""

import asyncio
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from faults.client import Client, Lost, Reply, ready_hash, secret
from harness import PASSWORD

YES = frozenset({True})
NO = frozenset({False})
IN_DOUBT = frozenset({True, False})

HASHES = {password: ready_hash(password) for password in ("pw", "pw-1", "pw-2", "pw-3")}
"""The passwords that users have, one after the other, ready to be taken over, so that nobody waits for hashing."""

_PAUSE = 0.05
"""Seconds that a client waits before it tries something else of a service that did not answer."""


@dataclass
class Journal:
    """What one client knows: for each thing whether it may be there, must be there, or must not."""

    tenants: dict[str, frozenset[bool]] = field(default_factory=dict)
    users: dict[str, frozenset[bool]] = field(default_factory=dict)
    passwords: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each user: the one that is right; or, in doubt, the former and the new one, of which one has to be."""
    tokens: dict[str, frozenset[bool]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    acknowledged: int = 0

    def sure(self, things: dict[str, frozenset[bool]], state: frozenset[bool]) -> list[str]:
        return [name for name, known in things.items() if known == state]

    def tokens_of(self, login: str, state: frozenset[bool]) -> list[str]:
        return [token for token in self.sure(self.tokens, state) if self.owners[token] == login]

    def settled(self) -> list[str]:
        """Return the users that are there for sure, with a password that is known for sure."""
        return [login for login in self.sure(self.users, YES) if len(self.passwords[login]) == 1]


@dataclass
class Customer:
    """A client that does one thing after the other, and notes each before it asks and after it was answered."""

    client: Client
    name: str
    journal: Journal
    random: random.Random
    over: asyncio.Event
    with_redis: bool = False
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def live(self) -> None:
        """Go on until it is time to look what is there; who is not answered tries the next thing."""
        steps = [self.create] * 4 + [self.login] * 4 + [self.logout] * 2 + [self.delete, self.change, self.register]
        while not self.over.is_set():
            try:
                await self.random.choice(steps)()
            except Lost:
                await asyncio.sleep(_PAUSE)

    async def create(self) -> None:
        login = f"{self.name}-{next(self.numbers)}"
        self.journal.users[login] = IN_DOUBT
        self.journal.passwords[login] = ("pw",)
        if self.happened(await self.client.create(login, HASHES["pw"])):
            self.journal.users[login] = YES
        else:
            del self.journal.users[login]

    async def login(self) -> None:
        present = self.journal.settled()
        if not present:
            return
        login = self.random.choice(present)
        [password] = self.journal.passwords[login]
        answer = await self.client.login(login, password)
        if self.happened(answer):
            token = answer.body["accessToken"]
            self.journal.tokens[token] = YES
            self.journal.owners[token] = login

    async def logout(self) -> None:
        live = self.journal.sure(self.journal.tokens, YES)
        if not live:
            return
        token = self.random.choice(live)
        self.journal.tokens[token] = IN_DOUBT
        answer = await self.client.logout(token)
        # A Redis that came back was told of the ending first, if it forgot the session or the note was there before it.
        gone = self.with_redis and answer.status == 400 and answer.body["code"] == "invalid_token"
        self.journal.tokens[token] = NO if gone or self.happened(answer) else YES

    async def delete(self) -> None:
        present = self.journal.settled()
        if not present:
            return
        login = self.random.choice(present)
        theirs = self.journal.tokens_of(login, YES)
        self.journal.users[login] = IN_DOUBT
        self.journal.tokens.update(dict.fromkeys(theirs, IN_DOUBT))
        deleted = self.happened(await self.client.delete(login))
        self.journal.users[login] = NO if deleted else YES
        self.journal.tokens.update(dict.fromkeys(theirs, NO if deleted else YES))

    async def change(self) -> None:
        present = self.journal.settled()
        if not present:
            return
        login = self.random.choice(present)
        [former] = self.journal.passwords[login]
        new = self.random.choice([password for password in HASHES if password != former])
        theirs = self.journal.tokens_of(login, YES)
        self.journal.passwords[login] = (former, new)
        self.journal.tokens.update(dict.fromkeys(theirs, IN_DOUBT))
        changed = self.happened(await self.client.ask("PATCH", f"/user/{login}", secret(HASHES[new])))
        self.journal.passwords[login] = (new,) if changed else (former,)
        self.journal.tokens.update(dict.fromkeys(theirs, NO if changed else YES))

    async def register(self) -> None:
        email = f"{self.name}-{next(self.numbers)}@example.org"
        self.journal.tenants[email] = IN_DOUBT
        answer = await self.client.ask("POST", "/tenant", {"email": email, "password": PASSWORD})
        if self.happened(answer):
            self.journal.tenants[email] = YES
        else:
            del self.journal.tenants[email]

    def happened(self, answer: Reply) -> bool:
        """Tell whether an answer acknowledges the request; Lost where it says that nothing can be said.

        The only other answer is that the request was refused unhashed.
        """
        if answer.status == 503 and answer.body["code"] in {"store_unavailable", "deadline_exceeded"}:
            raise Lost(answer.body["code"])
        assert answer.status == 200 or answer.body["code"] in {"overloaded", "too_many_attempts"}, answer
        self.journal.acknowledged += answer.status == 200
        return answer.status == 200
