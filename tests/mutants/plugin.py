"""Part of a test process of `make mutants`: records what each test uses, or runs the tests that one mutant needs.

`MUTANTS_ORDER` is a JSON file: `tests` are the tests to run, in that order; without it, tests are recorded: `record` is
the file for the recording, `lines` names the lines of the product, by file, whose use is of interest.
"""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import coverage
import pytest
from hypothesis import HealthCheck, settings

from mutants.changes import SCRIPTS, STATEMENTS

_ORDER = json.loads(Path(os.environ["MUTANTS_ORDER"]).read_text(encoding="utf-8"))
_FIRST = "sqlite"
_EVERY_SETUP = "tests/storage/contracts/"
_QUICK_THOUGH_SLOW = "tests/storage/redis/"
# Its servers take longer to start than its tests take, and it runs the scripts that one Redis runs.
_LEFT_OUT = "cluster"

# The same examples each time, so that the same mutants survive, and none kept in the working directory.
settings.register_profile("mutants", derandomize=True, database=None, suppress_health_check=list(HealthCheck))
settings.load_profile("mutants")


def pytest_configure(config: pytest.Config) -> None:
    if "record" in _ORDER:
        config.pluginmanager.register(_Recorder(), "mutants-recorder")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "record" in _ORDER:
        chosen = [item for item in items if _is_recorded(item)]
    else:
        places = {name: place for place, name in enumerate(_ORDER["tests"])}
        chosen = sorted((item for item in items if item.nodeid in places), key=lambda item: places[item.nodeid])
    kept = {item.nodeid for item in chosen}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
    items[:] = chosen


def _setup(item: pytest.Item) -> str:
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return str(parameters.get("setup", parameters.get("any_redis", "")))


def _is_recorded(item: pytest.Item) -> bool:
    """Tell whether a test is one that mutants are tried with: of other suites than contracts, on the first set-up."""
    slow = item.get_closest_marker("slow") and not item.nodeid.startswith(_QUICK_THOUGH_SLOW)
    setup = _setup(item)
    if slow or item.get_closest_marker("alone") or setup.endswith(_LEFT_OUT):
        return False
    return item.nodeid.startswith((_EVERY_SETUP, _QUICK_THOUGH_SLOW)) or setup in {"", _FIRST}


class _Recorder:
    """Notes for each test its set-up, how long it took, and which statements, scripts and lines it used."""

    def __init__(self) -> None:
        self._tests: dict[str, dict[str, Any]] = {}
        self._uses: set[str] = set()
        self._files = {str(_package() / file): file for file in _ORDER["lines"]}
        self._coverage = coverage.Coverage(data_file=None, config_file=False, include=list(self._files), messages=False)
        self._coverage.set_option("run:disable_warnings", ["no-data-collected", "module-not-imported"])
        self._coverage.start()
        self._watch_statements()
        self._watch_scripts()

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._tests[item.nodeid] = {"setup": _setup(item), "seconds": 0.0, "passed": True, "uses": []}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        # Not what its fixtures use: those of a suite use much the same in all of its tests.
        self._uses = set()
        self._coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._tests[item.nodeid]["uses"] = sorted(self._uses)
            self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._tests[report.nodeid]
        test["seconds"] += report.duration if report.when == "call" else 0.0
        test["passed"] = test["passed"] and not report.failed

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        data = self._coverage.get_data()
        lines: dict[str, list[str]] = defaultdict(list)
        for path, file in self._files.items():
            wanted = set(_ORDER["lines"][file])
            for line, tests in data.contexts_by_lineno(path).items():
                if line in wanted:
                    lines[f"{file}:{line}"] += [test for test in tests if test]
        Path(_ORDER["record"]).write_text(json.dumps({"tests": self._tests, "lines": lines}), encoding="utf-8")

    def _watch_statements(self) -> None:
        from doorward.storage.relational import statements
        from doorward.storage.relational.database import Step

        load = statements.load_statements

        @wraps(load)
        def noting_load(marker: str) -> dict[str, statements.Statement]:
            return _Noting(load(marker), self._note_statement)

        # Before the databases import it.
        statements.load_statements = noting_load

        from doorward.storage.postgres.database import PostgresDatabase
        from doorward.storage.sqlite.database import SqliteDatabase

        def noting_call(method: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(method)
            def noting(database: object, *given: Any) -> Any:
                # A name and its values, or any number of steps.
                for one in given:
                    if isinstance(one, str | Step):
                        self._note_statement(one if isinstance(one, str) else one.statement)
                return method(database, *given)

            return noting

        # A database looks up some of its statements once and keeps them.
        for database in (SqliteDatabase, PostgresDatabase):
            for method in ("read", "look_up", "scan", "write"):
                setattr(database, method, noting_call(getattr(database, method)))

    def _note_statement(self, name: str) -> None:
        self._uses.add(f"{STATEMENTS}:{name}")

    def _watch_scripts(self) -> None:
        from doorward.storage.redis import scripts

        names: dict[str, str] = {}
        load, on = scripts.load_scripts, scripts.Script.on

        @wraps(load)
        def noting_names(file: str) -> dict[str, scripts.Script]:
            loaded = load(file)
            names.update({script.digest: f"{SCRIPTS}/{file}:{name}" for name, script in loaded.items()})
            return loaded

        @wraps(on)
        def noting_use(script: scripts.Script, *given: Any) -> scripts.Command:
            self._uses.add(names[script.digest])
            return on(script, *given)

        # Before the modules that run scripts import them.
        for owner, name, noting in ((scripts, "load_scripts", noting_names), (scripts.Script, "on", noting_use)):
            setattr(owner, name, noting)


class _Noting(dict[str, Any]):
    """Statements by name, which notes those that are looked up."""

    def __init__(self, statements: dict[str, Any], note: Callable[[str], None]) -> None:
        super().__init__(statements)
        self._note = note

    def __getitem__(self, name: str) -> Any:
        self._note(name)
        return super().__getitem__(name)


def _package() -> Path:
    import doorward

    return Path(doorward.__file__).parent
