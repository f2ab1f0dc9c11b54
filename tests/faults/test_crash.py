"""Power cuts: acknowledged changes survive, all others are complete or absent."""

import asyncio
import os
import random
import signal
import sqlite3
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import pytest

from faults.client import Client, PatientClient, clients, together
from faults.figures import say
from faults.journal_client import IN_DOUBT, YES, Customer, Journal
from faults.power import SETUPS, Stores
from faults.sizes import CRASH_CLIENTS
from faults.workers import workers_of
from harness import KEY, PASSWORD, Process, serving

pytestmark = [pytest.mark.slow, pytest.mark.long]

_SAMPLE = 6
"""How many passwords of each kind are looked at after a crash: each costs a hash."""


class Cut(Enum):
    """Who dies, in turn."""

    EVERYTHING = 0
    SERVERS = 1
    """The processes of the stores only: the service goes on and has to heal by itself."""
    WORKER = 2
    """One of the workers, in the middle of whatever it does: the other one serves on."""


@pytest.fixture(params=SETUPS)
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    with SETUPS[request.param]() as stores:
        yield stores


def cut_of(cycle: int, stores: Stores) -> Cut:
    cut = Cut(cycle % 3)
    return Cut.EVERYTHING if cut is Cut.SERVERS and not stores.servers else cut


async def live_until_the_power_fails(
    process: Process, stores: Stores, token: str, cycle: int, chance: random.Random
) -> list[Journal]:
    over = asyncio.Event()
    async with clients(process.port, CRASH_CLIENTS, token) as them:
        customers = [
            Customer(client, f"c{cycle}-{number}", Journal(), random.Random(chance.random()), over, stores.has_redis)
            for number, client in enumerate(them)
        ]
        lives = [asyncio.create_task(customer.live()) for customer in customers]
        await asyncio.sleep(chance.uniform(0.05, 0.5))
        match cut_of(cycle, stores):
            case Cut.EVERYTHING:
                # The service first or the stores first: neither may matter.
                for end in chance.sample([process.kill, stores.kill], 2):
                    await asyncio.to_thread(end)
            case Cut.SERVERS:
                await asyncio.to_thread(stores.kill)
                await asyncio.to_thread(stores.start)
                await healed(process.port)
            case Cut.WORKER:
                os.kill(chance.choice(workers_of(process)), signal.SIGKILL)
                await asyncio.sleep(0.2)
        over.set()
        await asyncio.gather(*lives)
    return [customer.journal for customer in customers]


async def healed(port: int) -> None:
    """Wait until the service says by itself that its stores answer."""
    async with clients(port, 1, kind=PatientClient) as [client]:
        assert (await client.ask("GET", "/health/ready")).status == 200


async def inspect(port: int, stores: Stores, token: str, journals: list[Journal]) -> None:
    async with clients(port, 4, token, PatientClient) as them:
        listed = await them[0].logins()
        assert len(listed) == len(set(listed)), "a login is there twice"
        for journal in journals:
            for login, possible in journal.users.items():
                assert (login in listed) in possible, f"{login}: {possible}"
        await look_at_tokens(them, stores, set(listed), journals)
        await look_at_passwords(them, journals)
        await look_closer(them, listed, journals)
    for journal in journals:
        # What was found is no longer in doubt: the next power cut must not change it.
        journal.users.update({login: frozenset({login in listed}) for login in journal.users})


async def look_at_tokens(them: list[Client], stores: Stores, listed: set[str], journals: list[Journal]) -> None:
    tokens = [(journal, asked, possible) for journal in journals for asked, possible in journal.tokens.items()]
    for (journal, asked, possible), active in zip(
        tokens, await together(them, [asked for _, asked, _ in tokens], is_active), strict=True
    ):
        assert active in possible or (not active and not stores.keeps_sessions), (
            f"a token is {'active' if active else 'dead'}, possible was {possible}"
        )
        assert journal.owners[asked] in listed or not active, "a session without a user"


async def is_active(client: Client, token: str) -> bool:
    answer = await client.verify(token)
    assert answer.status in {200, 400}, answer
    return answer.status == 200


