"""Redis, watched: apart from the other stores that are, because it brings its driver along."""

from collections.abc import Sequence

from doorward.storage.redis.client import Redis
from doorward.storage.redis.link import Reply
from doorward.storage.redis.scripts import Command
from doorward.storage.watched import LOOK_UP, WRITE, Meter


class WatchedRedis(Redis):
    """Redis, whose trips are timed."""

    meter: Meter

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Redis.get`."""
        return await self.meter.time(LOOK_UP, super().get(keys))

    async def run(self, *commands: Command, ending: bool = False) -> list[Reply]:
        """See `Redis.run`."""
        return await self.meter.time(WRITE, super().run(*commands, ending=ending))
