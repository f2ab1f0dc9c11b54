"""Commands of the documentation, and a client that sees the service as an operator on the same machine does."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from image.machine import PROJECT, Machine

IMAGE_PAGE = (PROJECT / "docs" / "image.md").read_text(encoding="utf-8")
DEPLOYING_PAGE = (PROJECT / "docs" / "deploying.md").read_text(encoding="utf-8")
COMPOSE_PAGE = DEPLOYING_PAGE.partition("\n## Compose\n")[2].partition("\n## ")[0]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
TOUR = README.partition("## A tour in five minutes")[2].partition("\n## ")[0]
COMPOSE_FILES = sorted(file.name for file in PROJECT.glob("compose*.yaml"))
EMAIL, PASSWORD = "shop@example.org", "Correct-Horse-9"
URL = "http://127.0.0.1:3000"
# Blocks of the pages that this run has used.
walked: set[str] = set()
_BLOCK = re.compile(r"^```(sh|yaml|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, kind: str) -> list[str]:
    return [text for found, text in _BLOCK.findall(page) if found == kind]


def block(page: str, words: str, kind: str = "sh") -> str:
    """Return the only block of a page that contains `words`."""
    [found] = [text for text in blocks(page, kind) if words in text]
    walked.add(found)
    return found


def until(condition: Callable[[], Any], *, seconds: float = 60) -> Any:
    """Wait until a condition holds; return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {condition}"
        time.sleep(0.3)
    return value


def take_tour(machine: Machine) -> list[Any]:
    """Take the README's tour, with the tenant that was created before; return the answers."""
    script = "".join(f"{step}echo\n" for step in blocks(TOUR, "sh"))
    return [json.loads(line) for line in machine.run(f"set -o pipefail\n{script}").splitlines() if line]


@dataclass
class Tenant:
    """A tenant that talks to the published port."""

    machine: Machine
    token: str = ""

    def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> tuple[int, Any]:
        credential = token or self.token
        head = [f"-H 'Authorization: Bearer {credential}'"] if credential else []
        data = ["-H 'Content-Type: application/json'", f"-d '{json.dumps(body)}'"] if body is not None else []
        words = ["curl", "-s", "-m 10", "-w '\\n%{http_code}'", f"-X {method}", *head, *data, f"'{URL}{path}'"]
        said, _, code = self.machine.run(" ".join(words) + " || true").strip().rpartition("\n")
        return int(code), json.loads(said) if said.startswith(("{", "[")) else None

    def log_in(self) -> None:
        status, answer = self.call("POST", "/tenant/login", {"email": EMAIL, "password": PASSWORD})
        assert status == 200, answer
        self.token = answer["token"]

    def create_user(self, login: str) -> tuple[int, Any]:
        user = {"login": login, "email": f"{login}@example.org", "password": "wonderland", "sub": login}
        return self.call("POST", "/user", user)

    def open_session(self, login: str) -> str:
        status, answer = self.call("POST", "/auth", {"login": login, "password": "wonderland", "deviceId": "laptop"})
        assert status == 200, answer
        return str(answer["accessToken"])

    def verifies(self, token: str) -> bool:
        status, answer = self.call("POST", "/auth/verify", {"token": token})
        assert status in (200, 400), answer
        return status == 200


@dataclass
class Project:
    """One compose file, with the commands of the documentation."""

    machine: Machine
    file: str

    @property
    def name(self) -> str:
        return str(yaml.safe_load((PROJECT / self.file).read_text(encoding="utf-8"))["name"])

    @property
    def option(self) -> str:
        return "" if self.file == "compose.yaml" else f"--file {self.file} "

    def words(self, script: str) -> str:
        """Return a script of the page about compose.yaml for this project's file and engine."""
        return self.machine.translate(script.replace("docker compose ", f"docker compose {self.option}"))

    def run(self, script: str, *, timeout: float = 180) -> str:
        return self.machine.run(self.words(script), timeout=timeout)

    def up(self) -> None:
        self.run(block(COMPOSE_PAGE, "make image").partition("\n")[2])

    def containers(self, service: str) -> list[str]:
        label = "--filter label=com.docker.compose"
        said = self.machine.run(
            f"{self.machine.engine} ps --all --quiet --no-trunc {label}.project={self.name} {label}.service={service}"
        )
        return said.split()

    def everything(self) -> list[str]:
        services = yaml.safe_load((PROJECT / self.file).read_text(encoding="utf-8"))["services"]
        return [container for service in services for container in self.containers(service)]


def inspect(machine: Machine, container: str) -> dict[str, Any]:
    [found] = json.loads(machine.run(f"{machine.engine} inspect {container}"))
    return dict(found)


def wait_until_healthy(machine: Machine, container: str) -> None:
    until(lambda: inspect(machine, container)["State"]["Health"]["Status"] == "healthy")


def check_confinement(machine: Machine, container: str) -> None:
    """Check that a container's first process is unprivileged and that its root file system is read-only."""
    status = machine.run(f"{machine.engine} exec {container} cat /proc/1/status")
    assert re.search(r"^Uid:\t[1-9]", status, re.MULTILINE), status
    for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        assert f"{line}\n" in status
    script = "for place in / /etc /usr /opt; do touch $place/x 2>/dev/null && echo $place; done; touch /tmp/x"
    assert machine.run(f"{machine.engine} exec {container} sh -c '{script}'") == ""


def check_doctor(report: str) -> None:
    """Check that `doorward doctor --json` has nothing to say, but that the machine of the tests may be slow."""
    findings = [json.loads(line) for line in report.splitlines()]
    assert len(findings) > 5
    slow = {"hashing", "database", "sessions"}
    assert [
        found
        for found in findings
        if found["state"] == "fail" or (found["state"] != "ok" and found["name"] not in slow)
    ] == []
