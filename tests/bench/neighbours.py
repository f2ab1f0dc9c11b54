"""Latency of one tenant's requests beside another tenant, or a stranger, that misbehaves (noisy neighbours)."""

import base64
import contextlib
import hashlib
import json
import statistics
import subprocess
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from time import sleep

import msgspec

from bench import machine
from bench.attackers import ATTACKS, Aim
from bench.load import Stream, constant
from bench.results import Bench, Figure, Line, Ratio
from bench.servers import SQLITE, Server, User, call, doorward, fill, logging_in, verifying
from certificates import Authority
from harness import PASSWORD
from servers import free_port

_VERIFIES = 200
_LOGINS = 15
_SETTLE = 1.0
_DEAR_USERS = 900
_ITERATIONS = 2_000_000
_BATCH = 300
_AIM = 2.0
_ALONE = "alone"
_SHARES = (0.5, 0.99)
_PENALTY = 10.0
"""Seconds that a refused request counts as: the client has to come again, and may be refused again."""


def _arm(server: Server, tls_port: int) -> Aim:
    """Register the tenant that attacks, with users whose imported hashes are dear and a key that may only verify."""
    token = call(server, "/tenant", {"email": "attacker@example.org", "password": PASSWORD})["token"]
    key = call(server, "/tenant/key", {"name": "attacker", "permissions": ["verify"]}, token)["key"]
    digest = base64.b64encode(hashlib.pbkdf2_hmac("sha256", b"pw", b"salt", _ITERATIONS)).decode()
    dear = f"pbkdf2_sha256${_ITERATIONS}$salt${digest}"
    logins = [f"dear-{number}" for number in range(_DEAR_USERS)]
    for first in range(0, _DEAR_USERS, _BATCH):
        users = [
            {"login": login, "email": "d@example.org", "sub": login, "passwordHash": dear}
            for login in logins[first : first + _BATCH]
        ]
        assert call(server, "/users/import", {"users": users}, token)["created"] == _BATCH
    return Aim(server.port, tls_port, token, key, logins)


@contextlib.contextmanager
def _beside(name: str, aim: Aim) -> Iterator[Counter[str]]:
    """Run an attack; afterwards the counter has the statuses that it was answered with."""
    statuses: Counter[str] = Counter()
    command = [machine.PYTHON, str(Path(__file__).with_name("attackers.py")), name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(msgspec.json.encode(aim) + b"\n")
            process.stdin.flush()
            if process.stdout.readline() != b"there\n":
                raise RuntimeError(f"the attack did not begin: {name}")
            yield statuses
            process.stdin.close()
            statuses.update(json.loads(process.stdout.readline()))
        finally:
            process.kill()


def _measure(server: Server, users: list[User], seconds: float) -> dict[str, Stream]:
    """Measure the victims' verifications, then their logins, at constant rates."""
    streams = {
        "verify": Stream(verifying(server, users), _VERIFIES, 8, _PENALTY),
        "login": Stream(logging_in(server, users), _LOGINS, 8, _PENALTY),
    }
    for stream in streams.values():
        constant(stream, seconds)
    return streams


class _Results:
    """Latencies and refusals of the victims by attack, over all rounds; the attack `ALONE` is none."""

    def __init__(self) -> None:
        self._latencies: dict[tuple[str, str, float], list[float]] = {}
        self._requests: Counter[tuple[str, str]] = Counter()
        self._refused: Counter[tuple[str, str]] = Counter()

    def add(self, attack: str, streams: dict[str, Stream]) -> None:
        """Add one round of one attack."""
        for asked, stream in streams.items():
            self._requests[attack, asked] += len(stream.latencies)
            self._refused[attack, asked] += sum(
                many for status, many in stream.statuses.items() if status != HTTPStatus.OK
            )
            for share in _SHARES:
                found = stream.percentile(share) if stream.latencies else _PENALTY
                self._latencies.setdefault((attack, asked, share), []).append(found * 1e3)

    def lines(self) -> list[Line]:
        """Return every percentile, with the refusals."""
        return [
            Line.of(
                f"{asked} p{share * 100:.0f}, {attack}",
                values,
                f"refused: {self._refused[attack, asked]} of {self._requests[attack, asked]}",
            )
            for (attack, asked, share), values in self._latencies.items()
        ]

    def ratios(self) -> list[Ratio]:
        """Return the median of each attack's ratios to the victims alone in the same round."""
        return [
            Ratio(
                f"{asked} p{share * 100:.0f} beside {attack} / {_ALONE}",
                statistics.median(
                    beside / alone for beside, alone in zip(values, self._latencies[_ALONE, asked, share], strict=True)
                ),
                _AIM,
            )
            for (attack, asked, share), values in self._latencies.items()
            if attack != _ALONE
        ]


def neighbours(bench: Bench) -> Figure:
    """Latency of tenants' verifications and logins, alone and beside each attacker."""
    results = _Results()
    answers: dict[str, Counter[str]] = {name: Counter() for name in ATTACKS}
    folder = bench.folder / "neighbours"
    folder.mkdir(parents=True)
    certificate = Authority(folder).issue("localhost")
    tls_port = free_port()
    environment = {
        "HTTPS_SERVER": "on",
        "HTTPS_PORT": str(tls_port),
        "HTTPS_CERT": certificate.certificate,
        "HTTPS_KEY": certificate.key,
        # The attacker with made-up names has addresses of its own; the victims' requests prove their tenants.
        "THROTTLER_MAX": "5",
        "THROTTLER_WHITE_LIST": "127.0.0.1",
    }
    with doorward(SQLITE, folder, environment) as server:
        users = fill(server, bench.effort.tenants)
        aim = _arm(server, tls_port)
        _measure(server, users, 0.5)
        for _ in range(bench.effort.rounds):
            sleep(_SETTLE)
            results.add(_ALONE, _measure(server, users, bench.effort.seconds))
            for name in ATTACKS:
                with _beside(name, aim) as statuses:
                    results.add(name, _measure(server, users, bench.effort.seconds))
                answers[name].update(statuses)
                sleep(_SETTLE)
    return Figure(
        "neighbours",
        "Latency of a tenant with a noisy neighbour",
        "ms from when a request was due",
        f"{_VERIFIES} verifications and then {_LOGINS} logins a second of {bench.effort.tenants} tenants, at constant "
        "rates, alone and during an attack from a separate process with a lower priority, on SQLite with every "
        f"budget at its default. S1: a tenant logs in users whose imported hashes have {_ITERATIONS:,} iterations of "
        "PBKDF2, over 3 connections. S2: a key with the permission `verify` sends 4 bodies of 1 MB a second, which are rejected. "
        "S3: 620 half-sent bodies of 1 MB without a credential. S4: 1,000 silent connections to the TLS port. S5: 250 "
        f"logins a second of tenants that do not exist, from 50 addresses. A rejected request counts as {_PENALTY:.0f} s. "
        "Responses to the attackers: "
        f"{'; '.join(f'{name} {_words(counts)}' for name, counts in answers.items())}.",
        results.lines(),
        results.ratios(),
    )


def _words(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {many}" for name, many in sorted(counts.items()) if many) or "none"
