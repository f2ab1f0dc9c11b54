"""Concurrent requests in one process."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import bcrypt
import httpx
import pytest

from api_contract import assert_refused, email, fresh, logins, together, wide
from harness import Service, Tenant, TurnableClock, read_settings, running

TORTURE = bool(os.environ.get("DOORWARD_TORTURE"))
THREADS = 20
ALICE = ["alice", "Alice", "ALICE", "aLiCe", wide("alice"), wide("Alice")]


@pytest.fixture
def replacing(store: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    with running(read_settings(tmp_path, {**store, "EXISTING_LOGIN": "replace"})) as service:
        yield service


def test_DU10_of_parallel_creations_of_a_login_one_wins_and_its_password_counts(tenant: Tenant) -> None:
    def creation(number: int) -> Callable[[], httpx.Response]:
        return lambda: tenant.create(ALICE[number % len(ALICE)], f"pw-{number}", sub=f"sub-{number}")

    answers = together([creation(number) for number in range(100)], threads=THREADS)
    won = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert len(won) == 1
    for number, answer in enumerate(answers):
        if number not in won:
            assert_refused(answer, 409, "login_exists", "This login already exists")
    [user] = tenant.get("/user").json()["users"]
    assert user == answers[won[0]].json()
    assert user["sub"] == f"sub-{won[0]}"
    for login in ALICE:
        assert tenant.verify(tenant.session(login, f"pw-{won[0]}")).status_code == 200
    loser = (won[0] + 1) % 100
    assert tenant.login("alice", f"pw-{loser}").status_code == 403


def test_DU10_of_parallel_registrations_of_an_address_one_wins_and_its_password_counts(shared: Service) -> None:
    http = shared.client()
    address = email()
    spellings = [address, address.upper(), address.title(), wide(address)]

    def registration(number: int) -> Callable[[], httpx.Response]:
        body = {"email": spellings[number % len(spellings)], "password": f"Correct-Horse-{number}"}
        return lambda: http.post("/tenant", json=body)

    answers = together([registration(number) for number in range(40)], threads=THREADS)
    won = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert len(won) == 1
    for number, answer in enumerate(answers):
        if number not in won:
            assert_refused(answer, 400, "tenant_exists", "This tenant's email already exists")

    def log_in(number: int) -> int:
        body = {"email": address, "password": f"Correct-Horse-{number}"}
        return http.post("/tenant/login", json=body).status_code

    assert log_in(won[0]) == 200
    assert log_in((won[0] + 1) % 40) == 401


def test_DU10_parallel_replacements_leave_one_user_with_one_of_the_passwords(replacing: Service) -> None:
    tenant = fresh(replacing)
    tenant.create("alice", "old")
    before = tenant.session("alice", "old")

    def creation(number: int) -> Callable[[], httpx.Response]:
        return lambda: tenant.create(ALICE[number % len(ALICE)], f"pw-{number}", sub=f"sub-{number}")

    answers = together([creation(number) for number in range(40)], threads=THREADS)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    [user] = tenant.get("/user").json()["users"]
    last = user["sub"].removeprefix("sub-")
    assert tenant.login("alice", f"pw-{last}").status_code == 200
    assert tenant.login("alice", f"pw-{(int(last) + 1) % 40}").status_code == 403
    assert tenant.verify(before).status_code == 400


def test_DU10_of_parallel_deletions_one_is_told_that_it_did_it(tenant: Tenant) -> None:
    for _ in range(10):
        tenant.create("alice")
        answers = together([lambda: tenant.delete("alice")] * 8)
        assert sorted(answer.status_code for answer in answers) == [200, *[404] * 7]
    assert logins(tenant) == []


@pytest.mark.timeout(600)
def test_DU11_verifying_while_a_user_is_deleted_never_brings_it_back(store: dict[str, str], tmp_path: Path) -> None:
    settings = read_settings(tmp_path, store)
    deleted: list[str] = []
    with running(settings) as service:
        tenant = fresh(service)
        for _ in range(1000 if TORTURE else 60):
            tenant.create()
            token = tenant.session()
            asked = [partial(tenant.verify, token)] * 3
            answers = together([*asked, partial(tenant.delete, "alice"), *asked])
            assert answers[3].status_code == 200
            assert {answer.status_code for answer in answers} <= {200, 400}
            assert tenant.verify(token).status_code == 400
            assert logins(tenant) == []
            deleted.append(token)
    # Stopping has written down all activity that was remembered.
    with running(settings) as service:
        tenant.http = service.client()
        assert logins(tenant) == []
        assert {tenant.verify(token).status_code for token in deleted} == {400}
        assert_refused(tenant.login(), 404, "user_not_found", "User does not exist")


def slow_hash(password: str) -> str:
    """Return a ready hash that takes a while to check, so that a login can be overtaken."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(10)).decode()


