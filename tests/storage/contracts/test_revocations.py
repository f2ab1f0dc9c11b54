"""Contract of revocation stores (`doorward.core.ports.RevocationStore`)."""

import asyncio
from uuid import uuid4

import pytest

from doorward.core.ports import Revocation
from factories import NOW, Workers

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def all_of(workers: Workers, *, limit: int) -> list[Revocation]:
    store = workers.revocations[1]
    found: list[Revocation] = []
    after = ""
    while page := await store.page(after=after, limit=limit):
        assert len(page) <= limit
        found += page
        after = page[-1].name
    return found


async def test_an_ending_is_remembered_once_and_pages_go_through_all_in_one_order(workers: Workers) -> None:
    run = uuid4().hex
    endings = [Revocation(f"place-{n}", f"{run}{name}", expires_at=None) for n, name in enumerate("Zz-_a0A~ä")]
    await asyncio.gather(*(workers.revocations[n % 2].record(ending) for n, ending in enumerate([*endings, *endings])))
    found = [ending for ending in await all_of(workers, limit=2) if ending.name.startswith(run)]
    assert found == sorted(endings, key=lambda ending: ending.name)


async def test_a_sweep_removes_only_endings_of_what_would_be_over_by_now(workers: Workers) -> None:
    store, elsewhere = workers.revocations
    run = uuid4().hex
    over, later, always = (Revocation("place", f"{run}{n}", at) for n, at in enumerate([NOW, NOW + 1, None]))
    for ending in (over, later, always):
        await store.record(ending)
    while await elsewhere.sweep(NOW, limit=1):
        continue
    assert [ending for ending in await all_of(workers, limit=50) if ending.name.startswith(run)] == [later, always]


async def test_a_server_is_trusted_from_when_somebody_vouched_for_it(workers: Workers) -> None:
    store, elsewhere = workers.revocations
    server = uuid4().hex
    assert not await elsewhere.is_trusted(server)
    await store.trust(server, now=NOW)
    await elsewhere.trust(server, now=NOW + 1)
    assert await elsewhere.is_trusted(server)
    assert not await store.is_trusted(f"{server}-in-its-next-life")
