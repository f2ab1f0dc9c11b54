"""Responses and response times do not reveal which accounts exist."""

import base64
import hashlib
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import argon2
import bcrypt
import httpx
import pytest

from api_contract import assert_refused, email, essence, fresh
from doorward.core.passwords.hashing import Argon2Parameters, Hasher
from harness import KEY, PASSWORD, Tenant, TurnableClock, read_settings, running, serving

ATTEMPTS = 300 if os.environ.get("DOORWARD_TORTURE") else 20


def test_EN1_wrong_passwords_look_alike_whatever_kind_of_hash_is_stored(tenant: Tenant) -> None:
    tenant.create("usual", "pw")
    tenant.create("ready", passwordHash=bcrypt.hashpw(b"pw", bcrypt.gensalt(4)).decode())
    tenant.create("broken", passwordHash="$2b$04$" + "." * 53)
    answers = [tenant.login(login, "wrong") for login in ("usual", "ready", "broken")]
    assert_refused(answers[0], 403, "incorrect_password", "Incorrect password")
    assert len({repr(essence(answer)) for answer in answers}) == 1


def test_EN1_unknown_users_look_alike(tenant: Tenant) -> None:
    tenant.create("deleted", "pw")
    tenant.delete("deleted")
    answers = [tenant.login(login, "pw") for login in ("nobody", "deleted", "日本", "x" * 256)]
    assert_refused(answers[0], 404, "user_not_found", "User does not exist")
    assert len({repr(essence(answer)) for answer in answers}) == 1


def test_EN1_with_uniform_errors_the_unknown_and_the_wrong_are_the_same_to_the_byte(
    store: dict[str, str], tmp_path: Path
) -> None:
    with running(read_settings(tmp_path, {**store, "LOGIN_ERRORS": "uniform"})) as service:
        tenant = fresh(service)
        tenant.create("usual", "pw")
        tenant.create("deleted", "pw")
        tenant.create("ready", passwordHash=bcrypt.hashpw(b"pw", bcrypt.gensalt(4)).decode())
        tenant.delete("deleted")
        answers = [tenant.login(login, "wrong") for login in ("usual", "ready", "deleted", "nobody", "日本")]
        assert_refused(answers[0], 401, "login_refused", "Incorrect login or password")
        assert len({repr(essence(answer)) for answer in answers}) == 1


def test_EN1_a_tenants_login_is_always_the_same_refusal_to_the_byte(tenant: Tenant) -> None:
    answers = [
        tenant.http.post("/tenant/login", json={"email": address, "password": password})
        for address, password in (
            (tenant.email, "wrong"),
            (tenant.email.upper(), "Wrong-Horse-9"),
            (email(), PASSWORD),
            (email(), "x"),
            ("a@localhost", "$2b$04$" + "a" * 53),
        )
    ]
    assert_refused(answers[0], 401, "incorrect_credentials", "Incorrect email or password")
    assert len({repr(essence(answer)) for answer in answers}) == 1


def curve(clock: TurnableClock, attempt: Callable[[], httpx.Response]) -> list[tuple[int, str | None]]:
    """Fail eight times, waiting each time as long as is said and asking once too early."""
    seen: list[tuple[int, str | None]] = []
    while sum(status != 429 for status, _ in seen) < 8:
        answer = attempt()
        wait = answer.headers.get("retry-after")
        seen.append((answer.status_code, wait))
        if wait:
            clock.turn(seconds=int(wait), milliseconds=-1)
            assert attempt().status_code == 429
            clock.turn(milliseconds=1)
    return seen


def test_EN3_unknown_logins_meet_the_same_back_off_as_known_ones(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock
) -> None:
    with running(read_settings(tmp_path, {**store, "LOGIN_ERRORS": "uniform"}), clock) as service:
        tenant = fresh(service)
        tenant.create("alice", "pw")
        known = curve(clock, lambda: tenant.login("alice", "wrong"))
        assert [status for status, _ in known].count(429) > 2
        assert known == curve(clock, lambda: tenant.login("nobody", "wrong"))
        known_tenant = curve(
            clock, lambda: tenant.http.post("/tenant/login", json={"email": tenant.email, "password": "wrong"})
        )
        address = email()
        assert known_tenant == known
        assert known_tenant == curve(
            clock, lambda: tenant.http.post("/tenant/login", json={"email": address, "password": "wrong"})
        )


def test_EN3_who_is_locked_and_who_does_not_exist_are_told_the_same_to_the_byte(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock
) -> None:
    with running(read_settings(tmp_path, store), clock) as service:
        tenant = fresh(service)
        tenant.create("alice", "pw")
        for login in ("alice", "nobody"):
            for _ in range(5):
                tenant.login(login, "wrong")
        locked, unknown = tenant.login("alice", "pw"), tenant.login("nobody", "pw")
        assert_refused(locked, 429, "too_many_attempts", "Too many failed attempts, wait before the next one")
        assert essence(locked) == essence(unknown)


