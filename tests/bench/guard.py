"""`make bench-guard`: instructions per request, which no load of the machine changes, held against those in the tree.

The service runs under `valgrind --tool=callgrind`, which counts the instructions of every thread. A figure that is more
than 5 % above the one of `guard.json` fails; `--renew` writes that file. Instructions differ between versions of Python,
so the file has figures for each; a version without figures is only shown. The thread that hashes passwords is left out:
what a hash costs is a setting.
"""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import httpx

from bench.servers import Server, User, call, fill
from harness import KEY, UNTHROTTLED
from servers import free_port

FIGURES = Path(__file__).with_name("guard.json")
_TOLERANCE = 0.05
_AGAIN = 2
_WARM = 40
_REQUESTS = {"verify": 400, "login": 20, "refresh": 100}
_START_SECONDS = 120


class Valgrind:
    """A service under callgrind."""

    def __init__(self, folder: Path) -> None:
        """Start it on the embedded store, and wait until it is ready."""
        self._output = folder / "callgrind.out"
        port = free_port()
        # What is random about a process is fixed: hashes of strings, and which system calls its loop uses.
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONHASHSEED": "0",
            "UV_USE_IO_URING": "0",
            "PORT": str(port),
            "DATA_DIR": str(folder / "data"),
            "JWT_KEY": KEY,
            **UNTHROTTLED,
        }
        self._log = (folder / "log.txt").open("wb")
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes"]
        command += [f"--callgrind-out-file={self._output}", sys.executable, "-m", "doorward", "serve"]
        self._process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=self._log, stderr=self._log, start_new_session=True
        )
        self.server = Server("under callgrind", port, self._process.pid, pids=[self._process.pid])
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                httpx.get(f"{self.server.url}/health/ready").raise_for_status()
            except httpx.HTTPError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise click.ClickException(f"The service did not start: {folder / 'log.txt'}") from None
                time.sleep(0.2)
            else:
                return

    def count(self, act: Callable[[int], None], requests: int, *, hashing: bool) -> int:
        """Return the instructions of one request; with `hashing`, those of the busiest thread but the first left out."""
        act(_WARM)
        self._command("instrumentation on")
        act(max(2, requests // 10))
        self._command("zero")
        act(requests)
        self._command("dump")
        self._command("instrumentation off")
        threads = self._threads()
        return (sum(threads) - (max(threads[1:]) if hashing else 0)) // requests

    def _command(self, words: str) -> None:
        command = ["vgdb", f"--pid={self._process.pid}", *words.split()]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def _threads(self) -> list[int]:
        """Return the instructions of each thread in the last dump, the first thread first, and remove the dump."""
        found = []
        for file in sorted(self._output.parent.glob("callgrind.out.*")):
            totals = re.search(r"^(?:summary|totals): (\d+)", file.read_text(errors="replace"), re.MULTILINE)
            found.append(int(totals[1]) if totals else 0)
            file.unlink()
        return found

    def stop(self) -> None:
        """End the service and what it runs under."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()


def _verify(server: Server, users: list[User]) -> Callable[[int], None]:
    client = httpx.Client(base_url=server.url, timeout=60)

    def act(times: int) -> None:
        for _ in range(times):
            client.post("/auth/verify", json={"token": users[0].token}, headers=_bearer(users)).raise_for_status()

    return act


def _login(server: Server, users: list[User]) -> Callable[[int], None]:
    client = httpx.Client(base_url=server.url, timeout=60)
    body = {"login": users[0].login, "password": "pw", "deviceId": "laptop"}

    def act(times: int) -> None:
        for _ in range(times):
            client.post("/auth", json=body, headers=_bearer(users)).raise_for_status()

    return act


def _refresh(server: Server, users: list[User]) -> Callable[[int], None]:
    client = httpx.Client(base_url=server.url, timeout=60)
    body = {"login": users[0].login, "password": "pw", "deviceId": "laptop", "refresh": True}
    token = call(server, "/auth", body, users[0].tenant_token)["refreshToken"]

    def act(times: int) -> None:
        nonlocal token
        for _ in range(times):
            answer = client.post("/auth/refresh", json={"refreshToken": token}, headers=_bearer(users))
            token = answer.raise_for_status().json()["refreshToken"]

    return act


def _bearer(users: list[User]) -> dict[str, str]:
    return {"Authorization": f"Bearer {users[0].tenant_token}"}


def measure() -> dict[str, int]:
    """Return the instructions of one request of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        service = Valgrind(Path(folder))
        try:
            users = fill(service.server, 1)
            acts = {"verify": _verify, "login": _login, "refresh": _refresh}
            return {
                name: service.count(act(service.server, users), _REQUESTS[name], hashing=name == "login")
                for name, act in acts.items()
            }
        finally:
            service.stop()


@click.command()
@click.option("--renew", is_flag=True, help="Write what was counted into guard.json.")
def main(*, renew: bool) -> None:
    """Count the instructions of verify, login and refresh, and compare them with those in the tree."""
    if shutil.which("valgrind") is None:
        if os.environ.get("CI"):
            raise click.ClickException("valgrind is not installed.")
        click.echo("valgrind is not installed (apt install valgrind): nothing is counted here; CI does it.", err=True)
        return
    version = ".".join(platform.python_version_tuple()[:2])
    known: dict[str, dict[str, int]] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    found = measure()
    for _ in range(_AGAIN):
        if all(value <= known.get(version, {}).get(name, value) * (1 + _TOLERANCE) for name, value in found.items()):
            break
        # On a busy machine a login waits longer, and what waits looks again. The least is what the path costs.
        again = measure()
        found = {name: min(value, again[name]) for name, value in found.items()}
    slower = False
    for name, value in found.items():
        before = known.get(version, {}).get(name)
        change = f"{value / before - 1:+.1%}" if before else "no figure yet"
        slower = slower or bool(before and value > before * (1 + _TOLERANCE))
        click.echo(f"{name:<8} {value:>12,} instructions  {change}")
    if renew:
        FIGURES.write_text(json.dumps({**known, version: found}, indent=2, sort_keys=True) + "\n")
    elif slower:
        raise click.ClickException(
            f"Slower by more than {_TOLERANCE:.0%}. If that is meant, run it with --renew and commit the figures."
        )


if __name__ == "__main__":
    main()
