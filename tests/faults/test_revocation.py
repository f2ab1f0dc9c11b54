"""Revocation applies to every worker at once."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic_ns

import pytest

from faults.client import Client, Reply, clients, ready_hash, spread
from faults.history import Sighting, Span, linearizable
from faults.sizes import REVOCATION_CLIENTS, REVOCATION_WORKERS, REVOCATIONS
from harness import Process, serving

pytestmark = [pytest.mark.slow, pytest.mark.long]

HASH = ready_hash("pw")
OTHER = ready_hash("another")


async def by_logout(client: Client, _login: str, token: str) -> Reply:
    return await client.logout(token)


async def by_deletion(client: Client, login: str, _token: str) -> Reply:
    return await client.delete(login)


async def by_replacement(client: Client, login: str, _token: str) -> Reply:
    return await client.create(login, OTHER)


WAYS: list[Callable[[Client, str, str], Awaitable[Reply]]] = [by_logout, by_deletion, by_replacement]


async def watch(
    askers: list[Client], token: str, revoke: Callable[[], Awaitable[Reply]]
) -> tuple[Span, list[Sighting]]:
    """Ask from everywhere at once whether the token is active, from before it is revoked until well after."""
    seen: list[Sighting] = []
    everybody_asks = asyncio.Event()
    revoked = asyncio.Event()

    async def ask(asker: Client) -> None:
        left = 3
        while left:
            left -= revoked.is_set()
            start = monotonic_ns()
            answer = await asker.verify(token)
            seen.append(Sighting(Span(start, monotonic_ns()), answer.status == 200))
            assert answer.status in {200, 400}, answer
            if len(seen) >= len(askers):
                everybody_asks.set()

    asking = [asyncio.create_task(ask(asker)) for asker in askers]
    await everybody_asks.wait()
    start = monotonic_ns()
    answer = await revoke()
    span = Span(start, monotonic_ns())
    revoked.set()
    assert answer.status == 200, answer
    await asyncio.gather(*asking)
    return span, seen


async def hammer(process: Process) -> None:
    async with clients(process.port, 1) as [shop]:
        await shop.register("shop@example.org")
        async with spread(
            process.port, workers=REVOCATION_WORKERS, each=REVOCATION_CLIENTS, token=shop.token
        ) as askers:
            for number, way in zip(range(REVOCATIONS), itertools.cycle(WAYS), strict=False):
                login = f"user-{number}"
                await shop.create(login, HASH)
                token = await shop.session(login)
                revoker = askers[number % len(askers)]
                revocation, seen = await watch(
                    [asker for asker in askers if asker is not revoker],
                    token,
                    lambda way=way, by=revoker, of=login, token=token: way(by, of, token),  # type: ignore[misc]
                )
                assert any(sighting.active for sighting in seen)
                assert not all(sighting.active for sighting in seen)
                assert linearizable(revocation, seen), f"{way.__name__}: {revocation} {sorted(seen)}"


def test_DU5_a_revocation_happens_at_one_moment_for_all_workers(store: dict[str, str], tmp_path: Path) -> None:
    settings = {
        **store,
        "WORKERS": str(REVOCATION_WORKERS),
        "EXISTING_LOGIN": "replace",
        "LOG_LEVEL": "info",
    }
    with serving(tmp_path, settings) as process:
        asyncio.run(hammer(process))
