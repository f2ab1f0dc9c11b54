"""Runs a coroutine as far as it gets without waiting; one that has to wait once does not even become a task."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, TypeVar

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class PendingResult(Protocol[Result_co]):
    """An outcome that is not there yet: what a task is to whom only these are of interest."""

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Call `callback` with this, once it is there."""

    def cancel(self) -> bool:
        """Ask that it be given up."""
        ...

    def cancelled(self) -> bool:
        """Tell whether it was given up."""
        ...

    def result(self) -> Result_co:
        """Return it, or raise what came instead."""
        ...


class _Remainder:
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
    result: Result = await _Remainder(coroutine, waiting_for)
    return result


class _SingleWait(Generic[Result]):
    """A coroutine that waits for a future, and probably for nothing else: a task would be half of what that costs."""

    __slots__ = ("_callback", "_coroutine", "_done", "_error", "_loop", "_result", "_waiting_for")

    _result: Result

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Result],
        waiting_for: "asyncio.Future[Any]",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._coroutine = coroutine
        self._waiting_for = waiting_for
        self._loop = loop
        self._error: BaseException | None = None
        self._done = False
        self._callback: Callable[[Any], object] | None = None
        # So does a task say that it has seen what is awaited (asyncio.Future.__await__).
        waiting_for._asyncio_future_blocking = False  # noqa: SLF001 - what futures have it for
        waiting_for.add_done_callback(self._resume)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        self._callback = callback
        if self._done:
            self._loop.call_soon(callback, self)

    def cancel(self) -> bool:
        return self._waiting_for.cancel()

    def cancelled(self) -> bool:
        return isinstance(self._error, asyncio.CancelledError)

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._result

    def _resume(self, _waited_for: "asyncio.Future[Any]") -> None:
        try:
            waiting_for = self._coroutine.send(None)
        except StopIteration as stop:
            self._result = stop.value
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised in who asks for the result
            self._error = error
        else:
            task = self._loop.create_task(_finish(self._coroutine, waiting_for))
            self._waiting_for = task
            task.add_done_callback(self._take_result)
            return
        self._notify()

    def _take_result(self, task: "asyncio.Task[Result]") -> None:
        try:
            self._result = task.result()
        except BaseException as error:  # noqa: BLE001 - likewise
            self._error = error
        self._notify()

    def _notify(self) -> None:
        self._done = True
        if self._callback is not None:
            self._callback(self)


def run_eagerly(
    coroutine: Coroutine[Any, Any, Result], loop: asyncio.AbstractEventLoop
) -> tuple[Result, None] | tuple[None, PendingResult[Result]]:
    """Run `coroutine` now. Returns its result, or what will have it, because it has to wait.

    Raises what the coroutine raises before it waits. Up to its second wait it runs outside any task, so it can say
    `asyncio.timeout` only after that.
    """
    try:
        waiting_for = coroutine.send(None)
    except StopIteration as stop:
        return stop.value, None
    if getattr(waiting_for, "_asyncio_future_blocking", None):
        return None, _SingleWait(coroutine, waiting_for, loop)
    return None, loop.create_task(_finish(coroutine, waiting_for))
