"""Measures what a look-up costs this process: `python tests/storage/redis/measure.py`. Prints microseconds for each.

Beside ours the same server is asked through redis-py, one GET after another, for comparison.
"""

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import redis.asyncio as other
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from doorward.stores import select_stores
from harness import read_settings
from redis_servers import own_redis
from session_factories import claimed, tenant_session, user_session

_LOOK_UPS = 20_000


async def cost(look_up: Callable[[int], Awaitable[object]], *, in_flight: int) -> tuple[float, float]:
    """Return microseconds of CPU of this process, and of the clock, for one look-up."""
    began, clock = time.process_time(), time.monotonic()

    async def ask(first: int) -> None:
        for number in range(first, _LOOK_UPS, in_flight):
            await look_up(number)

    await asyncio.gather(*(ask(first) for first in range(in_flight)))
    return (time.process_time() - began) / _LOOK_UPS * 1e6, (time.monotonic() - clock) / _LOOK_UPS * 1e6


async def measure(url: str, port: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stores = select_stores(read_settings(Path(folder), {"REDIS_URL": url}))
        await stores.open()
        tenant = tenant_session()
        users = [user_session(tenant.tenant_id) for _ in range(1_000)]
        await stores.sessions.open(tenant, cap=None)
        for user in users:
            await stores.sessions.open(user, cap=None)
        client = other.Redis(port=port)
        await client.set("lone", b"x" * 200)
        assert stores.redis is not None
        reads = stores.redis
        rows: list[tuple[str, Callable[[int], Awaitable[object]]]] = [
            ("redis-py GET", lambda _: client.get("lone")),
            ("our GET", lambda _: reads.get([b"lone"])),
            ("find (tenant)", lambda _: stores.sessions.find(claimed(tenant))),
            ("find_pair", lambda n: stores.sessions.find_pair(claimed(tenant), claimed(users[n % 1_000]))),
        ]
        for name, look_up in rows:
            for in_flight in (1, 32):
                cpu, clock = await cost(look_up, in_flight=in_flight)
                sys.stdout.write(f"{name:16}{in_flight:3} in flight  {cpu:6.1f} us CPU  {clock:6.1f} us\n")
        with contextlib.suppress(Exception):
            await client.aclose()
        await stores.close()


if __name__ == "__main__":
    with own_redis() as server:
        uvloop.run(measure(server.url, server.port))
