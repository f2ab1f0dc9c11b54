"""The connection pool: fairness, recovery, back-off; with a stand-in server."""

import asyncio

import pytest

from doorward.core.errors import StoreUnavailable
from doorward.storage.postgres.pool import Pool


class Connection:
    def __init__(self) -> None:
        self.gone = False

    def is_closed(self) -> bool:
        return self.gone

    def terminate(self) -> None:
        self.gone = True

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - as the driver's
        assert timeout
        self.gone = True


class Server:
    def __init__(self) -> None:
        self.opened: list[Connection] = []
        self.attempts = 0
        self.away = False

    async def connect(self) -> Connection:
        self.attempts += 1
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionRefusedError
        self.opened.append(Connection())
        return self.opened[-1]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_connections_are_used_again_and_never_more_than_the_pool_may_have() -> None:
    server = Server()
    pool = Pool(server.connect, 3)

    async def use() -> None:
        connection = await pool.acquire()
        await asyncio.sleep(0)
        pool.release(connection, reusable=True)

    await asyncio.gather(*(use() for _ in range(50)))
    assert 1 <= len(server.opened) <= 3
    assert pool.in_use == 0
    connection = await pool.acquire()
    assert (pool.in_use, pool.size) == (1, 3)
    pool.release(connection, reusable=False)
    assert pool.in_use == 0
    await pool.close()
    assert all(connection.gone for connection in server.opened)


async def test_who_waits_is_served_in_the_order_of_coming_also_before_who_comes_later() -> None:
    server = Server()
    pool = Pool(server.connect, 1)
    served: list[int] = []

    async def use(number: int) -> None:
        connection = await pool.acquire()
        served.append(number)
        await asyncio.sleep(0)
        pool.release(connection, reusable=True)

    held = await pool.acquire()
    users = [asyncio.ensure_future(use(number)) for number in range(4)]
    await turns()
    pool.release(held, reusable=True)
    users += [asyncio.ensure_future(use(number)) for number in range(4, 8)]
    async with asyncio.timeout(5):
        await asyncio.gather(*users)
    assert served[1:] == sorted(served[1:])


async def test_a_connection_that_broke_is_replaced_and_a_cut_off_one_is_not_used_again() -> None:
    server = Server()
    pool = Pool(server.connect, 1)
    for reusable in (True, False):
        connection = await pool.acquire()
        pool.release(connection, reusable=reusable)
        connection.terminate()
    connection = await pool.acquire()
    assert not connection.gone
    assert len(server.opened) == 3


@pytest.mark.parametrize("moment", ["before", "with", "after"])
async def test_whoever_gives_up_loses_nobody_a_turn(moment: str) -> None:
    server = Server()
    pool = Pool(server.connect, 1)
    held = await pool.acquire()
    first, second = (asyncio.ensure_future(pool.acquire()) for _ in range(2))
    await turns()
    if moment == "before":
        first.cancel()
        await turns()
    pool.release(held, reusable=True)
    if moment == "with":
        first.cancel()
    elif moment == "after":
        await turns()
        pool.release(await first, reusable=True)
    async with asyncio.timeout(5):
        assert await second is held
    third = asyncio.ensure_future(pool.acquire())
    await turns()
    pool.release(held, reusable=True)
    async with asyncio.timeout(5):
        assert await third is held


async def test_who_comes_while_another_gives_up_is_not_left_behind() -> None:
    server = Server()
    pool = Pool(server.connect, 1)
    held = await pool.acquire()
    waiter = asyncio.ensure_future(pool.acquire())
    await turns()
    waiter.cancel()
    pool.release(held, reusable=True)
    async with asyncio.timeout(5):
        assert await pool.acquire() is held


async def test_OU2_a_server_that_is_away_is_asked_seldom_and_everybody_is_told_at_once() -> None:
    server = Server()
    server.away = True
    pool = Pool(server.connect, 8)
    loop = asyncio.get_running_loop()
    started = loop.time()
    refused = []
    while loop.time() - started < 1:
        answers = await asyncio.gather(*(pool.acquire() for _ in range(20)), return_exceptions=True)
        refused += answers
        await asyncio.sleep(0.005)
    assert {type(answer) for answer in refused} == {ConnectionRefusedError, StoreUnavailable}
    assert 2 <= server.attempts <= 9
    server.away = False
    await asyncio.sleep(1.01)
    connections = await asyncio.gather(*(pool.acquire() for _ in range(8)))
    assert len({id(connection) for connection in connections}) == 8
