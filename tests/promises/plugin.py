"""Collects what the tests of a run say about the promises, with `--promises=FILE`.

Without the option nothing happens. With it, only tests that carry an id are run, and the file says of each what it ran
on and how it went; the run ends with a summary of the promises.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from faults.figures import figures_of
from promises.catalogue import carried, promises

_FILE = "--promises"
_ALL = "--promises-among-all"
_SETUPS = {
    "tests/storage/redis/": "sqlite+redis",
    "tests/test_postgres": "postgresql",
    "tests/core/": "none",
}
"""What tests run on that have no parameter for it. Others start what they need, on the embedded store."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("promises")
    group.addoption(_FILE, metavar="FILE", help="run the tests of promises and write into FILE what they say")
    group.addoption(_ALL, action="store_true", help="with --promises: run the other tests as well")


def pytest_configure(config: pytest.Config) -> None:
    # Beside xdist only the process that hears of every test collects.
    if config.getoption(_FILE) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(Path(config.getoption(_FILE))))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption(_FILE):
        return
    others = [item for item in items if not carried(_function(item))]
    if others and not config.getoption(_ALL):
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if carried(_function(item))]
    for item in items:
        if carried(_function(item)):
            item.user_properties.append(("promise", f"{item.location[0]}::{_function(item)}"))
            item.user_properties.append(("setup", _setup(item)))


def _function(item: pytest.Item) -> str:
    return getattr(item, "originalname", None) or item.name


def _setup(item: pytest.Item) -> str:
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    if "setup" in parameters:
        return str(parameters["setup"])
    if parameters.get("any_redis") == "cluster":
        return "sqlite+cluster"
    return next((setup for path, setup in _SETUPS.items() if item.location[0].startswith(path)), "own")


@dataclass(eq=False)
class Collector:
    """Hears of every test and writes down those of promises."""

    file: Path
    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if "promise" not in properties:
            return
        test = self.found.setdefault(str(properties["promise"]), {"setups": {}, "figures": []})
        outcomes = test["setups"].setdefault(str(properties["setup"]), Counter())
        # A test that passes says so once; whatever goes wrong in its beginning or end counts too.
        if report.when == "call" or not report.passed:
            outcomes[report.outcome] += 1
        if report.when == "call":
            test["figures"] += figures_of(report)

    def pytest_sessionfinish(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.found, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        heard = Counter(name for test in self.found for name in carried(test.rpartition("::")[2]))
        failed = sorted(
            test for test, said in self.found.items() if any(outcomes["failed"] for outcomes in said["setups"].values())
        )
        known = [promise.id for promise in promises()]
        terminalreporter.section("promises")
        terminalreporter.write_line(
            f"{sum(name in heard for name in known)} of {len(known)} promises were tried by {len(self.found)} tests."
        )
        for test in failed:
            terminalreporter.write_line(f"broken: {test}")
