"""Checks of noisy neighbours: one client loads shared resources, and another tenant's requests are timed.

Each attack lasts a second or two and is small: at most 3 expensive hashes, 4 MB a second of bodies, or 40 connections
at a time. Only gross differences fail, since networks and other clients affect the times as well.
"""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple
from uuid import uuid4

from doorward.selftest.client import Client, RateLimited, Unreachable
from doorward.selftest.findings import Check
from doorward.selftest.fixture import Fixture
from doorward.selftest.outcomes import NotRun, require

_VERIFIES, _LOGINS = 20, 8
_INTERVALS = {"verify": 0.03, "login": 0.1}
"""Seconds between the victim's requests. Each is timed from its scheduled start, so that a delay also counts for those
scheduled meanwhile."""
_QUANTILE = 0.8
"""The quantile of the victim's response times that is compared; a median would hide bursts."""
_MAX_FACTOR, _MAX_DELAY = 5.0, 0.05
"""The limit under attack: so count times the response time without the attack, plus so count seconds."""
_LEAD = 0.4
"""Seconds that an attack runs before the victim's requests are timed."""
_MEGABYTE = 1 << 20
_HELD_CONNECTIONS = 40
_COSTLY_USERS = 30
# No password matches it. Comparing it takes half a second or more.
_COSTLY_HASH = f"pbkdf2_sha256$2000000$selftest${'A' * 43}="
_SUCCESS = range(200, 300)

Attack = Callable[[Fixture, threading.Event], list[threading.Thread]]


class _Times(NamedTuple):
    """Response times of the victim's verifications and logins, in seconds."""

    verify: float
    login: float

    def __str__(self) -> str:
        return f"verify {self.verify * 1e3:.1f} ms, login {self.login * 1e3:.1f} ms"


def _time(fixture: Fixture) -> _Times:
    """Time the victim's requests; Failed if one of them is rejected."""
    victim = fixture.victim
    password = f"timed-{uuid4().hex}"
    login = f"timed-{uuid4().hex}"
    victim.tenant.create(login, password)
    requests: dict[str, tuple[int, str, dict[str, str]]] = {
        "verify": (_VERIFIES, "/auth/verify", {"token": victim.token}),
        "login": (_LOGINS, "/auth", {"login": login, "password": password, "deviceId": "laptop"}),
    }
    measured: dict[str, float] = {}
    try:
        for name, (count, path, body) in requests.items():
            seconds = []
            began = time.perf_counter()
            for number in range(count):
                scheduled = began + number * _INTERVALS[name]
                time.sleep(max(0.0, scheduled - time.perf_counter()))
                response = victim.tenant.request("POST", path, body, patient=False)
                seconds.append(time.perf_counter() - scheduled)
                require(response.status in _SUCCESS, f"POST {path} of another tenant returned {response}")
            measured[name] = sorted(seconds)[int(_QUANTILE * count)]
    finally:
        victim.tenant.request("DELETE", f"/user/{login}")
        victim.known = victim.state()
    return _Times(**measured)


@contextlib.contextmanager
def _under(attack: Attack, fixture: Fixture) -> Iterator[None]:
    """Run an attack during the block, and join its threads afterwards."""
    over = threading.Event()
    threads = attack(fixture, over)
    for thread in threads:
        thread.start()
    try:
        time.sleep(_LEAD)
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(fixture.client.timeout)


def _repeat(over: threading.Event, pause: float, act: Callable[[], object]) -> threading.Thread:
    """Return a thread that repeats an action until the attack is over, with `pause` seconds in between."""

    def run() -> None:
        while not over.is_set():
            # Other checks test the responses to the attacker's own requests.
            with contextlib.suppress(Unreachable, RateLimited, OSError, http.client.HTTPException):
                act()
            over.wait(pause)

    return threading.Thread(target=run, daemon=True)


def _own_client(fixture: Fixture) -> Client:
    """Return a client for one thread of an attack; its responses are not recorded with the others."""
    return Client(fixture.client.address, timeout=fixture.client.timeout, rate=fixture.client.rate, max_wait=0)


