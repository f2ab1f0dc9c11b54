"""`CounterStore` on Redis: each operation but `transfer` and `evict` is one script on one key.

Redis expires counters itself. An index per realm lists the counters of unknown names. `evict` writes it, so that an
attempt has no further round trip and takes the same time for known and unknown names.
"""

from collections import defaultdict
from collections.abc import Sequence

from doorward.core.ports import MAX_WORKER_SKEW, AttemptPermit, Backoff, Failures, max_time_ahead
from doorward.storage.redis.client import Redis
from doorward.storage.redis.connection import Reply
from doorward.storage.redis.scripts import Command, load_scripts

_SCRIPTS = load_scripts("counters.lua")
_SLACK = 60_000
_BATCH = 500


class RedisCounterStore:
    """`CounterStore` on Redis."""

    def __init__(self, redis: Redis) -> None:
        """Store counters in `redis`."""
        self._redis = redis
        self._unknown: dict[str, dict[str, int]] = defaultdict(dict)

    async def consume(self, key: str, *, period: int, burst: int, now: int) -> int:
        """See `CounterStore.consume`."""
        return int(await self._run("take", key, now, period, burst, max_time_ahead(period, burst), _SLACK))

    async def reserve(self, key: str, rule: Backoff, *, now: int) -> AttemptPermit:
        """See `CounterStore.reserve`."""
        waits = rule.free_attempts, rule.first_wait, rule.max_wait, rule.doublings, rule.max_failures
        reserved, failures, blocked_until = await self._run(
            "reserve", key, now, *waits, rule.lease, MAX_WORKER_SKEW, _SLACK
        )
        return AttemptPermit(0) if reserved else rule.denied_permit(failures, blocked_until, now)

    async def settle(self, key: str, rule: Backoff, *, now: int, unknown_in: str = "") -> None:
        """See `CounterStore.settle`."""
        waits = rule.free_attempts, rule.first_wait, rule.max_wait, rule.doublings, rule.max_failures
        lives = rule.max_memory, rule.memory_per_failure, int(bool(unknown_in)), _SLACK
        failures = await self._run("settle", key, now, *waits, *lives)
        if unknown_in:
            self._unknown[unknown_in][key] = _score(failures, now)

    async def release(self, key: str) -> None:
        """See `CounterStore.release`."""
        await self._run("release", key)

    async def failures(self, key: str, rule: Backoff, *, now: int) -> Failures:
        """See `CounterStore.failures`."""
        failures, blocked_until, expires_at = await self._run("failures", key)
        return rule.failures_at(failures, blocked_until, expires_at, now)

    async def reset(self, key: str) -> None:
        """See `CounterStore.reset`."""
        await self._run("forget", key)

    async def clear(self, keys: Sequence[str], *, now: int) -> None:
        """See `CounterStore.clear`."""
        await self._redis.run(*(_SCRIPTS["clear"].on([_place("attempts", key)], now) for key in keys))

    async def transfer(self, key: str, former: str, *, now: int) -> None:
        """See `CounterStore.transfer`. In a Cluster the two names may be on two nodes, so this takes a step on each."""
        failures, blocked_until, expires_at, unknown = await self._run("surrender", former)
        if expires_at > now:
            await self._run("inherit", key, now, failures, blocked_until, expires_at, unknown, _SLACK)

    async def evict(self, rule: Backoff, *, now: int, limit: int) -> int:
        """See `CounterStore.evict`."""
        evicted = 0
        while self._unknown and evicted < limit:
            realm, scores = self._unknown.popitem()
            try:
                await self._index(realm, scores, rule)
                found = await self._evict_from(realm, rule, now, limit - evicted)
            except BaseException:
                self._unknown[realm] = {**scores, **self._unknown[realm]}
                raise
            evicted += found
            if found:
                # There may be more to evict.
                self._unknown.setdefault(realm, {})
        return evicted

    async def _index(self, realm: str, scores: dict[str, int], rule: Backoff) -> None:
        index, entries = _index_of(realm), list(scores.items())
        for start in range(0, len(entries), _BATCH):
            words = [word for key, score in entries[start : start + _BATCH] for word in (score, key)]
            await self._redis.run(
                Command(index, ("ZADD", index, *words)), Command(index, ("PEXPIRE", index, rule.max_memory + _SLACK))
            )

    async def _evict_from(self, realm: str, rule: Backoff, now: int, limit: int) -> int:
        times = [time // 1000 for time in (now, rule.memory_per_failure, rule.max_memory, rule.max_wait)]
        step = _SCRIPTS["surplus"].on([_index_of(realm)], *times, rule.max_unknown, limit, rule.max_failures)
        [keys] = await self._redis.run(step)
        await self._redis.run(*(_SCRIPTS["evict"].on([_place("attempts", key.decode())]) for key in keys))
        return len(keys)

    async def sweep(self, now: int, *, limit: int) -> int:  # noqa: ARG002 - Redis expires counters itself
        """See `CounterStore.sweep`."""
        return 0

    async def _run(self, script: str, key: str, *arguments: int) -> Reply:
        kind = "budget" if script == "take" else "attempts"
        [reply] = await self._redis.run(_SCRIPTS[script].on([_place(kind, key)], *arguments))
        return reply


def _place(kind: str, key: str) -> bytes:
    return f"dw:{kind}:{key}".encode()


def _index_of(realm: str) -> bytes:
    return f"dw:unknown:{realm}".encode()


def _score(failures: int, now: int) -> int:
    """Return the score of a counter in its index; see the script `surplus`."""
    return (failures << 33) + (1 << 33) - 1 - now // 1000
