"""Redis client with metrics and spans."""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from doorward.storage.instrumented import LOOK_UP, WRITE, StoreMeter
from doorward.storage.redis.client import Redis
from doorward.storage.redis.connection import Reply
from doorward.storage.redis.scripts import Command


class InstrumentedRedis(Redis):
    """`Redis` that times its round trips; with traces, it times each look-up, of which many share a round trip."""

    meter: StoreMeter

    def get(self, keys: Sequence[bytes]) -> Coroutine[Any, Any, list[bytes | None]]:
        """See `Redis.get`."""
        return super().get(keys) if self.meter.span is None else self.meter.time(LOOK_UP, super().get(keys))

    async def _get(self, keys: Sequence[bytes], deadline: float) -> Mapping[bytes, bytes]:
        trip = super()._get(keys, deadline)
        return await (self.meter.time(LOOK_UP, trip) if self.meter.span is None else trip)

    async def run(self, *commands: Command, revoking: bool = False) -> list[Reply]:
        """See `Redis.run`."""
        return await self.meter.time(WRITE, super().run(*commands, revoking=revoking))