def mann_whitney(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the two-sided p-value of the rank-sum test, by its normal approximation."""
    u = sum((a > b) + 0.5 * (a == b) for a in one for b in other)
    n, m = len(one), len(other)
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


def distinguishable(one: Sequence[float], other: Sequence[float]) -> bool:
    a, b = statistics.median(one), statistics.median(other)
    return mann_whitney(one, other) < 0.01 and abs(a - b) / min(a, b) >= 0.05


def test_EN2_the_statistics_see_a_difference_where_there_is_one() -> None:
    base = [200 + (number * 7919 % 13) for number in range(ATTEMPTS)]
    assert not distinguishable(base, base[::-1])
    assert distinguishable(base, [value * 1.1 for value in base])
    assert not distinguishable(base, [value * 1.02 for value in base])


def stopwatch(attempt: Callable[[], httpx.Response], expected: int) -> float:
    began = time.perf_counter()
    answer = attempt()
    took = time.perf_counter() - began
    assert answer.status_code == expected, answer.text
    return took


def failure_time(costly: str) -> int:
    """Return a LOGIN_FAILURE_TIME in milliseconds as it has to be: longer than any hash takes, on this machine, now."""
    slowest = 0.0
    for _ in range(5):
        began = time.perf_counter()
        bcrypt.checkpw(b"wrong", costly.encode())
        slowest = max(slowest, time.perf_counter() - began)
    return min(2_000, max(200, int(slowest * 4 * 1000)))


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_EN2_how_long_a_refused_login_takes_does_not_depend_on_its_reason(
    store: dict[str, str], tmp_path: Path
) -> None:
    legacy = bcrypt.hashpw(b"pw", bcrypt.gensalt(10)).decode()
    environment = {**store, "JWT_KEY": KEY, "LOGIN_FAILURE_TIME": str(failure_time(legacy))}
    with serving(tmp_path, environment) as process, httpx.Client(base_url=process.url, timeout=30) as http:
        tenant = Tenant.register(http, email())
        for number in range(ATTEMPTS):
            # Each login fails once: the back-off never has a say.
            assert tenant.create(f"usual-{number}", f"pw-{number}").status_code == 200
            assert tenant.create(f"legacy-{number}", passwordHash=legacy).status_code == 200
        arms: dict[str, list[float]] = {name: [] for name in ("unknown", "usual", "legacy", "tenant")}
        for number in range(ATTEMPTS):
            for name, took in arms.items():
                if name == "tenant":
                    body = {"email": email(), "password": PASSWORD}
                    took.append(stopwatch(partial(http.post, "/tenant/login", json=body), 401))
                else:
                    login = f"{name}-{number}"
                    expected = 404 if name == "unknown" else 403
                    took.append(stopwatch(partial(tenant.login, login, "wrong"), expected))
        wrong = {"email": tenant.email, "password": "wrong"}
        known_tenant = [stopwatch(lambda: http.post("/tenant/login", json=wrong), 401) for _ in range(4)]
    medians = {name: round(statistics.median(took) * 1000, 1) for name, took in arms.items()}
    for name in ("usual", "legacy"):
        assert not distinguishable(arms["unknown"], arms[name]), medians
    difference = abs(statistics.median(known_tenant) - statistics.median(arms["tenant"]))
    assert difference < 0.05 * statistics.median(arms["tenant"]), medians


def django(password: str, iterations: int) -> str:
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), b"saltsaltsalt", iterations)
    return f"pbkdf2_sha256${iterations}$saltsaltsalt${base64.b64encode(digest).decode()}"


FOREIGN: dict[str, Callable[[], str]] = {
    "bcrypt 12": lambda: bcrypt.hashpw(b"pw", bcrypt.gensalt(12)).decode(),
    "bcrypt 13": lambda: bcrypt.hashpw(b"pw", bcrypt.gensalt(13)).decode(),
    "argon2-cffi": lambda: argon2.PasswordHasher(3, 65_536, 4).hash("pw"),
    "Django": lambda: django("pw", 1_000_000),
}
COSTLY_ATTEMPTS = 100 if os.environ.get("DOORWARD_TORTURE") else 6


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_EN2_S7_a_refusal_takes_as_long_as_the_costliest_hash_of_the_tenant_whoever_is_refused(tmp_path: Path) -> None:
    environment = {"JWT_KEY": KEY, "LOGIN_ERRORS": "uniform", "LOGIN_FAILURE_TIME": "200"}
    with serving(tmp_path, environment) as process, httpx.Client(base_url=process.url, timeout=30) as http:
        tenant, bystander = Tenant.register(http, email()), Tenant.register(http, email())
        kinds = {**{name: make() for name, make in FOREIGN.items()}, "usual": Hasher(Argon2Parameters()).hash("pw")}
        users = [
            {"login": f"{name}-{n}", "email": "a@b", "sub": "s", "passwordHash": stored}
            for name, stored in kinds.items()
            for n in range(COSTLY_ATTEMPTS)
        ]
        assert tenant.post("/users/import", {"users": users}).json()["created"] == len(users)
        # The first guess of all is at a name that there is not: nothing was compared with a costly hash yet.
        first = stopwatch(partial(tenant.login, "nobody", "wrong"), 401)
        arms: dict[str, list[float]] = {name: [] for name in ("unknown", *kinds)}
        for number in range(COSTLY_ATTEMPTS):
            for name, took in arms.items():
                took.append(stopwatch(partial(tenant.login, f"{name}-{number}", "wrong"), 401))
        quick = stopwatch(partial(bystander.login, "nobody", "wrong"), 401)
    medians = {name: round(statistics.median(took) * 1000, 1) for name, took in arms.items()}
    assert not [name for name in kinds if distinguishable(arms["unknown"], arms[name])], medians
    assert first > 0.3, "nothing is known of stored hashes before one is compared with"
    assert quick < 0.8 * statistics.median(arms["unknown"]), "another tenant's users are refused as late"
