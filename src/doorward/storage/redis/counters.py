"""Counters (see the port), but for `inherit` one script on one key each. Redis removes what says nothing any more."""

from doorward.core.ports import Backoff, Verdict
from doorward.storage.redis.client import Redis
from doorward.storage.redis.link import Reply
from doorward.storage.redis.scripts import load_scripts

_SCRIPTS = load_scripts("counters.lua")
_SLACK = 60_000


class RedisCounters:
    """Counters (see the port)."""

    def __init__(self, redis: Redis) -> None:
        """Keep counters in `redis`."""
        self._redis = redis

    async def take(self, key: str, *, period: int, burst: int, now: int) -> int:
        """See `Counters.take`."""
        return int(await self._run("take", key, now, period, burst, _SLACK))

    async def reserve(self, key: str, rule: Backoff, *, now: int) -> Verdict:
        """See `Counters.reserve`."""
        reserved, failures, blocked_until = await self._run(
            "reserve", key, now, rule.lease, rule.cap, rule.free, _SLACK
        )
        if reserved:
            return Verdict(0)
        if failures >= rule.cap:
            return Verdict(rule.longest)
        if blocked_until > now:
            return Verdict(blocked_until - now)
        return Verdict(rule.first, busy=True)

    async def settle(self, key: str, rule: Backoff, *, now: int) -> None:
        """See `Counters.settle`."""
        doublings = (rule.longest // rule.first).bit_length()
        await self._run(
            "settle", key, now, rule.free, rule.first, rule.longest, doublings, rule.cap, rule.memory, _SLACK
        )

    async def release(self, key: str) -> None:
        """See `Counters.release`."""
        await self._run("release", key)

    async def forget(self, key: str) -> None:
        """See `Counters.forget`."""
        await self._run("forget", key)

    async def inherit(self, key: str, former: str, *, now: int) -> None:
        """See `Counters.inherit`; in a Cluster the two names may be on two nodes, so this is a step on each."""
        failures, blocked_until, expires_at = await self._run("surrender", former)
        if expires_at > now:
            await self._run("inherit", key, now, failures, blocked_until, expires_at, _SLACK)

    async def sweep(self, now: int, *, limit: int) -> int:  # noqa: ARG002 - there is nothing left to do
        """See `Counters.sweep`."""
        return 0

    async def _run(self, script: str, key: str, *arguments: int) -> Reply:
        kind = "budget" if script == "take" else "attempts"
        [reply] = await self._redis.run(_SCRIPTS[script].on([f"dw:{kind}:{key}".encode()], *arguments))
        return reply
