"""`make bench-calls`: Python calls into `doorward` and distinct files that one request of each kind passes.

The service runs in this process on SQLite with a cheap password hash. A profiling hook on its event loop and on the
thread that writes to the database counts each function that is called. A coroutine that resumes and a comprehension are
no calls. The figure of a request is the least of several, since periodic tasks run in between.
"""

import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click

import doorward
from harness import Tenant, read_settings, running

_PACKAGE = f"{Path(doorward.__file__).parent}/"
_WARM = 5
_REQUESTS = 15
_REST_SECONDS = 0.01
"""Time for the threads of the service to return to their queues after a response."""
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
_OTHER_THREADS = ("hash", "sqlite-scan", "asyncio")

Entered = Counter[tuple[str, str]]
"""Functions by file and name, with the number of times they were entered."""


class CallRecorder:
    """Profiling hook of every thread that starts after `install`."""

    def __init__(self) -> None:
        """Record nothing until `install`."""
        self._entered: Entered = Counter()

    def install(self) -> None:
        """Profile the threads that start from now on; those that hash or scan stop at their first call."""
        threading.setprofile(self._profile)

    def reset(self) -> Entered:
        """Return the functions entered since the last reset."""
        entered, self._entered = self._entered, Counter()
        return entered

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(_PACKAGE):
            return
        # The argument of RESUME is 0 at the start of a function, and another number where a coroutine goes on.
        if code.co_code[frame.f_lasti + 1] & 3 or code.co_name in _COMPREHENSIONS:
            return
        if threading.current_thread().name.startswith(_OTHER_THREADS):
            sys.setprofile(None)
            return
        self._entered[code.co_filename.removeprefix(_PACKAGE), code.co_qualname] += 1


def record(recorder: CallRecorder, request: Callable[[], object]) -> Entered:
    """Return the functions that one request enters, of the request with the fewest calls."""
    found: list[Entered] = []
    for number in range(_WARM + _REQUESTS):
        time.sleep(_REST_SECONDS)
        recorder.reset()
        request()
        time.sleep(_REST_SECONDS)
        if number >= _WARM:
            found.append(recorder.reset())
    return min(found, key=Counter.total)


def requests_of(tenant: Tenant) -> dict[str, Callable[[], object]]:
    """Return one function for each kind of request."""
    token = tenant.session()
    body = {"login": "alice", "password": "pw", "deviceId": "laptop", "refresh": True}
    refresh_token = tenant.post("/auth", body).json()["refreshToken"]
    created = 0

    def create() -> None:
        nonlocal created
        created += 1
        tenant.create(f"user-{created}").raise_for_status()

    def refresh() -> None:
        nonlocal refresh_token
        response = tenant.post("/auth/refresh", {"refreshToken": refresh_token}).raise_for_status()
        refresh_token = response.json()["refreshToken"]

    return {
        "verify": lambda: tenant.verify(token).raise_for_status(),
        "login": lambda: tenant.login().raise_for_status(),
        "create user": create,
        "refresh": refresh,
    }


def measure() -> dict[str, Entered]:
    """Return the functions that one request of each kind enters."""
    recorder = CallRecorder()
    recorder.install()
    try:
        with tempfile.TemporaryDirectory() as folder, running(read_settings(Path(folder))) as service:
            tenant = service.tenant()
            tenant.create().raise_for_status()
            return {name: record(recorder, request) for name, request in requests_of(tenant).items()}
    finally:
        threading.setprofile(None)


@click.command()
@click.option("--functions", is_flag=True, help="List every function of a request, with its number of calls.")
def main(*, functions: bool) -> None:
    """Count the Python calls and the files of verify, login, create user and refresh."""
    for name, entered in measure().items():
        files = {file for file, _ in entered}
        click.echo(f"{name:<12} {entered.total():>4} calls  {len(files):>3} files")
        if functions:
            for (file, function), times in sorted(entered.items()):
                click.echo(f"  {times:>3}  {file}  {function}")


if __name__ == "__main__":
    main()
