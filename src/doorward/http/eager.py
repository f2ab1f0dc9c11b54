"""Runs a coroutine as far as it gets without waiting; only one that has to wait becomes a task."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Rest:
    """The rest of a started coroutine, as something to await."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waiting_for: Any) -> None:
        self._coroutine = coroutine
        self._waiting_for = waiting_for

    def __await__(self) -> Generator[Any, Any, Any]:
        waiting_for = self._waiting_for
        while True:
            thrown: BaseException | None = None
            value = None
            try:
                value = yield waiting_for
            except BaseException as error:  # noqa: BLE001 - it is thrown on to whom it is meant for
                thrown = error
            try:
                waiting_for = self._coroutine.throw(thrown) if thrown else self._coroutine.send(value)
            except StopIteration as stop:
                return stop.value


async def _finish(coroutine: Coroutine[Any, Any, Result], waiting_for: Any) -> Result:
    result: Result = await _Rest(coroutine, waiting_for)
    return result


def start(
    coroutine: Coroutine[Any, Any, Result], loop: asyncio.AbstractEventLoop
) -> "tuple[Result, None] | tuple[None, asyncio.Task[Result]]":
    """Run `coroutine` now. Returns its result, or the task that carries on with it because it has to wait.

    Raises what the coroutine raises before it waits. Up to there it runs outside any task.
    """
    try:
        waiting_for = coroutine.send(None)
    except StopIteration as stop:
        return stop.value, None
    return None, loop.create_task(_finish(coroutine, waiting_for))
