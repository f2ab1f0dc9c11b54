"""Standard streams of commands: unwritable output and malformed input end with a sentence and exit code 1."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness import KEY, PASSWORD
from terminal import Operator

pytestmark = pytest.mark.slow

FULL = Path("/dev/full")
EMAIL = "shop@example.org"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with an installation in it, of one tenant and one user."""
    folder = tmp_path_factory.mktemp("streams")
    operator = Operator(folder / "data", {})
    operator.do("tenant", "create", "--init", EMAIL, typed=PASSWORD + "\n")
    (folder / "users.ndjson").write_text('{"login": "\u0436\u0443\u043a", "email": "zoe@example.org", "sub": "1"}\n')
    operator.do("user", "import", str(folder / "users.ndjson"), "--tenant", EMAIL)
    return folder


def run(
    folder: Path, *words: str, more: Mapping[str, str] | None = None, **how: Any
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command in a process of its own, and see that it shows no traceback."""
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder / "data"), "JWT_KEY": KEY, **(more or {})}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    found = subprocess.run(
        [sys.executable, "-m", "doorward", *words], env=environment, cwd=folder, timeout=60, check=False, **streams
    )
    assert b"Traceback" not in (found.stderr or b"")
    assert b"Exception ignored" not in (found.stderr or b"")
    return found


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("words", ["tenant list", f"user export --tenant {EMAIL}", "--help"])
def test_F29_a_full_disk_behind_standard_output_is_one_sentence(folder: Path, words: str) -> None:
    with FULL.open("wb") as full:
        found = run(folder, *words.split(), stdout=full)
    assert found.returncode == 1
    assert found.stderr.count(b"\n") == 1
    assert b"(No space left on device).\n" in found.stderr


@pytest.mark.parametrize("words", ["tenant list --json", f"user export --tenant {EMAIL}"])
def test_F29_a_closed_pipe_is_one_sentence(folder: Path, words: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        found = run(folder, *words.split(), stdout=theirs)
    finally:
        os.close(theirs)
    assert (found.returncode, found.stderr.count(b"\n")) == (1, 1)
    assert b"(Broken pipe).\n" in found.stderr


def test_F29_a_standard_output_that_is_closed_loses_no_result_in_silence(folder: Path) -> None:
    found = run(folder, "tenant", "list", stdout=None, preexec_fn=lambda: os.close(1))
    assert (found.returncode, found.stderr) == (1, b"The output cannot be written (Bad file descriptor).\n")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_F29_messages_that_cannot_be_written_spoil_no_result(folder: Path) -> None:
    with FULL.open("wb") as full:
        found = run(folder, "tenant", "list", "--json", stderr=full)
        assert (found.returncode, found.stdout.count(b"\n")) == (0, 1)
        assert run(folder, "tenant", "show", "nobody@example.org", stderr=full).returncode == 1
    found = run(folder, "tenant", "list", "--json", stderr=None, preexec_fn=lambda: os.close(2))
    assert (found.returncode, found.stdout.count(b"\n")) == (0, 1)


def test_F29_a_terminal_of_another_encoding_gets_an_escape(folder: Path) -> None:
    found = run(folder, "user", "list", "--tenant", EMAIL, more={"PYTHONIOENCODING": "latin-1"})
    assert found.returncode == 0
    assert rb"\u0436\u0443\u043a" in found.stdout


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_F29_a_service_serves_though_its_banner_cannot_be_written(tmp_path: Path) -> None:
    code = "import os, sys; os.dup2(os.open('/dev/full', os.O_WRONLY), 1); os.execv(sys.executable, sys.argv[1:])"
    log = tmp_path / "log.txt"
    with log.open("wb") as file:
        service = subprocess.Popen(
            [sys.executable, "-c", code, sys.executable, "-m", "doorward", "serve"],
            env={"PATH": os.environ["PATH"], "PORT": "0"},
            cwd=tmp_path,
            stderr=file,
        )
    try:
        deadline = time.monotonic() + 30
        while b'"event": "ready"' not in log.read_bytes():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        assert service.poll() is None
    finally:
        service.terminate()
        service.wait(30)
    assert b"Traceback" not in log.read_bytes()


NOT_UTF_8 = b"caf\xe9"


@pytest.mark.parametrize("words", [["tenant", "show", "{}"], ["backup", "{}"], ["{}"]], ids=lambda words: words[0])
def test_F29_an_argument_that_is_not_UTF_8_is_one_sentence(folder: Path, words: list[str]) -> None:
    # As the interpreter hands on what it cannot decode.
    given = NOT_UTF_8.decode(errors="surrogateescape")
    answer = Operator(folder / "data", {}).run(*(word.format(given) for word in words))
    assert (answer.exit_code, answer.stderr) == (1, "An argument is not UTF-8 text.\n")


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (NOT_UTF_8, "Standard input is not UTF-8 text.\n"),
        ("Correct-Horse-9".encode("utf-16"), "Standard input is not UTF-8 text.\n"),
        ("Correct-Horse-9".encode("utf-16-le"), "The password has a control character in it.\n"),
        (b"Correct\x1b-Horse-9\n", "The password has a control character in it.\n"),
        (b"\xef\xbb\xbf\xef\xbb\xbfCorrect-Horse-9\n", "The password has a control character in it.\n"),
        (b"\xef\xbb\xbf\r\n", "The password is empty.\n"),
    ],
)
@pytest.mark.parametrize("where", ["standard input", "file"])
def test_F28_F29_a_password_of_another_machine_is_one_sentence(
    folder: Path, tmp_path: Path, typed: bytes, sentence: str, where: str
) -> None:
    operator, words = Operator(folder / "data", {}), ("tenant", "password", EMAIL)
    if where == "standard input":
        answer = operator.run(*words, typed=typed)
    else:
        (tmp_path / "secret").write_bytes(typed)
        answer = operator.run(*words, "--password-file", str(tmp_path / "secret"))
        sentence = sentence.replace("Standard input", str(tmp_path / "secret"))
    assert (answer.exit_code, answer.stderr) == (1, sentence)