def overtaken(tenant: Tenant, change: Callable[[], httpx.Response], delay: float) -> httpx.Response:
    """Return the answer to a login during which `change` was made and acknowledged, most probably."""

    def change_later() -> httpx.Response:
        time.sleep(delay)
        return change()

    login, changed = together([lambda: tenant.login("alice", "old"), change_later])
    assert changed.status_code == 200
    return login


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03])
def test_TK15_a_login_in_flight_does_not_outlive_the_deletion_of_its_user(tenant: Tenant, delay: float) -> None:
    ready = slow_hash("old")
    for _ in range(3):
        tenant.create("alice", passwordHash=ready)
        answer = overtaken(tenant, lambda: tenant.delete("alice"), delay)
        if answer.status_code == 200:
            assert tenant.verify(answer.json()["accessToken"]).status_code == 400
        else:
            assert_refused(answer, 404, "user_not_found", "User does not exist")
        assert logins(tenant) == []


def test_N6_a_user_that_is_deleted_while_it_is_put_is_created_again(tenant: Tenant) -> None:
    ready = slow_hash("old")
    body = {"email": "new@example.org", "password": "old", "sub": "sub-2"}

    def put() -> httpx.Response:
        return tenant.http.put("/user/alice", json=body, headers=tenant.headers)

    def delete_later() -> httpx.Response:
        time.sleep(0.03)
        return tenant.delete("alice")

    for _ in range(3):
        former = tenant.create("alice", passwordHash=ready).json()["id"]
        answer, deleted = together([put, delete_later])
        assert (answer.status_code in {200, 201}, deleted.status_code) == (True, 200), answer.text
        if answer.status_code == 201:
            assert tenant.get("/user/alice").json() == answer.json()
            assert answer.json()["id"] != former
            assert tenant.delete("alice").status_code == 200
        assert logins(tenant) == []


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03])
def test_TK15_a_login_in_flight_does_not_outlive_the_password_it_was_made_with(
    replacing: Service, delay: float
) -> None:
    tenant = fresh(replacing)
    ready, quick = slow_hash("old"), bcrypt.hashpw(b"new", bcrypt.gensalt(4)).decode()
    for _ in range(3):
        tenant.create("alice", passwordHash=ready)
        answer = overtaken(tenant, lambda: tenant.create("alice", passwordHash=quick), delay)
        if answer.status_code == 200:
            assert tenant.verify(answer.json()["accessToken"]).status_code == 400
        else:
            assert_refused(answer, 403, "incorrect_password", "Incorrect password")
        # Had the login renewed the hash of the old password after the change, that would count again.
        assert tenant.login("alice", "old").status_code == 403
        assert tenant.login("alice", "new").status_code == 200


@pytest.mark.timeout(600)
def test_TK15_many_quick_logins_while_passwords_change_leave_no_session_of_an_old_one(replacing: Service) -> None:
    tenant = fresh(replacing)
    for number in range(200 if TORTURE else 25):
        tenant.create("alice", f"old-{number}")
        # Four failures in a row are free: more would keep the new password waiting.
        asked, changed = [f"old-{number}"] * 4, f"new-{number}"
        jobs: list[Callable[[], httpx.Response]] = [partial(tenant.login, "alice", password) for password in asked]
        jobs.insert(2, partial(tenant.create, "alice", changed))
        answers = together(jobs)
        assert answers[2].status_code == 200
        tokens = [answer.json()["accessToken"] for answer in answers if "accessToken" in answer.text]
        assert {tenant.verify(token).status_code for token in tokens} <= {400}
        assert tenant.login("alice", changed).status_code == 200


@pytest.mark.parametrize("cap", [1, 3])
def test_TK16_one_session_more_than_the_cap_ends_the_oldest(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock, cap: int
) -> None:
    with running(read_settings(tmp_path, {**store, "SESSIONS_PER_USER": str(cap)}), clock) as service:
        tenant = fresh(service)
        tenant.create("bystander")
        bystander = tenant.session("bystander")
        tenant.create()
        tokens = []
        for device in range(cap + 2):
            clock.turn(seconds=1)
            tokens.append(tenant.session(device=f"device {device}"))
            live = [token for token in tokens if tenant.verify(token).status_code == 200]
            assert live == tokens[-cap:]
        assert tenant.verify(bystander).status_code == 200


def test_TK16_who_logged_out_makes_room(store: dict[str, str], tmp_path: Path, clock: TurnableClock) -> None:
    with running(read_settings(tmp_path, {**store, "SESSIONS_PER_USER": "2"}), clock) as service:
        tenant = fresh(service)
        tenant.create()
        first = tenant.session()
        clock.turn(seconds=1)
        tenant.logout(tenant.session())
        clock.turn(seconds=1)
        tenant.session()
        assert tenant.verify(first).status_code == 200


def test_TK16_parallel_logins_never_leave_more_sessions_than_the_cap(store: dict[str, str], tmp_path: Path) -> None:
    with running(read_settings(tmp_path, {**store, "SESSIONS_PER_USER": "5"})) as service:
        tenant = fresh(service)
        tenant.create()
        answers = together([tenant.login] * (200 if TORTURE else 60), threads=10)
        assert {answer.status_code for answer in answers} == {200}
        tokens = [answer.json()["accessToken"] for answer in answers]
        live = [token for token in tokens if tenant.verify(token).status_code == 200]
        assert len(live) == 5


def test_TK13_of_parallel_logouts_one_is_told_that_it_did_it(tenant: Tenant) -> None:
    tenant.create()
    for _ in range(10):
        token = tenant.session()
        answers = together([partial(tenant.logout, token)] * 6)
        assert sorted(answer.status_code for answer in answers) == [200, *[400] * 5]
