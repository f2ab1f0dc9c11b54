"""Clock steps: no client waits for the clock, and no live session expires by it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from doorward.core.ports import Backoff
from doorward.settings import Settings
from harness import KEY, PASSWORD, Service, Tenant, TurnableClock, running
from internals import carry_out, services

STEPS = {"10 s": 10, "2 h": 7_200, "30 d": 30 * 86_400}
AT_ONCE = Backoff().free_attempts + 1
_years = count()


@pytest.fixture
def clock() -> TurnableClock:
    """A clock further on than any test before, so that a store that outlives a test has forgotten its budgets."""
    clock = TurnableClock()
    clock.turn(seconds=365 * 86_400 * next(_years))
    return clock


@contextmanager
def by_default(store: dict[str, str], folder: Path, clock: TurnableClock, **more: str) -> Iterator[Service]:
    """Run a service whose limits are what an operator gets who sets nothing."""
    given = {"DATA_DIR": str(folder), "JWT_KEY": KEY, "LOGIN_FAILURE_TIME": "0", **store, **more}
    with running(Settings.read(given, folder), clock) as service:
        yield service


def pair(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def login(tenant: Tenant, *, refresh: bool = False, password: str = "pw") -> httpx.Response:
    return tenant.post("/auth", {"login": "alice", "password": password, "deviceId": "laptop", "refresh": refresh})


def told_of_the_clock(caplog: pytest.LogCaptureFixture) -> list[float]:
    """Return by how many seconds the log says that the clock was set back."""
    return [vars(record)["seconds"] for record in caplog.records if "the clock was set back" in record.getMessage()]


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_F2_a_clock_that_is_set_back_makes_nobody_wait_and_logs_nobody_out(
    store: dict[str, str],
    tmp_path: Path,
    clock: TurnableClock,
    caplog: pytest.LogCaptureFixture,
    step: int,
    *,
    restarted: bool,
) -> None:
    caplog.set_level(logging.WARNING)
    with by_default(store, tmp_path, clock) as service:
        tenant = service.tenant(f"{uuid4().hex}@example.org")
        tenant.create("alice")
        tenant.http.patch("/tenant", json={"settings": {"sessionIdle": 3600}}, headers=tenant.headers)
        token, renewed = tenant.session(), pair(login(tenant, refresh=True))
        for _ in range(AT_ONCE):
            login(tenant, password="wrong")
            tenant.http.post("/tenant/login", json={"email": tenant.email, "password": "Wrong-Password-1"})
        assert login(tenant).status_code == 429
        if not restarted:
            clock.set_by(seconds=-step)
            assert_nothing_changed(service, tenant, token, renewed)
            service.eventually(lambda: told_of_the_clock(caplog))
    if restarted:
        clock.set_by(seconds=-step)
        with by_default(store, tmp_path, clock) as service:
            assert_nothing_changed(service, tenant, token, renewed)
    # Less than clocks may be apart, and nobody was there to see it.
    assert told_of_the_clock(caplog) == ([] if restarted and step == STEPS["10 s"] else [step])


def assert_nothing_changed(service: Service, known: Tenant, token: str, renewed: dict[str, Any]) -> None:
    tenant = Tenant(service.client(), known.id, known.email, known.password, known.token)
    assert tenant.verify(token).status_code == 200
    assert tenant.verify(renewed["accessToken"]).status_code == 200
    assert tenant.http.post("/tenant/verify", json={"token": tenant.token}).status_code == 200
    # What this process itself has told to wait goes by the time that passes.
    assert service.clock
    service.clock.turn(seconds=1)
    assert login(tenant).status_code == 200
    assert tenant.http.post("/tenant/login", json={"email": tenant.email, "password": PASSWORD}).status_code == 200
    assert tenant.create("bob").status_code == 200
    again = pair(tenant.post("/auth/refresh", {"refreshToken": renewed["refreshToken"]}))
    assert tenant.verify(again["accessToken"]).status_code == 200
    assert len(tenant.get("/user/alice/sessions").json()["sessions"]) == 3
    assert tenant.logout(token).status_code == 200
    assert tenant.verify(token).status_code == 400


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_TK17_F2_after_a_clock_was_set_back_sessions_end_as_late_as_if_they_began_then(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock, *, restarted: bool
) -> None:
    def settled(service: Service) -> Tenant:
        tenant = service.tenant(f"{uuid4().hex}@example.org")
        tenant.create("alice")
        tenant.http.patch("/tenant", json={"settings": {"sessionIdle": 600}}, headers=tenant.headers)
        return tenant

    with by_default(store, tmp_path, clock, JWT_KEY_EXP="3600") as service:
        tenant, step = settled(service), STEPS["2 h"]
        used, unused = tenant.session(), tenant.session()
        clock.set_by(seconds=-step)
        if not restarted:
            assert_ends_in_time(service, tenant, used, unused)
    if restarted:
        with by_default(store, tmp_path, clock, JWT_KEY_EXP="3600") as service:
            assert_ends_in_time(service, tenant, used, unused)


def assert_ends_in_time(service: Service, known: Tenant, used: str, unused: str) -> None:
    tenant = Tenant(service.client(), known.id, known.email, known.password, known.token)
    assert service.clock
    for _ in range(8):
        assert tenant.verify(used).status_code == 200
        carry_out(service, services(service).activity.flush())
        service.clock.turn(seconds=449)
    assert tenant.verify(unused).status_code == 400, "it was idle for longer than the tenant allows"
    assert tenant.verify(used).status_code == 200
    service.clock.turn(seconds=8)
    assert tenant.verify(used).status_code == 400, "it lives no longer than a new session would"


def test_F2_sessions_opened_after_the_clock_was_set_back_are_not_the_oldest(service: Service) -> None:
    tenant, clock = service.tenant(), service.clock
    assert clock
    tenant.create("alice")
    tenant.http.patch("/tenant", json={"settings": {"sessionsPerUser": 2}}, headers=tenant.headers)
    clock.set_by(seconds=7_200)
    before = [tenant.session() for _ in range(2)]
    clock.set_by(seconds=-7_200)
    after = [tenant.session()]
    assert [tenant.verify(token).status_code for token in after] == [200]
    assert sorted(tenant.verify(token).status_code for token in before) == [200, 400]
    clock.turn(seconds=1)
    after.append(tenant.session())
    assert [tenant.verify(token).status_code for token in (*before, *after)] == [400, 400, 200, 200]


def test_TK18_F2_no_refresh_token_gets_a_longer_grace_and_no_session_ends_for_it(service: Service) -> None:
    tenant, clock = service.tenant(), service.clock
    assert clock
    tenant.create("alice")
    first = pair(login(tenant, refresh=True))
    second = pair(tenant.post("/auth/refresh", {"refreshToken": first["refreshToken"]}))
    clock.set_by(seconds=-7_200)
    spent = tenant.post("/auth/refresh", {"refreshToken": first["refreshToken"]})
    assert (spent.status_code, spent.json()["code"]) == (401, "invalid_refresh_token")
    assert tenant.verify(second["accessToken"]).status_code == 200
    third = pair(tenant.post("/auth/refresh", {"refreshToken": second["refreshToken"]}))
    assert pair(tenant.post("/auth/refresh", {"refreshToken": second["refreshToken"]})) == third
    clock.turn(seconds=11)
    assert tenant.post("/auth/refresh", {"refreshToken": second["refreshToken"]}).status_code == 401
    assert tenant.verify(third["accessToken"]).status_code == 400, "now it is known to be used twice"


def test_PW9_F2_a_reset_code_does_not_outlive_its_ten_minutes_by_a_clock_that_is_set_back(service: Service) -> None:
    tenant, clock = service.tenant(), service.clock
    assert clock
    tenant.create("alice")
    code = tenant.post("/user/alice/password/reset", {}).json()["code"]
    clock.set_by(seconds=-7_200)
    assert tenant.post("/auth/reset", {"code": code, "password": "new"}).status_code == 401
    fresh = tenant.post("/user/alice/password/reset", {}).json()["code"]
    assert tenant.post("/auth/reset", {"code": fresh, "password": "new"}).status_code == 200


def test_F2_what_a_clock_set_far_forward_calls_over_is_there_again_when_it_is_set_back(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    tenant, clock = service.tenant(), service.clock
    assert clock
    tenant.create("alice")
    token = tenant.session()
    clock.set_by(seconds=STEPS["30 d"])
    assert tenant.verify(token).status_code == 400
    service.eventually(lambda: "the clock was set forward" in caplog.text)
    clock.set_by(seconds=-STEPS["30 d"])
    assert tenant.verify(token).status_code == 200
    assert login(tenant).status_code == 200
    service.eventually(lambda: told_of_the_clock(caplog) == [STEPS["30 d"]])
