"""Slots for long queries of a database, shared by tenants."""

import asyncio
from functools import partial

import pytest

from doorward.core.errors import StoreUnavailable
from doorward.storage.relational.database import Row, Step
from doorward.storage.relational.long_queries import LongWorkQueue

pytestmark = pytest.mark.one_setup


async def test_S1_long_reads_of_one_tenant_do_not_queue_before_those_of_another() -> None:
    slots, ended = LongWorkQueue(1), list[str]()

    async def scan(tenant_id: str) -> list[Row]:
        await asyncio.sleep(0.001)
        ended.append(tenant_id)
        return [(tenant_id,)]

    def ask(tenant_id: str) -> "asyncio.Task[list[Row]]":
        return asyncio.create_task(slots.scan({"tenant_id": tenant_id}, partial(scan, tenant_id)))

    many = [ask("busy") for _ in range(200)]
    await asyncio.sleep(0)
    assert await ask("other") == [("other",)]
    assert len(ended) <= 4
    for one in many[100:]:
        one.cancel()
    await asyncio.gather(*many, return_exceptions=True)
    assert 100 <= ended.count("busy") <= 102
    assert await ask("busy") == [("busy",)]


async def test_S1_too_many_long_reads_of_one_tenant_are_refused_and_those_of_another_are_not() -> None:
    slots, free = LongWorkQueue(1), asyncio.Event()

    async def scan() -> list[Row]:
        await free.wait()
        return []

    def ask(tenant_id: str) -> "asyncio.Task[list[Row]]":
        return asyncio.create_task(slots.scan({"tenant_id": tenant_id}, scan))

    many = [ask("busy") for _ in range(2000)]
    await asyncio.sleep(0)
    assert [type(one.exception()) for one in many if one.done()][:1] == [StoreUnavailable]
    other = ask("other")
    await asyncio.sleep(0)
    assert not other.done()
    free.set()
    assert await other == []
    await asyncio.gather(*many, return_exceptions=True)


async def test_S1_only_large_writes_of_a_tenant_wait() -> None:
    slots, free = LongWorkQueue(1), asyncio.Event()
    large = [Step("add_user", {"tenant_id": "busy"})] * 100

    async def block() -> list[list[Row]]:
        await free.wait()
        return []

    async def write() -> list[list[Row]]:
        return []

    blocking = asyncio.create_task(slots.write(large, block))
    waiting = asyncio.create_task(slots.write(large, write))
    await asyncio.sleep(0)
    assert await slots.write(large[:99], write) == []
    assert await slots.write([Step("end_owner", {"owner": "user"})] * 200, write) == []
    assert not waiting.done()
    free.set()
    assert [await blocking, await waiting] == [[], []]