def _log_in_with_costly_hashes(fixture: Fixture, over: threading.Event) -> list[threading.Thread]:
    tenant = fixture.attacker.tenant
    logins = [f"costly-{number}-{uuid4().hex}" for number in range(_COSTLY_USERS)]
    tenant.created.update(logins)
    users = [
        {"login": login, "email": "user@selftest.invalid", "sub": login, "passwordHash": _COSTLY_HASH}
        for login in logins
    ]
    if tenant.require("POST", "/users/import", {"users": users})["created"] != _COSTLY_USERS:
        raise NotRun("Users with expensive hashes were not imported.")
    left = iter(logins * 4)

    def log_in(client: Client) -> None:
        body = {"login": next(left, logins[0]), "password": "wrong", "deviceId": "laptop"}
        client.request("POST", "/auth", body, tenant.bearer, patient=False)

    return [_repeat(over, 0.01, partial(log_in, _own_client(fixture))) for _ in range(3)]


def _send_rejected_bodies(fixture: Fixture, over: threading.Event) -> list[threading.Thread]:
    key = {"Authorization": f"Bearer {fixture.attacker.limited_key['verify']}", "Content-Type": "application/json"}
    body = b'{"tokens":[' + b",".join([b"{}"] * ((_MEGABYTE - 64) // 3)) + b"]}"
    client = _own_client(fixture)
    return [
        _repeat(over, 0.25, lambda: client.request("POST", "/auth/verify/batch", body, key, fresh=True, patient=False))
    ]


def _hold_unfinished_bodies(fixture: Fixture, over: threading.Event) -> list[threading.Thread]:
    client = _own_client(fixture)
    half = b'{"tokens":[' + b" " * (_MEGABYTE // 2)

    def hold() -> None:
        connection = client.connect()
        try:
            connection.putrequest("POST", f"{client.address.prefix}/auth/verify/batch")
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(_MEGABYTE))
            connection.endheaders()
            connection.send(half)
            over.wait(client.timeout)
        finally:
            connection.close()

    return [_repeat(over, 0.25, hold) for _ in range(_HELD_CONNECTIONS)]


def _hold_silent_handshakes(fixture: Fixture, over: threading.Event) -> list[threading.Thread]:
    address = fixture.client.address
    if address.tls is None:
        raise NotRun("The service is reached without TLS.")

    def hold() -> None:
        with socket.create_connection((address.host, address.port), fixture.client.timeout):
            over.wait(fixture.client.timeout)

    return [_repeat(over, 0.25, hold) for _ in range(_HELD_CONNECTIONS)]


def _log_in_as_unknown_tenants(fixture: Fixture, over: threading.Event) -> list[threading.Thread]:
    client = _own_client(fixture)

    def log_in() -> None:
        body = {"email": f"{uuid4().hex}@selftest.invalid", "password": f"Wrong-{uuid4().hex}"}
        client.request("POST", "/tenant/login", body, charged=True, patient=False)

    return [_repeat(over, 0.0 if client.rate else 0.05, log_in)]


_ATTACKS: dict[str, Attack] = {
    "logs in users whose imported hashes are expensive": _log_in_with_costly_hashes,
    "sends large bodies that are rejected": _send_rejected_bodies,
    "holds large bodies half sent, without a credential": _hold_unfinished_bodies,
    "holds TLS connections without a handshake": _hold_silent_handshakes,
    "logs in as tenants that do not exist": _log_in_as_unknown_tenants,
}


def checks() -> Iterator[Check]:
    """Yield a check for each attack."""
    for action, attack in _ATTACKS.items():
        yield Check(f"Other tenants are served while a client {action}", ("TI8",), partial(_compare, attack), load=True)


def _compare(attack: Attack, fixture: Fixture) -> str:
    """Time the victim alone and under attack, and return both as a sentence; Failed if the difference is gross."""
    alone = _time(fixture)
    attacking: AbstractContextManager[None] = _under(attack, fixture)
    try:
        with attacking:
            loaded = _time(fixture)
    finally:
        fixture.attacker.clean_up()
    figures = f"Alone: {alone}; under attack: {loaded}."
    for name in _Times._fields:
        before, now = getattr(alone, name), getattr(loaded, name)
        require(now <= _MAX_FACTOR * before + _MAX_DELAY, f"Another tenant waits too long. {figures}")
    return figures
