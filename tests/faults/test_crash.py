"""Power cuts: what was acknowledged is there afterwards, and what was not is there in full or not at all."""

import asyncio
import itertools
import os
import random
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faults.client import Client, Lost, Reply, clients, ready_hash, together
from faults.figures import say
from faults.sizes import CRASH_CLIENTS, CRASHES
from faults.workers import workers_of
from harness import PASSWORD, Process, serving

pytestmark = pytest.mark.slow

YES = frozenset({True})
NO = frozenset({False})
IN_DOUBT = frozenset({True, False})
HASH = ready_hash("pw")


@dataclass
class Journal:
    """What one client knows: for each thing whether it may be there, must be there, or must not."""

    tenants: dict[str, frozenset[bool]] = field(default_factory=dict)
    users: dict[str, frozenset[bool]] = field(default_factory=dict)
    tokens: dict[str, frozenset[bool]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    acknowledged: int = 0

    def sure(self, things: dict[str, frozenset[bool]], state: frozenset[bool]) -> list[str]:
        return [name for name, known in things.items() if known == state]


@dataclass
class Customer:
    """A client that does one thing after the other, and notes each before it asks and after it was answered."""

    client: Client
    name: str
    journal: Journal
    random: random.Random
    over: asyncio.Event
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def live(self) -> None:
        """Go on until the service is gone, or it is time to look what is there."""
        steps = [self.create] * 4 + [self.login] * 4 + [self.logout, self.logout, self.delete, self.register]
        while not self.over.is_set():
            try:
                await self.random.choice(steps)()
            except Lost:
                return

    async def create(self) -> None:
        login = f"{self.name}-{next(self.numbers)}"
        self.journal.users[login] = IN_DOUBT
        if self.happened(await self.client.create(login, HASH)):
            self.journal.users[login] = YES
        else:
            del self.journal.users[login]

    async def login(self) -> None:
        present = self.journal.sure(self.journal.users, YES)
        if not present:
            return
        login = self.random.choice(present)
        answer = await self.client.login(login)
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
        self.journal.tokens[token] = NO if self.happened(await self.client.logout(token)) else YES

    async def delete(self) -> None:
        present = self.journal.sure(self.journal.users, YES)
        if not present:
            return
        login = self.random.choice(present)
        theirs = [token for token in self.journal.sure(self.journal.tokens, YES) if self.journal.owners[token] == login]
        self.journal.users[login] = IN_DOUBT
        self.journal.tokens.update(dict.fromkeys(theirs, IN_DOUBT))
        deleted = self.happened(await self.client.delete(login))
        self.journal.users[login] = NO if deleted else YES
        self.journal.tokens.update(dict.fromkeys(theirs, NO if deleted else YES))

    async def register(self) -> None:
        email = f"{self.name}-{next(self.numbers)}@example.org"
        self.journal.tenants[email] = IN_DOUBT
        answer = await self.client.ask("POST", "/tenant", {"email": email, "password": PASSWORD})
        if self.happened(answer):
            self.journal.tenants[email] = YES
        else:
            del self.journal.tenants[email]

    def happened(self, answer: Reply) -> bool:
        """Tell whether an answer acknowledges the request; the only other answer is that it was refused unhashed."""
        assert answer.status == 200 or answer.body["code"] in {"overloaded", "too_many_attempts"}, answer
        self.journal.acknowledged += answer.status == 200
        return answer.status == 200


async def live_until_the_power_fails(process: Process, token: str, cycle: int, chance: random.Random) -> list[Journal]:
    over = asyncio.Event()
    async with clients(process.port, CRASH_CLIENTS, token) as them:
        customers = [
            Customer(client, f"c{cycle}-{number}", Journal(), random.Random(chance.random()), over)
            for number, client in enumerate(them)
        ]
        lives = [asyncio.create_task(customer.live()) for customer in customers]
        await asyncio.sleep(chance.uniform(0.05, 0.5))
        if cycle % 3 == 2:
            # Only one of the workers, in the middle of whatever it does; the other one serves on.
            os.kill(chance.choice(workers_of(process)), signal.SIGKILL)
            await asyncio.sleep(0.2)
        else:
            await asyncio.to_thread(process.kill)
        over.set()
        await asyncio.gather(*lives)
    return [customer.journal for customer in customers]


async def inspect(port: int, token: str, journals: list[Journal]) -> None:
    async with clients(port, 4, token) as them:
        listed = await them[0].logins()
        assert len(listed) == len(set(listed)), "a login is there twice"
        for journal in journals:
            for login, possible in journal.users.items():
                assert (login in listed) in possible, f"{login}: {possible}"

        async def is_active(client: Client, asked: str) -> bool:
            answer = await client.verify(asked)
            assert answer.status in {200, 400}, answer
            return answer.status == 200

        tokens = [item for journal in journals for item in journal.tokens.items()]
        for (asked, possible), active in zip(
            tokens, await together(them, [asked for asked, _ in tokens], is_active), strict=True
        ):
            assert active in possible, f"a token is {active}, possible was {possible}"
            owner = next(journal.owners[asked] for journal in journals if asked in journal.owners)
            assert owner in listed or not active, "a session without a user"
        await look_closer(them, listed, journals)
    for journal in journals:
        # What was found is no longer in doubt: the next power cut must not change it.
        journal.users.update({login: frozenset({login in listed}) for login in journal.users})


async def look_closer(them: list[Client], listed: list[str], journals: list[Journal]) -> None:
    """All or nothing: whoever is there although nobody said so is there with a password that works."""
    surprises = [login for journal in journals for login in journal.sure(journal.users, IN_DOUBT) if login in listed]
    for login in surprises:
        assert await them[0].session(login), login
    for journal in journals:
        for email, possible in journal.tenants.items():
            if possible == IN_DOUBT:
                again = await them[0].ask("POST", "/tenant", {"email": email, "password": PASSWORD})
                assert again.status in {200, 400}, again
    for journal in journals[:4]:
        for email in list(journal.tenants)[:1]:
            answer = await them[0].ask("POST", "/tenant/login", {"email": email, "password": PASSWORD})
            assert answer.status == 200, (email, answer)


def check_file(file: Path) -> None:
    connection = sqlite3.connect(file)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()


def test_DU1_what_was_acknowledged_survives_kill_9_and_the_rest_is_whole_or_absent(
    store: dict[str, str], tmp_path: Path
) -> None:
    chance = random.Random()
    acknowledged = 0
    before: tuple[str, list[Journal]] | None = None
    with serving(tmp_path, {**store, "WORKERS": "2"}) as process:
        for cycle in range(CRASHES):

            async def crash(number: int) -> tuple[str, list[Journal]]:
                async with clients(process.port, 1) as [registrar]:
                    await registrar.register(f"shop{number}@example.org")
                return registrar.token, await live_until_the_power_fails(process, registrar.token, number, chance)

            token, journals = asyncio.run(crash(cycle))
            acknowledged += sum(journal.acknowledged for journal in journals)
            if cycle % 3 != 2:
                process.start()
            asyncio.run(inspect(process.port, token, journals))
            if before is not None:
                asyncio.run(inspect(process.port, *before))
            before = (token, journals)
        process.kill()
        assert acknowledged > CRASHES, "hardly anything was acknowledged, so hardly anything was tested"
        say(f"{acknowledged} acknowledged in {CRASHES} crashes")
        if not store:
            check_file(tmp_path / "data" / "doorward.db")
