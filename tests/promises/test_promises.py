"""Every promise has a test or a reason for its absence, and the page names its tests."""

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

from promises.catalogue import Promise, carried, promises, words, written
from promises.page import PAGE, proofs, render

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


def test_the_page_lists_the_promises_and_their_tests() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(BOOK, proofs(written())), "make promises"


def test_a_name_carries_what_stands_before_its_sentence() -> None:
    assert carried("test_OV1_OV2_a_flood_of_logins") == ["OV1", "OV2"]
    assert carried("test_S5_OV1_F15_OV2_a_flood_of_logins") == ["OV1", "OV2"]
    assert carried("test_S5_counters_expire") == []
    assert carried("test_a_TK4_in_the_middle") == []
    assert carried("test_RFC7662_a_live_token") == []
    assert words("test_OV1_S5_OV2_a_flood_of_logins") == "a flood of logins"


def test_a_page_names_tests_by_file_and_reasons_where_there_are_none() -> None:
    book = [
        Promise("TK1", "It says something.", "RFC 1", "Tokens"),
        Promise("TK2", "It says more.", "RFC 2", "Tokens", reason="It cannot be tested here."),
    ]
    page = render(book, proofs([("tests/test_t.py", "test_S1_TK1_it_holds"), ("tests/test_t.py", "test_other")]))
    assert "1 of 2 promises have tests" in page
    assert "[tests/test_t.py](../../tests/test_t.py):\n\n* it holds\n" in page
    assert "It says more. *RFC 2.*\n\nNo test: It cannot be tested here.\n" in page


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
