"""Progress bars of long commands on a terminal, and nowhere else."""

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from doorward.storage.sqlite.file import connect
from harness import KEY, PASSWORD
from terminal import Operator

pytestmark = pytest.mark.slow

ROWS = 1200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An installation with more rows than are carried at once, and a backup of it."""
    operator = Operator(tmp_path, {})
    operator.do("tenant", "create", "--init", "a@example.org", typed=PASSWORD + "\n")
    connection = connect(tmp_path / "doorward.db", busy=5)
    connection.executemany("INSERT INTO departed (tenant_id) VALUES (?)", [(f"t{number}",) for number in range(ROWS)])
    connection.close()
    operator.do("backup", str(tmp_path / "doorward.bak"))
    return tmp_path


COMMANDS = {
    "Backing up": ("backup", "again.bak"),
    "Restoring": ("restore", "doorward.bak", "--yes"),
    "Copying": ("migrate", "--from", "sqlite:///doorward.db", "--to", "sqlite:///there.db"),
}


def start(folder: Path, words: tuple[str, ...], stderr: int) -> "subprocess.Popen[str]":
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "DATA_DIR": str(folder), "JWT_KEY": KEY}
    command = [sys.executable, "-m", "doorward", *words]
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True)


def on_terminal(folder: Path, *words: str) -> str:
    """Run a command whose standard error is a terminal, and return what that showed."""
    ours, theirs = pty.openpty()
    process = start(folder, words, theirs)
    os.close(theirs)
    seen: list[bytes] = []

    def look() -> None:
        try:
            while came := os.read(ours, 65_536):
                seen.append(came)
        except OSError:
            return  # the terminal is gone, as its last user is

    thread = threading.Thread(target=look)
    thread.start()
    assert process.wait(60) == 0
    thread.join()
    os.close(ours)
    process.communicate()
    return b"".join(seen).decode()


@pytest.mark.parametrize("label", COMMANDS)
def test_a_terminal_sees_how_far_it_is(folder: Path, label: str) -> None:
    seen = on_terminal(folder, *COMMANDS[label])
    assert label in seen
    shares = [int(part.rpartition(" ")[2]) for part in seen.split("%")[:-1]]
    assert shares == sorted(shares)
    assert shares[0] < 100
    assert shares[-1] == 100
    assert any(0 < share < 100 for share in shares)


@pytest.mark.parametrize("label", COMMANDS)
def test_a_pipe_sees_nothing_of_it(folder: Path, label: str) -> None:
    process = start(folder, COMMANDS[label], subprocess.PIPE)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert label not in said
    assert "%" not in said
    assert len(said.splitlines()) == 1


def test_with_JSON_a_terminal_sees_nothing_of_it_either(folder: Path) -> None:
    assert "Copying" not in on_terminal(folder, *COMMANDS["Copying"], "--json")
