"""Concurrent requests over several processes: one winner, exact limits, no revival of deleted users."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.client import Client, clients, ready_hash, spread, together
from faults.sizes import CAP_RACES, DELETIONS, PARALLEL_GUESSES, PARALLEL_LOGINS, REGISTRATION_RACES
from harness import PASSWORD, Process, serving

pytestmark = [pytest.mark.slow, pytest.mark.long]

WORKERS = 4
HASH = ready_hash("pw")
CAP = 5
RACERS = 100
ATTEMPTS = 20


@pytest.fixture
def process(store: dict[str, str], tmp_path: Path) -> Iterator[Process]:
    """Four workers, unthrottled but for failed logins, that keep five sessions a user."""
    settings = {**store, "WORKERS": str(WORKERS), "SESSIONS_PER_USER": str(CAP)}
    with serving(tmp_path, settings) as process:
        yield process


async def register(process: Process, email: str = "shop@example.org") -> str:
    async with clients(process.port, 1) as [client]:
        assert (await client.register(email)).status == 200
        return client.token


def spellings(login: str) -> list[str]:
    """Return every way to write a login in capitals and small letters."""
    return ["".join(letters) for letters in itertools.product(*((c.lower(), c.upper()) for c in login))]


def test_DU10_of_a_hundred_registrations_of_one_login_one_wins(process: Process) -> None:
    async def race(token: str, login: str) -> None:
        variants = list(itertools.islice(itertools.cycle(spellings(login)), RACERS))
        passwords = [f"password-{number}" for number in range(RACERS)]
        hashes = [ready_hash(password) for password in passwords]
        async with spread(process.port, workers=WORKERS, each=RACERS // WORKERS, token=token) as them:
            answers = await asyncio.gather(
                *(
                    client.create(variant, hashed)
                    for client, variant, hashed in zip(them, variants, hashes, strict=True)
                )
            )
            assert Counter(answer.status for answer in answers) == {200: 1, 409: RACERS - 1}
            winner = next(number for number, answer in enumerate(answers) if answer.status == 200)
            assert [name for name in await them[0].logins() if name.lower() == login] == [variants[winner]]
            assert await them[0].session(login, passwords[winner])
            losers = random.sample([number for number in range(RACERS) if number != winner], 3)
            for loser in losers:
                assert (await them[1].login(variants[loser], passwords[loser])).status == 403

    async def races() -> None:
        token = await register(process)
        for number in range(REGISTRATION_RACES):
            await race(token, f"racer{number}".replace("0", "o"))

    asyncio.run(races())


def test_DU10_of_parallel_registrations_of_one_tenant_one_wins(process: Process) -> None:
    async def attempt(client: Client, number: int) -> tuple[int, str]:
        email, password = random.choice(spellings("shop")) + "@example.org", f"{PASSWORD}{number}"
        answer = await client.ask("POST", "/tenant", {"email": email, "password": password})
        while answer.status == 503:
            await asyncio.sleep(0.1)
            answer = await client.ask("POST", "/tenant", {"email": email, "password": password})
        return answer.status, password

    async def race() -> None:
        async with spread(process.port, workers=WORKERS, each=4) as them:
            ends = await asyncio.gather(*(attempt(client, number) for number, client in enumerate(them)))
            assert Counter(status for status, _ in ends) == {200: 1, 400: len(ends) - 1}
            for status, password in [*ends[:2], *(end for end in ends if end[0] == 200)]:
                login = {"email": "shop@example.org", "password": password}
                answer = await them[0].ask("POST", "/tenant/login", login)
                assert answer.status == (200 if status == 200 else 401), answer

    asyncio.run(race())


def test_DU11_whoever_is_deleted_while_being_recognised_stays_deleted(process: Process) -> None:
    async def vanish(login: str, token: str, remover: Client, askers: list[Client]) -> None:
        gone = asyncio.Event()

        async def ask(client: Client) -> None:
            more = 2
            while more:
                more -= gone.is_set()
                await client.verify(token)

        asking = [asyncio.create_task(ask(client)) for client in askers]
        assert (await remover.delete(login)).status == 200
        gone.set()
        await asyncio.gather(*asking)
        assert (await remover.verify(token)).status == 400

    async def race() -> None:
        shop = await register(process)
        logins = [f"user-{number}" for number in range(DELETIONS)]
        async with spread(process.port, workers=WORKERS, each=4, token=shop) as them:
            await together(them, logins, lambda client, login: client.create(login, HASH))
            tokens = await together(them, logins, lambda client, login: client.session(login))
            # So that every worker has each user among those whose activity it is about to write down.
            await together(them, tokens, lambda client, token: client.verify(token))
            for number, (login, token) in enumerate(zip(logins, tokens, strict=True)):
                turn = them[number % 8 :] + them[: number % 8]
                await vanish(login, token, turn[0], turn[1:5])
            await asyncio.sleep(2.5)  # longer than activity waits to be written
            assert await them[0].logins() == []
            assert {answer.status for answer in await asyncio.gather(*(them[0].verify(t) for t in tokens[:1]))} == {400}

    asyncio.run(race())


def test_TK16_parallel_logins_never_exceed_the_cap(process: Process) -> None:
    async def race(shop: str, login: str) -> None:
        async with spread(process.port, workers=WORKERS, each=4, token=shop) as them:
            await them[0].create(login, HASH)
            first = await them[0].session(login)
            tokens = await together(them, range(PARALLEL_LOGINS), lambda client, _: enter(client, login))
            alive = [answer.status == 200 for answer in await together(them, tokens, Client.verify)]
            assert sum(alive) == CAP
            assert (await them[0].verify(first)).status == 400, "the oldest goes first"

    async def enter(client: Client, login: str) -> str:
        # Right passwords in parallel wait for one another, and are refused when that takes too long.
        answer = await client.login(login)
        while answer.status in {429, 503}:
            await asyncio.sleep(0.2)
            answer = await client.login(login)
        assert answer.status == 200, answer
        token: str = answer.body["accessToken"]
        return token

    async def races() -> None:
        shop = await register(process)
        for number in range(CAP_RACES):
            await race(shop, f"user-{number}")

    asyncio.run(races())


def allowed_failures(seconds: float) -> int:
    """Return how many failures fit into a time: five at once, and then after 1, 2, 4 ... seconds one more."""
    allowed, wait, moment = 5, 1.0, 0.0
    while moment + wait <= seconds:
        moment += wait
        wait *= 2
        allowed += 1
    return allowed


def test_BF2_a_burst_of_guesses_over_all_workers_gains_nothing(process: Process) -> None:
    async def guess(token: str) -> None:
        async with spread(process.port, workers=WORKERS, each=50 // WORKERS + 1, token=token) as them:
            await them[0].create("alice", HASH)
            begin = time.monotonic()
            answers = await together(
                them, range(PARALLEL_GUESSES), lambda client, n: client.login("alice", f"guess-{n}")
            )
            took = time.monotonic() - begin
        reached = sum(answer.status == 403 for answer in answers)
        refused = [answer for answer in answers if answer.status == 429]
        assert reached + len(refused) == PARALLEL_GUESSES, Counter(answer.status for answer in answers)
        assert 1 <= reached <= allowed_failures(took), f"{reached} guesses were looked at within {took:.1f} s"
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)

    async def burst() -> None:
        await guess(await register(process))

    asyncio.run(burst())


def test_BF10_a_restart_does_not_forget_failures(process: Process) -> None:
    async def guesses_until_refused(token: str) -> int:
        """Return how many guesses in a row are looked at: five of somebody nothing is held against."""
        async with clients(process.port, 1, token) as [client]:
            for number in itertools.count():
                answer = await client.login("alice", "guess")
                if answer.status == 429:
                    return number
                assert answer.status == 403, answer
        raise AssertionError

    async def begin() -> str:
        token = await register(process)
        async with clients(process.port, 1, token) as [client]:
            await client.create("alice", HASH)
        assert await guesses_until_refused(token) >= 5
        return token

    token = asyncio.run(begin())
    process.kill()
    process.start()
    assert asyncio.run(guesses_until_refused(token)) < 5
    assert process.stop() == 0
    process.start()
    assert asyncio.run(guesses_until_refused(token)) < 5


def test_BF10_a_limit_over_all_workers_is_met_exactly_and_outlives_a_restart(
    store: dict[str, str], tmp_path: Path
) -> None:
    settings = {
        **store,
        "WORKERS": str(WORKERS),
        "THROTTLER_MAX": str(ATTEMPTS),
        # One more only after more than an hour: whatever the machine is busy with, none comes back in between.
        "THROTTLER_INTERVAL": "86400000",
    }

    async def knock(service: Process, times: int) -> Counter[int]:
        async with spread(service.port, workers=WORKERS, each=8) as them:
            answers = await together(
                them, range(times), lambda client, _: client.ask("POST", "/tenant/verify", {"token": "x"})
            )
        assert all(int(answer.headers["retry-after"]) > 60 for answer in answers if answer.status == 429)
        return Counter(answer.status for answer in answers)

    with serving(tmp_path, settings) as service:
        assert asyncio.run(knock(service, 100)) == {400: ATTEMPTS, 429: 100 - ATTEMPTS}
        assert service.stop() == 0
        service.start()
        assert asyncio.run(knock(service, 40)) == {429: 40}
