"""The supervisor restarts workers that exit, while the others serve."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from doorward.runtime.supervisor import restart_delay
from doorward.settings.keys import new_key
from faults.workers import workers_below, workers_of
from harness import Process, serving

COULD_NOT_START = "worker could not start, trying again; the others continue"


def until(ask: Callable[[], Any], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def lines(process: Process, event: str) -> list[dict[str, Any]]:
    """What the service's log says of an event."""
    told = [json.loads(line) for line in process.log().splitlines() if line.startswith("{")]
    return [line for line in told if line["event"] == event]


def test_the_pauses_grow_to_a_minute() -> None:
    assert [restart_delay(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.slow
def test_a_worker_that_cannot_start_is_tried_again_and_the_others_serve_meanwhile(tmp_path: Path) -> None:
    key = tmp_path / "jwt_key"
    key.write_text(new_key())
    key.chmod(0o600)
    with serving(tmp_path, {"WORKERS": "2", "JWT_KEY_FILE": str(key)}) as process:
        first, second = workers_of(process)
        # Longer than the supervisor needs to hear that they serve.
        time.sleep(3)
        key.chmod(0o644)
        os.kill(first, signal.SIGKILL)
        until(lambda: len(lines(process, COULD_NOT_START)) == 2, "it was not tried again")
        told = lines(process, COULD_NOT_START)
        assert [line["again_in_seconds"] for line in told] == [1, 2]
        assert "JWT_KEY_FILE can be read by every user" in lines(process, "cannot start")[0]["reason"]
        assert workers_of(process) == [second]
        for _ in range(20):
            assert httpx.get(f"{process.url}/health/ready").status_code == 200
        key.chmod(0o600)
        until(lambda: len(lines(process, "ready")) == 3, "it was not tried again")
        assert len(workers_of(process)) == 2
        assert process.stop() == 0


@pytest.mark.slow
def test_a_service_is_stopped_while_a_worker_waits_to_be_tried_again(tmp_path: Path) -> None:
    key = tmp_path / "jwt_key"
    key.write_text(new_key())
    key.chmod(0o600)
    with serving(tmp_path, {"WORKERS": "2", "JWT_KEY_FILE": str(key)}) as process:
        time.sleep(3)
        key.chmod(0o644)
        os.kill(workers_of(process)[0], signal.SIGKILL)
        until(lambda: lines(process, COULD_NOT_START), "nothing was said")
        assert process.stop() == 0


@pytest.mark.slow
def test_a_worker_that_cannot_start_at_first_ends_the_service(tmp_path: Path) -> None:
    # Who reads the key first has it, and the workers find nothing.
    environment = {
        "PATH": os.environ["PATH"],
        "WORKERS": "2",
        "PORT": "0",
        "DATA_DIR": "data",
        "JWT_KEY_FILE": "/dev/stdin",
        "LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "doorward", "serve"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, input=new_key(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    reasons = [json.loads(line).get("reason") for line in done.stderr.splitlines() if line.startswith("{")]
    assert "JWT_KEY_FILE is empty." in reasons
    assert "Traceback" not in done.stderr


def hold(supervisor: int, seconds: float) -> threading.Thread:
    """Let no worker of a service have any CPU from its beginning on, for so many seconds."""

    def run() -> None:
        held: set[int] = set()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for pid in set(workers_below(supervisor)) - held:
                os.kill(pid, signal.SIGSTOP)
                held.add(pid)
            time.sleep(0.02)
        for pid in held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.slow
def test_N1_a_worker_that_is_slow_to_start_is_waited_for_and_one_that_hangs_later_is_not(tmp_path: Path) -> None:
    holding: list[threading.Thread] = []
    # Longer than a worker that serves may take for an answer.
    process = Process(tmp_path, {"WORKERS": "2"}, begun=lambda pid: holding.append(hold(pid, 7)))
    try:
        process.start(seconds=60)
        first, second = workers_of(process)
        assert "worker did not" not in process.log()
        until(lambda: httpx.get(f"{process.url}/health/ready").status_code == 200, "it does not serve")
        # Until the supervisor has heard that both serve.
        time.sleep(2)
        os.kill(first, signal.SIGSTOP)
        event = "worker did not respond within 5 s, starting another"
        until(lambda: lines(process, event), "it was not replaced")
        [told] = lines(process, event)
        assert (told["pid"], told["seconds"]) == (first, 5)
        assert told["worker"] in {1, 2}
        assert not {"code", "signal"} & told.keys()
        until(lambda: len(lines(process, "ready")) == 3, "no other worker came to serve")
        os.kill(second, signal.SIGKILL)
        until(lambda: lines(process, "worker exited, starting another"), "it was not replaced")
        [told] = lines(process, "worker exited, starting another")
        assert (told["pid"], told["signal"]) == (second, "SIGKILL")
    finally:
        process.kill()
        for thread in holding:
            thread.join()


@pytest.mark.slow
def test_N1_a_worker_that_does_not_serve_in_its_time_is_ended_and_tried_again(tmp_path: Path) -> None:
    holding: list[threading.Thread] = []
    settings = {"WORKERS": "2", "WORKER_START_TIMEOUT": "8", "DATABASE_WAIT": "0"}
    process = Process(tmp_path, settings, begun=lambda pid: holding.append(hold(pid, 9)))
    try:
        process.start(seconds=60)
        told = lines(process, "worker did not serve within 8 s of its start, trying again; the others continue")
        assert {line["worker"] for line in told} == {1, 2}
        for line in told[:2]:
            assert (line["seconds"], line["again_in_seconds"]) == (8, 1)
            assert not {"code", "signal"} & line.keys()
    finally:
        process.kill()
        for thread in holding:
            thread.join()
