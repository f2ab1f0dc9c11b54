"""Contract of audit stores (`doorward.core.ports.AuditStore`)."""

import asyncio
import hashlib
import json
from uuid import uuid4

import pytest

from doorward.core.audit.service import AuditService
from doorward.core.ports import AuditEntry
from doorward.storage.relational.database import Step
from factories import NOW, Workers, made_event

pytestmark = pytest.mark.asyncio(loop_scope="module")


def chained(previous: str, text: str) -> str:
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


async def whole(workers: Workers, tenant_id: str) -> list[AuditEntry]:
    return list(reversed(await workers.other.audit.page(tenant_id, before=None, limit=1000)))


async def test_an_empty_log_has_neither_beginning_nor_end(workers: Workers) -> None:
    log, nobody = workers.one.audit, str(uuid4())
    assert await log.page(nobody, before=None, limit=10) == []
    assert await log.base(nobody) == await log.head(nobody) == (0, "")
    assert (await AuditService(log).verify_chain(nobody)).broken_at is None
    await log.record()


async def test_AU3_every_entry_follows_from_the_one_before(workers: Workers) -> None:
    tenant_id = str(uuid4())
    await workers.one.audit.record(made_event(tenant_id, "a"), made_event(tenant_id, "é' \" \\ \u2028", at=NOW + 1))
    await workers.other.audit.record(made_event(tenant_id, "c", at=NOW + 2))
    entries = await whole(workers, tenant_id)
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert [entry.at for entry in entries] == [NOW, NOW + 1, NOW + 2]
    assert [json.loads(entry.text)["action"] for entry in entries] == ["a", "é' \" \\ \u2028", "c"]
    previous = ""
    for entry in entries:
        previous = chained(previous, entry.text)
        assert entry.hash == previous
    assert await workers.one.audit.head(tenant_id) == (3, previous)
    assert await workers.one.audit.base(tenant_id) == (0, "")


async def test_AU3_parallel_writers_make_one_chain_for_each_tenant(workers: Workers) -> None:
    tenants = [str(uuid4()) for _ in range(3)]
    logs = (workers.one.audit, workers.other.audit)
    await asyncio.gather(
        *(logs[n % 2].record(*(made_event(tenant_id, f"{n}") for tenant_id in tenants)) for n in range(20))
    )
    for tenant_id in tenants:
        entries = await whole(workers, tenant_id)
        assert [entry.number for entry in entries] == list(range(1, 21))
        assert {json.loads(entry.text)["action"] for entry in entries} == {str(n) for n in range(20)}
        chain = await AuditService(workers.one.audit).verify_chain(tenant_id)
        assert (chain.entries, chain.broken_at) == (20, None)


async def test_AU6_pages_go_from_the_newest_to_the_oldest_of_one_tenant(workers: Workers) -> None:
    log, tenant_id, other = workers.one.audit, str(uuid4()), str(uuid4())
    for number in range(7):
        await log.record(made_event(tenant_id, f"{number}"), made_event(other, "x"))
    found, before = [], None
    while page := await workers.other.audit.page(tenant_id, before=before, limit=3):
        assert len(page) <= 3
        found += [entry.number for entry in page]
        before = page[-1].number
    assert found == [7, 6, 5, 4, 3, 2, 1]
    assert await log.page(tenant_id, before=1, limit=3) == []


async def test_AU6_a_log_is_followed_from_the_oldest_to_the_newest_of_one_tenant(workers: Workers) -> None:
    log, tenant_id, other = workers.one.audit, str(uuid4()), str(uuid4())
    for number in range(7):
        await log.record(made_event(tenant_id, f"{number}"), made_event(other, "x"))
    pages = [await workers.other.audit.follow(tenant_id, after=after, limit=3) for after in (0, 3, 6, 7)]
    assert [[entry.number for entry in page] for page in pages] == [[1, 2, 3], [4, 5, 6], [7], []]


async def test_tenants_that_have_a_chain_are_listed_in_order(workers: Workers) -> None:
    log = workers.one.audit
    mine = sorted(str(uuid4()) for _ in range(5))
    for tenant_id in mine:
        await log.record(made_event(tenant_id))
    found, after = [], ""
    while page := await workers.other.audit.tenants(after=after, limit=2):
        assert len(page) <= 2
        found += page
        after = page[-1]
    assert found == sorted(set(found))
    assert set(mine) <= set(found)


