"""Every promise is proven or says why not, and the page says what the last run said."""

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from promises.book import Promise, carried, promises, words, written
from promises.page import PAGE, RESULTS, merge, render, results

BOOK = promises()
_TESTS: dict[str, list[str]] = defaultdict(list)
for _file, _name in written():
    for _id in carried(_name):
        _TESTS[_id].append(f"{_file}::{_name}")


@pytest.mark.parametrize("promise", BOOK, ids=lambda promise: promise.id)
def test_a_promise_has_a_test_or_a_reason_and_not_both(promise: Promise) -> None:
    if promise.reason:
        assert _TESTS[promise.id] == [], f"take the reason out of promises.toml: {promise.id} has a test now"
    else:
        assert _TESTS[promise.id], f"write test_{promise.id}_…, or a reason into promises.toml"


def test_no_test_carries_an_id_that_does_not_exist() -> None:
    known = {promise.id for promise in BOOK}
    assert {name: tests for name, tests in _TESTS.items() if tests and name not in known} == {}


@pytest.mark.parametrize("promise", BOOK, ids=lambda promise: promise.id)
def test_a_promise_is_a_sentence_and_has_an_anchor(promise: Promise) -> None:
    assert promise.says.endswith(".")
    assert 20 < len(promise.says) < 200
    assert promise.anchor
    assert promise.reason is None or (len(promise.reason) > 30 and promise.reason.endswith("."))


def test_the_ids_of_each_family_are_counted_without_a_gap() -> None:
    families: dict[str, list[int]] = defaultdict(list)
    for promise in BOOK:
        families[promise.id[:2]].append(int(promise.id[2:]))
    assert [family for family, found in families.items() if found != list(range(1, len(found) + 1))] == []


def test_the_page_is_what_the_promises_and_the_last_run_make_it() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == render(BOOK, found), "make promises, or python -m promises.page"


def test_a_name_carries_what_stands_before_its_sentence() -> None:
    assert carried("test_OV1_OV2_a_flood_of_logins") == ["OV1", "OV2"]
    assert carried("test_a_TK4_in_the_middle") == []
    assert carried("test_RFC7662_a_live_token") == []
    assert words("test_OV1_OV2_a_flood_of_logins") == "a flood of logins"


def test_a_case_that_failed_in_one_part_has_failed() -> None:
    one = {"t.py::test_TK1_x": {"setups": {"sqlite": {"passed": 2}}}}
    other = {"t.py::test_TK1_x": {"setups": {"sqlite": {"failed": 1}, "postgresql": {"passed": 1}}}}
    assert merge([one, other]) == {
        "t.py::test_TK1_x": {"sqlite": {"passed": 2, "failed": 1}, "postgresql": {"passed": 1}}
    }
    run = {"date": "1 January 2027", "python": "3.11", "machine": "m"}
    found = {"run": run, "tests": {"t.py::test_TK1_x": merge([one, other])["t.py::test_TK1_x"]}}
    promise = Promise("TK1", "It says something.", "RFC 1", "Tokens")
    assert "* failed: [x](../../t.py) (sqlite, postgresql, 4 cases)" in render([promise], found)


def test_the_page_tells_of_the_long_form_where_there_was_one() -> None:
    test = "t.py::test_DU1_x"
    part: dict[str, Any] = {
        test: {"setups": {"sqlite": {"passed": 1}, "postgresql": {"passed": 1}}, "figures": ["500 cuts"]}
    }
    promise = Promise("DU1", "It says something.", "RFC 1", "Durability")
    short = {**results([part]), "figures": {}}
    assert "long form" not in render([promise], short)
    assert "* long form: passed (2 cases; 500 cuts)" in render([promise], {**short, "long": results([part])})
    part[test]["setups"]["sqlite"] = {"failed": 1}
    assert "* long form: 1 failed (2 cases; 500 cuts)" in render([promise], {**short, "long": results([part])})


@pytest.mark.slow
def test_the_plugin_writes_down_what_tests_of_promises_said(pytester_like: Path) -> None:
    said = json.loads(pytester_like.read_text(encoding="utf-8"))
    assert said["aside/test_aside.py::test_TK1_too"]["figures"] == ["of one"]
    assert {test.rpartition("::")[2]: found["setups"] for test, found in said.items()} == {
        "test_TK1_too": {"own": {"passed": 1}},
        "test_TK1_passes": {"own": {"passed": 2}},
        "test_TK2_fails": {"own": {"failed": 1}},
        "test_TK3_is_broken_by_its_fixture": {"own": {"failed": 1}},
        "test_TK4_is_skipped": {"own": {"skipped": 1}},
    }


@pytest.fixture
def pytester_like(tmp_path: Path) -> Path:
    """Run pytest with the plugin on a few made-up tests in a process of its own, and return what it wrote."""
    import subprocess
    import sys

    (tmp_path / "test_made_up.py").write_text(
        """
import pytest

@pytest.mark.parametrize("number", [1, 2])
def test_TK1_passes(number): pass
def test_TK2_fails(): assert False
@pytest.fixture
def broken(): raise RuntimeError
def test_TK3_is_broken_by_its_fixture(broken): pass
def test_TK4_is_skipped(): pytest.skip("for want of a program")
def test_without_an_id(): pass
""",
        encoding="utf-8",
    )
    # A folder with hooks of its own makes pytest choose among plugins.
    (tmp_path / "aside").mkdir()
    (tmp_path / "aside" / "conftest.py").write_text("def pytest_runtest_setup(): pass\n", encoding="utf-8")
    (tmp_path / "aside" / "test_aside.py").write_text(
        "from faults.figures import say\ndef test_TK1_too(): say('of one')\n", encoding="utf-8"
    )
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["faults.figures", "promises.plugin"]\n', encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {Path(__file__).parents[1]}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "--promises=said.json"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert f"4 of {len(BOOK)} promises were tried by 5 tests." in done.stdout, done.stdout + done.stderr
    assert "broken: test_made_up.py::test_TK2_fails" in done.stdout
    assert done.returncode == 1
    return tmp_path / "said.json"
