"""Coroutines without a task: run at once up to their first wait; a coroutine that never waits is finished by then."""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, TypeVar

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class PendingResult(Protocol[Result_co]):
    """Result of a coroutine that waits: the part of `asyncio.Task` that callers need."""

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Call `callback` with this object when the result is there."""

    def cancel(self) -> bool:
        """Request cancellation."""
        ...

    def cancelled(self) -> bool:
        """Return whether the coroutine was cancelled."""
        ...

    def result(self) -> Result_co:
        """Return the result, or raise the exception of the coroutine."""
        ...


@types.coroutine
def _resume(coroutine: Coroutine[Any, Any, Result], future: Any) -> Generator[Any, Any, Result]:
    """Run the rest of a started coroutine that waits for `future`."""
    while True:
        thrown: BaseException | None = None
        value = None
        try:
            value = yield future
        except BaseException as error:  # noqa: BLE001 - thrown into the coroutine
            thrown = error
        try:
            future = coroutine.throw(thrown) if thrown else coroutine.send(value)
        except StopIteration as stop:
            result: Result = stop.value
            return result


async def _finish(coroutine: Coroutine[Any, Any, Result], future: Any) -> Result:
    return await _resume(coroutine, future)


class _SingleWait(Generic[Result]):
    """Coroutine that waits for a future and probably for nothing else. A task costs twice as much."""

    __slots__ = ("_callback", "_coroutine", "_done", "_error", "_future", "_loop", "_result")

    _result: Result

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Result],
        future: "asyncio.Future[Any]",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._coroutine = coroutine
        self._future = future
        self._loop = loop
        self._error: BaseException | None = None
        self._done = False
        self._callback: Callable[[Any], object] | None = None
        # A task confirms in this way that it waits for the future (asyncio.Future.__await__).
        future._asyncio_future_blocking = False  # noqa: SLF001 - the protocol between tasks and futures
        future.add_done_callback(self._continue)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        self._callback = callback
        if self._done:
            self._loop.call_soon(callback, self)

    def cancel(self) -> bool:
        return self._future.cancel()

    def cancelled(self) -> bool:
        return isinstance(self._error, asyncio.CancelledError)

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._result

    def _continue(self, _: "asyncio.Future[Any]") -> None:
        try:
            future = self._coroutine.send(None)
        except StopIteration as stop:
            self._result = stop.value
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error
        else:
            task = self._loop.create_task(_finish(self._coroutine, future))
            self._future = task
            task.add_done_callback(self._take_result)
            return
        self._notify()

    def _take_result(self, task: "asyncio.Task[Result]") -> None:
        try:
            self._result = task.result()
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error
        self._notify()

    def _notify(self) -> None:
        self._done = True
        if self._callback is not None:
            self._callback(self)


def run_eagerly(
    coroutine: Coroutine[Any, Any, Result], loop: asyncio.AbstractEventLoop
) -> tuple[Result, None] | tuple[None, PendingResult[Result]]:
    """Run `coroutine` now. Return its result, or a `PendingResult` if it has to wait.

    Exceptions raised before the first wait propagate. The coroutine runs outside any task until its second wait, so it
    cannot use `asyncio.timeout` before that.
    """
    try:
        future = coroutine.send(None)
    except StopIteration as stop:
        return stop.value, None
    if getattr(future, "_asyncio_future_blocking", None):
        return None, _SingleWait(coroutine, future, loop)
    return None, loop.create_task(_finish(coroutine, future))
