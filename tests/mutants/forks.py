"""A process that runs pytest in forks of itself, so that what tests need of other projects is imported once.

It reads one JSON object a line: `arguments` of pytest, `environment` to add, `output`, the file for what pytest says, and
`seconds`, after which the run is ended. It answers each with a line: the exit code of pytest, or null where time was up.
"""

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest

# Nothing of the product and of its tests: that is imported by each fork, as the mutant has it.
_IMPORTED = (
    *("argon2", "asyncpg", "bcrypt", "click.testing", "coverage", "cryptography.x509", "hiredis", "httptools", "httpx"),
    *("hypothesis", "joserfc.jwt", "jwt", "msgspec", "prometheus_client", "pytest_asyncio.plugin", "pytest_timeout"),
    *("redis", "starlette.applications", "structlog", "uvicorn", "uvloop"),
)
_PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "mutants.plugin")


def main() -> None:
    """Serve orders until the input ends."""
    for module in _IMPORTED:
        with suppress(ImportError):
            import_module(module)
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        sys.stdout.write(f"{json.dumps(_run(order))}\n")
        sys.stdout.flush()


def _run(order: Mapping[str, Any]) -> int | None:
    child = os.fork()
    if not child:
        _test(order)
    deadline = time.monotonic() + order["seconds"]
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            _kill(child)
            return None
        time.sleep(0.01)


def _test(order: Mapping[str, Any]) -> NoReturn:
    code = 1
    try:
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT)
        for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
            os.dup2(descriptor, target)
        os.environ.update(order["environment"], PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
        plugins = [word for plugin in _PLUGINS for word in ("-p", plugin)]
        # Plain asserts: pytest cannot rewrite plugins that are imported already, and the messages are not read.
        code = int(pytest.main(["--assert=plain", "-p", "no:cacheprovider", *plugins, *order["arguments"]]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def _kill(process: int) -> None:
    """End a process and the servers that it started, which are in sessions of their own."""
    family = [process]
    for parent in family:
        tasks = Path(f"/proc/{parent}/task").glob("*/children")
        with suppress(OSError):
            family += [int(child) for task in tasks for child in task.read_text().split()]
    for member in family:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    os.waitpid(process, 0)


if __name__ == "__main__":
    main()
