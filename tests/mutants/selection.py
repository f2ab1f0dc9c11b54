"""Which tests a mutant is tried with: those that use what it changes, the most telling and cheapest first."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import msgspec

from mutants.changes import Mutant
from mutants.sandbox import PACKAGE, ROOT, Sandbox, Selection

# Seconds of recorded tests that a mutant is tried with, beside all of the contracts.
_BUDGET = 30.0
# Suites that look at what a mutant changes from close by; the others follow.
_CLOSE = ("tests/core/", "tests/storage/contracts/", "tests/storage/redis/")
_SETUPS = ("", "sqlite")
_FILES_TOGETHER = 6


class Test(msgspec.Struct):
    """A test: its set-up of stores, how long it took, and the statements and scripts it used."""

    setup: str
    seconds: float
    uses: list[str]
    passed: bool = True


class File(msgspec.Struct):
    """What was recorded of one file of tests: its digest, its tests, and which of them ran through which line."""

    digest: str
    tests: dict[str, Test] = {}
    lines: dict[str, list[str]] = {}
    asked: list[str] = []

    @property
    def failed(self) -> list[str]:
        return [name for name, test in self.tests.items() if not test.passed]


class Recording:
    """What tests use. With `known`, what the last run recorded counts for files of tests that have not changed."""

    def __init__(self, path: Path, *, known: bool) -> None:
        self._path = path
        self._files: dict[str, File] = {}
        if known and path.exists():
            self._files = msgspec.json.decode(path.read_bytes(), type=dict[str, File])

    def complete(self, sandboxes: Sequence[Sandbox], suites: Sequence[str], mutants: Sequence[Mutant]) -> None:
        """Record the suites, as far as that is not known already."""
        lines: dict[str, list[int]] = defaultdict(list)
        for mutant in mutants:
            if mutant.line:
                lines[mutant.file].append(mutant.line)
        digests = {file: _digest(PACKAGE / file) for file in lines}
        asked = sorted({f"{mutant.used} {digests[mutant.file]}" for mutant in mutants if mutant.line})
        missing: dict[str, str] = {}
        for file in _test_files(suites):
            digest = _digest(ROOT / file)
            found = self._files.get(file)
            if found is None or found.digest != digest or found.failed or not set(asked) <= set(found.asked):
                missing[file] = digest
        # Neighbours share what their fixtures start, and the two halves take about as long.
        groups = [
            list(missing)[start :: len(missing) // _FILES_TOGETHER + 1]
            for start in range(len(missing) // _FILES_TOGETHER + 1)
        ]
        free = list(sandboxes)

        def record(group: Sequence[str]) -> dict[str, Any]:
            sandbox = free.pop()
            try:
                return sandbox.record(group, lines)
            finally:
                free.append(sandbox)

        with ThreadPoolExecutor(len(sandboxes)) as pool:
            for group, recorded in zip(groups, pool.map(record, groups), strict=True):
                for file in group:
                    self._files[file] = _of_file(file, missing[file], recorded, asked)
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_bytes(msgspec.json.encode(self._files))

    @property
    def failed(self) -> list[str]:
        """The tests that fail without a mutant. No mutant is tried with them."""
        return [name for file in self._files.values() for name in file.failed]

    @property
    def is_whole(self) -> bool:
        """Whether so few tests fail without a mutant that the others can stand for all."""
        return len(self.failed) * 100 < sum(len(file.tests) for file in self._files.values())

    def tests_of(self, mutant: Mutant) -> Selection:
        """Return the tests that a mutant is tried with."""
        found: dict[str, Test] = {}
        for file in self._files.values():
            names = file.lines.get(mutant.used, []) if mutant.line else file.tests
            for name in names:
                test = file.tests[name]
                fits = (test.setup or "sqlite").startswith(mutant.setup)
                if test.passed and fits and (mutant.line or mutant.used in test.uses):
                    found[name] = test
        return _in_order(found)


def _in_order(tests: dict[str, Test]) -> Selection:
    modules: dict[tuple[int, bool, str, str], list[str]] = defaultdict(list)
    for name, test in tests.items():
        file = name.partition("::")[0]
        modules[_distance(file), test.setup not in _SETUPS, file, test.setup].append(name)
    chosen: set[str] = set()
    seconds = 0.0
    for near in (True, False):
        # A test of each module first, then another of each: tests of one module tend to see the same.
        ranked = [
            sorted(names, key=lambda name: tests[name].seconds)
            for key, names in modules.items()
            if (key[0] < len(_CLOSE)) == near
        ]
        spent = 0.0
        for name in chain.from_iterable(zip_longest(*ranked)):
            if name and (near or spent + tests[name].seconds <= _BUDGET):
                spent += tests[name].seconds
                chosen.add(name)
        seconds += spent
    longest = max((tests[name].seconds for name in chosen), default=0.0)
    return Selection([name for key in sorted(modules) for name in modules[key] if name in chosen], seconds, longest)


def _distance(file: str) -> int:
    return next((place for place, suite in enumerate(_CLOSE) if file.startswith(suite)), len(_CLOSE))


def _of_file(file: str, digest: str, recorded: dict[str, Any], asked: list[str]) -> File:
    inside = f"{file}::"
    tests = {name: msgspec.convert(test, Test) for name, test in recorded["tests"].items() if name.startswith(inside)}
    lines = {
        line: own
        for line, names in recorded["lines"].items()
        if (own := [name for name in names if name.startswith(inside)])
    }
    return File(digest, tests, lines, asked)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _test_files(suites: Sequence[str]) -> list[str]:
    found = []
    for suite in suites:
        path = ROOT / suite
        found += sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    return [str(path.relative_to(ROOT)) for path in found]