async def look_at_passwords(them: list[Client], journals: list[Journal]) -> None:
    """One password is right; and with a new one, whether that was acknowledged or not, no session of the former lives."""
    changed = [
        (journal, login) for journal in journals for login, known in journal.passwords.items() if known[-1] != "pw"
    ]
    present = [(journal, login) for journal, login in changed if journal.users[login] == YES]
    doubtful = [(journal, login) for journal, login in present if len(journal.passwords[login]) > 1]
    for journal, login in [*doubtful, *present[:_SAMPLE]]:
        known = journal.passwords[login]
        former = [token for token in journal.tokens_of(login, IN_DOUBT) if await is_active(them[0], token)]
        right = [password for password in known if (await them[0].login(login, password)).status == 200]
        assert len(right) == 1, f"{login}: of {known} right are {right}"
        assert len(known) == 1 or right != [known[-1]] or not former, "a session outlived the password that opened it"
        journal.passwords[login] = (right[0],)


async def look_closer(them: list[Client], listed: list[str], journals: list[Journal]) -> None:
    """All or nothing: whoever is there although nobody said so is there with a password that works."""
    surprises = [login for journal in journals for login in journal.sure(journal.users, IN_DOUBT) if login in listed]
    for login in surprises[:_SAMPLE]:
        [password] = next(journal.passwords[login] for journal in journals if login in journal.users)
        assert await them[0].session(login, password), login
    doubtful = [email for journal in journals for email in journal.sure(journal.tenants, IN_DOUBT)][:_SAMPLE]
    for email in doubtful:
        again = await them[0].ask("POST", "/tenant", {"email": email, "password": PASSWORD})
        assert again.status in {200, 400}, again
    sure = [email for journal in journals for email in journal.sure(journal.tenants, YES)][:_SAMPLE]
    for email in [*doubtful, *sure]:
        answer = await them[0].ask("POST", "/tenant/login", {"email": email, "password": PASSWORD})
        assert answer.status == 200, (email, answer)


def check_file(file: Path) -> None:
    connection = sqlite3.connect(file)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()


async def credential(port: int, stores: Stores, number: int) -> str:
    """Register a tenant and return what it speaks with: a key, where its session would not outlive the next cut."""
    async with clients(port, 1, kind=PatientClient) as [registrar]:
        assert (await registrar.register(f"shop{number}@example.org")).status == 200
        if stores.keeps_sessions:
            return registrar.token
        wanted = {"name": "crash", "permissions": ["verify", "users:read", "users:write", "sessions"]}
        made = await registrar.ask("POST", "/tenant/key", wanted)
        assert made.status == 201, made
        key: str = made.body["key"]
        return key


def test_DU1_what_was_acknowledged_survives_kill_9_and_the_rest_is_whole_or_absent(
    stores: Stores, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["stores"]
    chance = random.Random()
    crashes = stores.crashes
    acknowledged = 0
    before: tuple[str, list[Journal]] | None = None
    environment = {**stores.settings, "WORKERS": "2", **({"JWT_KEY": KEY} if stores.servers else {})}
    with serving(tmp_path, environment) as process:
        for cycle in range(crashes):

            async def crash(number: int) -> tuple[str, list[Journal]]:
                token = await credential(process.port, stores, number)
                return token, await live_until_the_power_fails(process, stores, token, number, chance)

            token, journals = asyncio.run(crash(cycle))
            acknowledged += sum(journal.acknowledged for journal in journals)
            if cut_of(cycle, stores) is Cut.EVERYTHING:
                stores.start()
                process.start()
            asyncio.run(inspect(process.port, stores, token, journals))
            if before is not None:
                asyncio.run(inspect(process.port, stores, *before))
            before = (token, journals)
        process.kill()
        assert acknowledged > crashes, "hardly anything was acknowledged, so hardly anything was tested"
        say(f"{acknowledged} changes acknowledged before {crashes} cuts ({name})")
        if "DATABASE_URL" not in stores.settings:
            check_file(tmp_path / "data" / "doorward.db")
