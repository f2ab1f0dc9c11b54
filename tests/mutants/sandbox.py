"""Copies of the product in which a mutant can be tried, and the servers for that."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import redis

from mutants.changes import Mutant
from redis_servers import own_redis
from servers import OwnPostgres

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "doorward"
# Beyond what tests took while they were recorded: of one test, and of all of a mutant.
_SLOWER = 4
_SPARE_TEST_SECONDS = 10
_SPARE_SECONDS = 60
_RECORDING = (120, 3600)
_RUNS = 2
_NEAR = ("tests/core/", "tests/storage/contracts/")
_PASSED, _FAILED, _INTERRUPTED, _NONE = 0, 1, 2, 5
"""Exit codes of pytest; interrupted is a module that could not be imported any more, none that there was no test."""
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", re.MULTILINE)
_REDIS_DATABASES = "4096"


class Selection(NamedTuple):
    """Tests in order; how many seconds they took while they were recorded, and the longest of them."""

    tests: list[str]
    seconds: float
    longest: float


class BrokenRunError(Exception):
    """A test process that ended in a way that says nothing about a mutant."""


@dataclass(frozen=True)
class Sandbox:
    """A copy of the product, a Redis and a folder of its own: what one mutant at a time is tried in."""

    folder: Path
    redis_url: str
    _forks: "subprocess.Popen[bytes]"
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def _package(self) -> Path:
        return self.folder / "copy" / "doorward"

    def killer(self, mutant: Mutant, selection: Selection) -> str:
        """Return the first of the selected tests that fails with a mutant, or nothing."""
        limits = (
            _SLOWER * selection.longest + _SPARE_TEST_SECONDS,
            _SLOWER * selection.seconds + _SPARE_SECONDS,
        )
        path = self._package / mutant.file
        original, changed_at = path.read_bytes(), path.stat().st_mtime
        path.write_bytes(mutant.edit.apply(original))
        # Compiled modules are told apart by whole seconds, and a mutant may take less than one.
        os.utime(path, (changed_at, changed_at + next(self._numbers) + 1))
        try:
            # A deadline that a busy machine misses is missed once: what fails because of the mutant fails again.
            for _ in range(_RUNS):
                arguments = ["--exitfirst", *_files(selection.tests)]
                code, said = self._run({"tests": selection.tests}, arguments, limits)
                if code not in {_PASSED, _FAILED, _INTERRUPTED, None}:
                    raise BrokenRunError(f"{mutant.file} {mutant.name}: {said}")
                if code == _PASSED:
                    return ""
                failed = _FAILURE.search(said)
                killer = failed[1] if failed else "time was up" if code is None else "no test could be run"
                if not _has_deadlines(killer):
                    break
        finally:
            path.write_bytes(original)
            os.utime(path, (changed_at, changed_at))
        return killer

    def record(self, files: Sequence[str], lines: dict[str, list[int]]) -> dict[str, Any]:
        """Run the tests of some files; return what `plugin.py` notes of them."""
        target = self.folder / "recording.json"
        code, said = self._run({"record": str(target), "lines": lines}, files, _RECORDING)
        if code not in {_PASSED, _FAILED, _NONE}:
            raise BrokenRunError(said)
        recording: dict[str, Any] = msgspec.json.decode(target.read_bytes())
        return recording

    def _run(
        self, order: dict[str, Any], arguments: Sequence[str], limits: tuple[float, float]
    ) -> tuple[int | None, str]:
        """Run pytest; return its exit code, None where time was up, and the end of what it said.

        `limits` are in seconds, of one test and of the whole run.
        """
        folder = self.folder / f"run-{next(self._numbers)}"
        folder.mkdir()
        (folder / "order.json").write_bytes(msgspec.json.encode(order))
        output = folder / "output.txt"
        run = {
            "arguments": [
                *("--quiet", "--tb=line", "-r", "fE", f"--timeout={limits[0]:.0f}", f"--basetemp={folder / 'tests'}"),
                *arguments,
            ],
            "environment": {"MUTANTS_ORDER": str(folder / "order.json"), "TMPDIR": str(folder)},
            "output": str(output),
            "seconds": limits[1],
        }
        assert self._forks.stdin
        assert self._forks.stdout
        self._forks.stdin.write(msgspec.json.encode(run) + b"\n")
        self._forks.stdin.flush()
        code: int | None = msgspec.json.decode(self._forks.stdout.readline(), type=int | None)
        said = output.read_text(encoding="utf-8", errors="replace")[-3000:]
        shutil.rmtree(folder, ignore_errors=True)
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()
        return code, said


def _has_deadlines(test: str) -> bool:
    """Tell whether a test asks a server, over a socket or as a service."""
    return not test.startswith(_NEAR) or "[postgresql" in test


def _files(tests: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(test.partition("::")[0] for test in tests))


@contextmanager
def sandboxes(number: int) -> Iterator[list[Sandbox]]:
    """Make so many sandboxes; one PostgreSQL serves them all, since its databases have names of their own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="doorward-mutants-")))
        # Tests run programs as other users.
        folder.chmod(0o755)
        postgresql = OwnPostgres.make()
        stack.callback(postgresql.remove)
        made = []
        for place in range(number):
            own = folder / str(place)
            shutil.copytree(PACKAGE, own / "copy" / "doorward")
            server = stack.enter_context(own_redis(databases=_REDIS_DATABASES))
            environment = {
                **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}},
                "PYTHONPATH": os.pathsep.join([str(own / "copy"), str(ROOT / "tests")]),
                "PYTHONPYCACHEPREFIX": str(own / "compiled"),
                "HYPOTHESIS_STORAGE_DIRECTORY": str(own / "hypothesis"),
                "TEST_DATABASE_URL": postgresql.admin_url,
                "TEST_REDIS_URL": server.url,
            }
            forks = subprocess.Popen(
                [sys.executable, "-m", "mutants.forks"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            stack.callback(forks.communicate)
            made.append(Sandbox(own, server.url, forks))
        yield made
