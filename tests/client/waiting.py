"""One way to write a test for both clients: the asynchronous one, made to wait."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any


class Waiting:
    """An asynchronous client that is used like the synchronous one."""

    def __init__(self, inner: Any, runner: asyncio.Runner) -> None:
        self._inner = inner
        self._runner = runner

    def __repr__(self) -> str:
        return repr(self._inner)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, "aclose" if name == "close" else name)
        if not callable(found):
            return Waiting(found, self._runner)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            if inspect.isasyncgen(result):
                return self._all(result)
            return self._runner.run(result)

        return call

    def _all(self, generator: Any) -> Iterator[Any]:
        while True:
            try:
                yield self._runner.run(_next(generator))
            except StopAsyncIteration:
                return


async def _next(generator: Any) -> Any:
    return await anext(generator)
