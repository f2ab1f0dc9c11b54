"""Failed attempts stay counted after a rotation of the master key."""

from pathlib import Path

import pytest

from doorward.core.rate_limits.limiter import alias_keys
from harness import KEY, Service, Tenant, TurnableClock, read_settings, running
from internals import services

NEXT = "Y5rJ0f3uQe8sWm1xKz7vTn4bLd9hGa2cPo6iRyUq5tE="
CAP = 100


def guess(clock: TurnableClock, tenant: Tenant, login: str, times: int) -> None:
    for _ in range(times):
        clock.turn(seconds=901)
        assert tenant.login(login, "wrong").status_code in {403, 404}


@pytest.mark.parametrize("login", ["alice", "nobody"])
def test_KR4_BF1_failures_outlive_the_key_that_hides_their_names(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock, login: str
) -> None:
    settings = {**store, "JWT_KEY_EXP": "2592000"}
    with running(read_settings(tmp_path, {**settings, "JWT_KEY": f"1:{KEY}"}), clock) as service:
        tenant = service.tenant(f"{login}@example.org")
        assert tenant.create("alice", "pw").status_code == 200
        guess(clock, tenant, login, 60)
    with running(read_settings(tmp_path, {**settings, "JWT_KEY": f"2:{NEXT},1:{KEY}"}), clock) as service:
        tenant.http = service.client()
        guess(clock, tenant, login, CAP - 60)
        clock.turn(seconds=901)
        assert tenant.login(login, "pw").status_code == 429
    with running(read_settings(tmp_path, {**settings, "JWT_KEY": f"2:{NEXT}"}), clock) as service:
        tenant.http = service.client()
        clock.turn(seconds=901)
        again = tenant.http.post("/tenant/login", json={"email": tenant.email, "password": tenant.password})
        tenant.token = again.json()["token"]
        assert tenant.login(login, "pw").status_code == 429
        if login == "alice":
            changed = tenant.http.patch("/user/alice", json={"password": "new"}, headers=tenant.headers)
            assert changed.status_code == 200
            assert tenant.login("alice", "new").status_code == 200


def test_KR4_a_worker_that_loses_a_key_while_it_runs_goes_on_counting(service: Service, clock: TurnableClock) -> None:
    tenant = service.tenant()
    assert tenant.create("alice", "pw").status_code == 200
    guess(clock, tenant, "alice", CAP)
    services(service).rate_limits.replace_keys(alias_keys([NEXT.encode()]))
    clock.turn(seconds=901)
    assert tenant.login("alice", "pw").status_code == 429
