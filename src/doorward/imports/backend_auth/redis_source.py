"""Reads the predecessor's Redis, in batches, and changes nothing in it. The home of redis-py."""

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

import redis.asyncio
import redis.exceptions

from doorward.core.error_text import describe_error
from doorward.core.errors import CannotStart
from doorward.imports.backend_auth.records import Row

_BATCH = 5_000
_SECONDS = 10
_NO_END = -1
_GONE = -2


class RedisSource:
    """A Redis server, open inside an `async with`. CannotStart where it cannot be read."""

    def __init__(self, url: str) -> None:
        """Name the server: redis://user:password@host:port/database, rediss:// for TLS."""
        try:
            self._redis: Any = redis.asyncio.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
        except ValueError as error:
            raise CannotStart(
                "--redis-url has to be redis://user:password@host:port/database, or rediss://."
            ) from error

    async def __aenter__(self) -> Self:
        """Reach the server."""
        await self._ask(self._redis.ping())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""
        await self._redis.aclose()

    async def size(self) -> int:
        """Return how many keys there are."""
        return int(await self._ask(self._redis.dbsize()))

    async def keys(self, pattern: str) -> AsyncIterator[list[str]]:
        """Yield the keys of a pattern, in batches; one that is there all the while is yielded, perhaps twice."""
        cursor: Any = 0
        while True:
            cursor, found = await self._ask(self._redis.scan(cursor, match=pattern, count=_BATCH))
            yield [key.decode("utf-8", "surrogateescape") for key in found]
            if not cursor:
                return

    async def rows(self, keys: Sequence[str]) -> list[Row]:
        """Return the rows of keys that are texts and still there; a value that is no UTF-8 reads as an unreadable."""
        if not keys:
            return []
        names = [key.encode("utf-8", "surrogateescape") for key in keys]
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.mget(names)
        for name in names:
            pipeline.pttl(name)
        values, *revokes = await self._ask(pipeline.execute())
        return [
            Row(key, value.decode("utf-8", "replace"), None if end == _NO_END else end)
            for key, value, end in zip(keys, values, revokes, strict=True)
            if value is not None and end != _GONE
        ]

    async def values(self, keys: Sequence[str]) -> list[str | None]:
        """Return the value of each key, None where there is none."""
        if not keys:
            return []
        values = await self._ask(self._redis.mget([key.encode("utf-8", "surrogateescape") for key in keys]))
        return [None if value is None else value.decode("utf-8", "replace") for value in values]

    @staticmethod
    async def _ask(question: Any) -> Any:
        try:
            return await question
        except (redis.exceptions.RedisError, OSError) as error:
            raise CannotStart(f"--redis-url: the server cannot be read ({describe_error(error)}).") from error
