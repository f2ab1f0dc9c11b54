"""Noisy neighbours: one tenant or a stranger wastes what all share, and another tenant's requests are timed.

Each attack lasts a second or two and is small: at most 3 expensive hashes, 4 MB a second of bodies, or 40 connections
at a time. Only gross differences count, since networks and other clients disturb the times as well.
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
_EVERY = {"verify": 0.03, "login": 0.1}
"""Seconds from one of the victim's requests to the next. Each is timed from when it was due: what a burst keeps waiting
counts for all that should have been sent meanwhile."""
_SHARE = 0.8
"""The share of the victim's requests that is answered within the time that counts; a median hides bursts."""
_TIMES, _MORE = 5.0, 0.05
"""That time may be so many times the one without the attack, and so many seconds more."""
_LEAD = 0.4
"""Seconds that an attack runs before the victim's requests are timed."""
_MEGABYTE = 1 << 20
_HELD = 40
_DEAR_USERS = 30
# No password matches it: what counts is that comparing takes half a second or more.
_DEAR_HASH = f"pbkdf2_sha256$2000000$selftest${'A' * 43}="
_SUCCESS = range(200, 300)

Attack = Callable[[Fixture, threading.Event], list[threading.Thread]]


class _Times(NamedTuple):
    """Seconds within which most of the victim's verifications and logins are answered."""

    verify: float
    login: float

    def __str__(self) -> str:
        return f"verify {self.verify * 1e3:.1f} ms, login {self.login * 1e3:.1f} ms"


def _time(fixture: Fixture) -> _Times:
    """Time the victim's requests; Failed where one of them is refused."""
    victim = fixture.victim
    password = f"timed-{uuid4().hex}"
    login = f"timed-{uuid4().hex}"
    victim.tenant.create(login, password)
    requests: dict[str, tuple[int, str, dict[str, str]]] = {
        "verify": (_VERIFIES, "/auth/verify", {"token": victim.token}),
        "login": (_LOGINS, "/auth", {"login": login, "password": password, "deviceId": "laptop"}),
    }
    found: dict[str, float] = {}
    try:
        for name, (many, path, body) in requests.items():
            seconds = []
            began = time.perf_counter()
            for number in range(many):
                due = began + number * _EVERY[name]
                time.sleep(max(0.0, due - time.perf_counter()))
                response = victim.tenant.request("POST", path, body, patient=False)
                seconds.append(time.perf_counter() - due)
                require(response.status in _SUCCESS, f"POST {path} of another tenant was answered {response}")
            found[name] = sorted(seconds)[int(_SHARE * many)]
    finally:
        victim.tenant.request("DELETE", f"/user/{login}")
        victim.known = victim.state()
    return _Times(**found)


@contextlib.contextmanager
def _under(attack: Attack, fixture: Fixture) -> Iterator[None]:
    """Run an attack; its threads have ended afterwards."""
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


def _again_and_again(over: threading.Event, pause: float, act: Callable[[], object]) -> threading.Thread:
    """Return a thread that does something until the attack is over, with `pause` seconds in between."""

    def run() -> None:
        while not over.is_set():
            # What becomes of the attacker's own requests is looked at by other checks.
            with contextlib.suppress(Unreachable, RateLimited, OSError, http.client.HTTPException):
                act()
            over.wait(pause)

    return threading.Thread(target=run, daemon=True)


def _own_client(fixture: Fixture) -> Client:
    """Return a client for one thread of an attack; its answers are noted nowhere."""
    return Client(fixture.client.address, timeout=fixture.client.timeout, rate=fixture.client.rate, max_wait=0)


def _log_in_with_dear_hashes(fixture: Fixture, over: threading.Event) -> list[threading.Thread]:
    tenant = fixture.attacker.tenant
    logins = [f"dear-{number}-{uuid4().hex}" for number in range(_DEAR_USERS)]
    tenant.made.update(logins)
    users = [
        {"login": login, "email": "user@selftest.invalid", "sub": login, "passwordHash": _DEAR_HASH} for login in logins
    ]
    if tenant.require("POST", "/users/import", {"users": users})["created"] != _DEAR_USERS:
        raise NotRun("Users with expensive hashes were not imported.")
    left = iter(logins * 4)

    def log_in(client: Client) -> None:
        body = {"login": next(left, logins[0]), "password": "wrong", "deviceId": "laptop"}
        client.request("POST", "/auth", body, tenant.bearer, patient=False)

    return [_again_and_again(over, 0.01, partial(log_in, _own_client(fixture))) for _ in range(3)]


def _send_refused_bodies(fixture: Fixture, over: threading.Event) -> list[threading.Thread]:
    key = {"Authorization": f"Bearer {fixture.attacker.limited_key['verify']}", "Content-Type": "application/json"}
    body = b'{"tokens":[' + b",".join([b"{}"] * ((_MEGABYTE - 64) // 3)) + b"]}"
    client = _own_client(fixture)
    return [
        _again_and_again(
            over, 0.25, lambda: client.request("POST", "/auth/verify/batch", body, key, fresh=True, patient=False)
        )
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

    return [_again_and_again(over, 0.25, hold) for _ in range(_HELD)]


def _hold_silent_handshakes(fixture: Fixture, over: threading.Event) -> list[threading.Thread]:
    place = fixture.client.address
    if place.tls is None:
        raise NotRun("There is no TLS here.")

    def hold() -> None:
        with socket.create_connection((place.host, place.port), fixture.client.timeout):
            over.wait(fixture.client.timeout)

    return [_again_and_again(over, 0.25, hold) for _ in range(_HELD)]


def _log_in_as_made_up_tenants(fixture: Fixture, over: threading.Event) -> list[threading.Thread]:
    client = _own_client(fixture)

    def log_in() -> None:
        body = {"email": f"{uuid4().hex}@selftest.invalid", "password": f"Wrong-{uuid4().hex}"}
        client.request("POST", "/tenant/login", body, charged=True, patient=False)

    return [_again_and_again(over, 0.0 if client.rate else 0.05, log_in)]


_ATTACKS: dict[str, Attack] = {
    "logs in users whose imported hashes are expensive": _log_in_with_dear_hashes,
    "sends large bodies that are refused": _send_refused_bodies,
    "holds large bodies half sent, without a credential": _hold_unfinished_bodies,
    "holds TLS connections without a handshake": _hold_silent_handshakes,
    "logs in as tenants that do not exist": _log_in_as_made_up_tenants,
}


def checks() -> Iterator[Check]:
    """Yield a check for each attack."""
    for words, attack in _ATTACKS.items():
        yield Check(f"Requests go on beside a neighbour that {words}", ("TI8",), partial(_compare, attack), load=True)


def _compare(attack: Attack, fixture: Fixture) -> str:
    """Time the victim alone and under attack; return both as a sentence. Failed where the difference is gross."""
    alone = _time(fixture)
    under: AbstractContextManager[None] = _under(attack, fixture)
    try:
        with under:
            beside = _time(fixture)
    finally:
        fixture.attacker.clean_up()
    figures = f"Alone {alone}; beside the attack {beside}."
    for name in _Times._fields:
        before, now = getattr(alone, name), getattr(beside, name)
        require(now <= _TIMES * before + _MORE, f"Another tenant waits too long. {figures}")
    return figures