async def test_AU3_a_sweep_takes_the_oldest_in_pieces_and_moves_the_base(workers: Workers) -> None:
    log, tenant_id, other = workers.one.audit, str(uuid4()), str(uuid4())
    while await log.sweep(NOW + 10_000, limit=1000):
        pass
    for number in range(6):
        await log.record(made_event(tenant_id, at=NOW + number))
    await log.record(made_event(other, at=NOW + 100))
    entries = await whole(workers, tenant_id)
    swept = []
    while count := await workers.other.audit.sweep(NOW + 4, limit=3):
        assert count <= 3
        swept.append(count)
    assert sum(swept) == 4
    assert await whole(workers, tenant_id) == entries[4:]
    assert await log.base(tenant_id) == (4, entries[3].hash)
    assert await log.head(tenant_id) == (6, entries[5].hash)
    assert len(await whole(workers, other)) == 1
    await log.record(made_event(tenant_id, at=NOW + 50))
    chain = await AuditService(log).verify_chain(tenant_id)
    assert (chain.entries, chain.broken_at) == (3, None)


async def test_AU3_a_clock_that_was_set_back_does_not_make_a_sweep_lose_what_is_young(workers: Workers) -> None:
    log, tenant_id = workers.one.audit, str(uuid4())
    for at in (NOW + 1000, NOW, NOW + 2000):
        await log.record(made_event(tenant_id, at=at))
    while await log.sweep(NOW + 500, limit=10):
        pass
    left = [entry.at for entry in await whole(workers, tenant_id)]
    assert NOW + 2000 in left
    assert NOW + 1000 in left
    assert (await AuditService(log).verify_chain(tenant_id)).broken_at is None


async def test_AU3_an_entry_of_the_moment_that_a_sweep_names_is_young(workers: Workers) -> None:
    log, tenant_id = workers.one.audit, str(uuid4())
    for at in (NOW + 500, NOW):
        await log.record(made_event(tenant_id, at=at))
    while await log.sweep(NOW + 500, limit=10):
        pass
    assert [entry.at for entry in await whole(workers, tenant_id)] == [NOW + 500, NOW]


async def test_T5_a_sweep_of_one_chain_moves_the_base_of_no_other(workers: Workers) -> None:
    log, old, young = workers.one.audit, str(uuid4()), str(uuid4())
    while await log.sweep(NOW + 10_000, limit=1000):
        pass
    for number in range(3):
        await log.record(made_event(old, at=NOW + number))
    # An entry of the same number that is young enough to stay.
    for number in range(3):
        await log.record(made_event(young, at=NOW + 5_000 + number))
    while await workers.other.audit.sweep(NOW + 2, limit=10):
        pass
    assert (await log.base(old))[0] == 2
    assert await log.base(young) == (0, "")
    for tenant_id, entries in ((old, 1), (young, 3)):
        chain = await AuditService(log).verify_chain(tenant_id)
        assert (chain.entries, chain.broken_at) == (entries, None)


async def test_T5_a_base_never_moves_back(workers: Workers) -> None:
    tenant_id = str(uuid4())
    for number in range(5):
        await workers.one.audit.record(made_event(tenant_id, at=NOW + number))
    entries = await whole(workers, tenant_id)
    # What two workers do whose sweeps overlap: the one that looked first writes last.
    for number in (4, 2):
        await workers.one.database.write(Step("move_base", {"tenant_id": tenant_id, "number": number}))
    assert await workers.other.audit.base(tenant_id) == (4, entries[3].hash)
    await workers.one.database.write(Step("sweep_audit", {"tenant_id": tenant_id, "number": 4}))
    # Nor does it lose its hash to a worker that found the same entries and comes after they are gone.
    await workers.one.database.write(Step("move_base", {"tenant_id": tenant_id, "number": 4}))
    assert await workers.other.audit.base(tenant_id) == (4, entries[3].hash)
    chain = await AuditService(workers.other.audit).verify_chain(tenant_id)
    assert (chain.entries, chain.broken_at) == (1, None)
