"""Counters in Redis, and limits while Redis is unavailable."""

import asyncio
from collections.abc import Awaitable
from uuid import uuid4

import pytest

from doorward.core.errors import StoreUnavailable, TooManyRequests
from doorward.core.ports import AttemptPermit, Backoff
from doorward.core.rate_limits.budgets import Budget, Budgets
from doorward.core.rate_limits.limiter import RateLimiter
from harness import TurnableClock
from redis_servers import RedisServer
from session_factories import NOW, Opener

pytest_plugins = ["redis_fixtures"]
pytestmark = pytest.mark.slow

RULE = Backoff(free_attempts=3, first_wait=1_000, max_wait=8_000, max_failures=8, lease=10_000, max_memory=100_000)


async def test_BF10_parallel_takers_get_the_burst_and_no_more(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        key = uuid4().hex
        stores = (one, other)
        waits = await asyncio.gather(
            *(stores[n % 2].counters.consume(key, period=1_000, burst=7, now=NOW) for n in range(40))
        )
        assert sorted(waits) == [0] * 7 + [1_000] * 33
        assert await one.counters.consume(key, period=1_000, burst=7, now=NOW + 999) == 1
        assert await one.counters.consume(key, period=1_000, burst=7, now=NOW + 1_000) == 0


async def test_BF2_parallel_attempts_are_bounded_and_failures_double_the_wait(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        key = uuid4().hex
        stores = (one, other)
        verdicts = await asyncio.gather(*(stores[n % 2].counters.reserve(key, RULE, now=NOW) for n in range(20)))
        assert verdicts.count(AttemptPermit(0)) == RULE.free_attempts
        assert all(verdict.busy for verdict in verdicts if verdict.wait)
        for _ in range(RULE.free_attempts):
            await other.counters.settle(key, RULE, now=NOW)
        now = NOW
        for wait in (1_000, 2_000, 4_000, 8_000):
            assert await one.counters.reserve(key, RULE, now=now) == AttemptPermit(0)
            await one.counters.settle(key, RULE, now=now)
            assert await other.counters.reserve(key, RULE, now=now) == AttemptPermit(wait)
            now += wait
        await one.counters.reset(key)
        assert await other.counters.reserve(key, RULE, now=now) == AttemptPermit(0)


async def test_a_budget_and_attempts_of_one_name_are_two_things(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as stores:
        key = uuid4().hex
        assert await stores.counters.consume(key, period=10, burst=1, now=NOW) == 0
        assert await stores.counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)


async def _refusal(asked: Awaitable[None]) -> TooManyRequests | None:
    try:
        await asked
    except TooManyRequests as refusal:
        return refusal
    return None


async def test_BF11_without_counters_an_address_has_its_budget_in_this_process(
    redis_server: RedisServer, opened: Opener
) -> None:
    async with opened(redis_server.url) as stores:
        clock = TurnableClock()
        budgets = Budgets(address=Budget(200, 5))
        throttle = RateLimiter(stores.counters, clock, (b"pepper",), budgets, monotonic=clock.monotonic)
        await throttle.consume_address("192.0.2.1")
        redis_server.kill()
        asked = (throttle.consume_address("192.0.2.1") for _ in range(50))
        refusals = [refusal for refusal in [await _refusal(one) for one in asked] if refusal]
        assert len(refusals) == 45
        assert {refusal.retry_after for refusal in refusals} == {1}
        await throttle.consume_address("192.0.2.2")
        clock.turn(milliseconds=200)
        await throttle.consume_address("192.0.2.1")
        with pytest.raises(TooManyRequests):
            await throttle.consume_address("192.0.2.1")


async def test_BF11_without_counters_no_secret_is_looked_at(redis_server: RedisServer, opened: Opener) -> None:
    async with opened(redis_server.url) as stores:
        throttle = RateLimiter(stores.counters, TurnableClock(), (b"pepper",))
        redis_server.kill()
        for _ in range(20):
            with pytest.raises(StoreUnavailable):
                async with throttle.attempt("tenant", "alice"):
                    pytest.fail("an attempt was let through uncounted")
