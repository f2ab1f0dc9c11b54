"""Read-only access to the predecessor's Redis through redis-py, in batches."""

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

import redis.asyncio
import redis.exceptions

from doorward.core.error_text import describe_error
from doorward.core.errors import CannotStart
from doorward.imports.backend_auth.records import Row

_BATCH = 5_000
_TIMEOUT = 10
# Replies of PTTL.
_NO_EXPIRY = -1
_MISSING = -2


class RedisSource:
    """A Redis server, open inside `async with`. Methods raise CannotStart if it cannot be read."""

    def __init__(self, url: str) -> None:
        """Set the server's URL: redis://user:password@host:port/database, rediss:// for TLS."""
        try:
            self._redis: Any = redis.asyncio.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT)
        except ValueError as error:
            raise CannotStart(
                "--redis-url has to be redis://user:password@host:port/database, or rediss://."
            ) from error

    async def __aenter__(self) -> Self:
        """Check that the server is reachable."""
        await self._run(self._redis.ping())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def size(self) -> int:
        """Return the number of keys."""
        return int(await self._run(self._redis.dbsize()))

    async def keys(self, pattern: str) -> AsyncIterator[list[str]]:
        """Yield the keys of a pattern, in batches; a key that exists during the whole scan is yielded once or twice."""
        cursor: Any = 0
        while True:
            cursor, found = await self._run(self._redis.scan(cursor, match=pattern, count=_BATCH))
            yield [key.decode("utf-8", "surrogateescape") for key in found]
            if not cursor:
                return

    async def rows(self, keys: Sequence[str]) -> list[Row]:
        """Return the rows of existing keys with text values; bytes that are not UTF-8 are replaced."""
        if not keys:
            return []
        names = [key.encode("utf-8", "surrogateescape") for key in keys]
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.mget(names)
        for name in names:
            pipeline.pttl(name)
        values, *ttls = await self._run(pipeline.execute())
        return [
            Row(key, value.decode("utf-8", "replace"), None if ttl == _NO_EXPIRY else ttl)
            for key, value, ttl in zip(keys, values, ttls, strict=True)
            if value is not None and ttl != _MISSING
        ]

    async def values(self, keys: Sequence[str]) -> list[str | None]:
        """Return the value of each key, or None if it does not exist."""
        if not keys:
            return []
        values = await self._run(self._redis.mget([key.encode("utf-8", "surrogateescape") for key in keys]))
        return [None if value is None else value.decode("utf-8", "replace") for value in values]

    @staticmethod
    async def _run(command: Any) -> Any:
        try:
            return await command
        except (redis.exceptions.RedisError, OSError) as error:
            raise CannotStart(f"--redis-url: the server cannot be read ({describe_error(error)}).") from error
