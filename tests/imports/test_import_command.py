"""`doorward import backend-auth` as an operator runs it."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from doorward.cli import main
from harness import KEY
from legacy_server import DUMP, JWT_KEY, Predecessor

pytestmark = pytest.mark.slow

ENVIRONMENT = {"JWT_KEY": KEY, "LEGACY_JWT_KEY": JWT_KEY, "DATA_DIR": "data", "COLUMNS": None, "NO_COLOR": None}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a new installation in it."""
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["migrate"], env=ENVIRONMENT).exit_code == 0
    return tmp_path


def run(url: str, *options: str, **environment: str | None) -> Result:
    words = ["import", "backend-auth", "--redis-url", url, *options]
    return CliRunner().invoke(main, words, env={**ENVIRONMENT, **environment})


def test_the_report_counts_and_names_and_holds_no_secret(predecessor: Predecessor) -> None:
    predecessor.load_dump()
    answer = run(predecessor.url)
    assert answer.exit_code == 0, answer.output
    lines = [line.strip() for line in answer.stdout.splitlines()]
    for line in ("2  tenants added", "12  users added", "16  sessions added", "'undefined' of tenant "):
        assert any(said.startswith(line) for said in lines), line
    assert "3  orphan_dropped: a session whose user was deleted" in answer.stdout
    secrets = [row["value"] for row in DUMP["keys"] if row["kind"] == "session"]
    for secret in [*secrets, JWT_KEY, KEY, "$2a$", "pppp"]:
        assert secret not in answer.output
    again = json.loads(run(predecessor.url, "--json").stdout)
    assert again["dryRun"] is False
    assert again["counts"]["users known"] == 12
    assert "users added" not in again["counts"]


def test_without_redis_py_the_command_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.endswith(".redis_source")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    answer = run("redis://127.0.0.1:1/0")
    assert answer.exit_code == 1
    assert answer.stderr == ("doorward cannot import. redis-py is not installed. Install doorward[backend-auth].\n")


def test_S15_sessions_of_deleted_users_go_on_only_where_the_operator_says_so(predecessor: Predecessor) -> None:
    predecessor.load_dump()
    dropped = json.loads(run(predecessor.url, "--dry-run", "--json").stdout)
    assert json.loads(run(predecessor.url, "--dry-run", "--json", "--orphans", "drop").stdout) == dropped
    kept = json.loads(run(predecessor.url, "--json", "--orphans", "keep").stdout)
    found = [
        {one["code"]: one["count"] for one in report["findings"] if "orphan" in one["code"]}
        for report in (dropped, kept)
    ]
    assert found == [{"orphan_dropped": 3}, {"orphan": 3}]
    assert kept["counts"]["sessions added"] == dropped["counts"]["sessions added"] + 3


def test_a_dry_run_reports_the_same_and_keeps_nothing(predecessor: Predecessor, folder: Path) -> None:
    predecessor.load_dump()
    dry = json.loads(run(predecessor.url, "--dry-run", "--json", DATA_DIR="elsewhere").stdout)
    assert not (folder / "elsewhere").exists()
    wet = json.loads(run(predecessor.url, "--json").stdout)
    assert dry == {**wet, "dryRun": True}
    assert run(predecessor.url, "--dry-run").stdout.startswith("Dry run: nothing was imported.\n")


def test_names_from_the_source_cannot_draw_on_the_terminal(predecessor: Predecessor) -> None:
    predecessor.load_dump()
    predecessor.keep("auth_\x1b[31mred\n", "{}")
    assert "'auth_\\x1b[31mred\\n'" in run(predecessor.url).stdout


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "unix:///nowhere/at/all",
            "doorward cannot import. --redis-url: the server cannot be read (the connection failed).",
        ),
        ("http://CANARY", "doorward cannot import. --redis-url has to be redis://"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_sentence(url: str, sentence: str) -> None:
    answer = run(url)
    assert answer.exit_code == 1
    assert answer.stderr.startswith(sentence)
    assert answer.stderr.count("\n") == 1
    assert "CANARY" not in answer.output


def test_an_empty_source_and_a_missing_key_are_one_sentence(predecessor: Predecessor) -> None:
    answer = run(predecessor.url)
    assert (answer.exit_code, answer.stderr.strip().splitlines()[-1]) == (
        1,
        (
            "doorward cannot import. There is nothing to import: no key begins with auth_tenant: or jincor_auth_tenant: "
            "in this database. Set another prefix with --prefix."
        ),
    )
    answer = run(predecessor.url, LEGACY_JWT_KEY=None)
    assert answer.exit_code == 1
    assert answer.stderr.startswith("doorward cannot import. LEGACY_JWT_KEY is missing")


def test_a_terminal_sees_progress(predecessor: Predecessor, folder: Path) -> None:
    predecessor.load_dump()
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in ENVIRONMENT.items() if value}
    done = subprocess.run(
        [sys.executable, "-m", "doorward", "import", "backend-auth", "--redis-url", predecessor.url, "--json"],
        env={**environment, "PATH": os.environ["PATH"], "TERM": "xterm"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=60,
        check=True,
    )
    os.close(theirs)
    seen = os.read(ours, 65_536).decode()
    os.close(ours)
    assert "Importing" in seen
    assert "100%" in seen
    assert json.loads(done.stdout)["counts"]["sessions added"] == 16
