"""`/auth/refresh`: rotation, grace period, reuse."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from harness import Service, Tenant
from internals import end_sessions_before_they_are_rotated


def log_in(tenant: Tenant, login: str = "alice") -> dict[str, str]:
    body = {"login": login, "password": "pw", "deviceId": "laptop", "refresh": True}
    answer: dict[str, str] = tenant.post("/auth", body).json()
    return answer


def refresh(tenant: Tenant, token: str) -> httpx.Response:
    return tenant.post("/auth/refresh", {"refreshToken": token})


@pytest.fixture
def alone(service: Service) -> Tenant:
    tenant = service.tenant()
    tenant.create("alice")
    return tenant


def test_a_login_has_a_refresh_token_only_where_it_asks_for_one(alone: Tenant) -> None:
    plain = alone.login("alice").json()
    assert set(plain) == {"accessToken", "expiresIn"}
    assert plain["expiresIn"] == 604_800
    assert set(log_in(alone)) == {"accessToken", "expiresIn", "refreshToken"}
    assert int(log_in(alone)["expiresIn"]) == 900


def test_TK18_a_pair_renews_itself_as_long_as_the_session_lives(service: Service, alone: Tenant) -> None:
    assert service.clock
    pair = log_in(alone)
    spent = 0
    while spent < 604_800 - 900:
        service.clock.turn(seconds=60_000)
        spent += 60_000
        assert alone.verify(pair["accessToken"]).status_code == 400
        answer = refresh(alone, pair["refreshToken"])
        if spent >= 604_800:
            break
        pair = answer.json()
        assert alone.verify(pair["accessToken"]).status_code == 200
    assert spent >= 604_800 - 900
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_refresh_token")


def test_TK18_the_last_access_token_ends_with_the_session(service: Service, alone: Tenant) -> None:
    assert service.clock
    pair = log_in(alone)
    service.clock.turn(seconds=604_800 - 100)
    last = refresh(alone, pair["refreshToken"]).json()
    assert last["expiresIn"] == 100


def test_TK18_a_retry_within_the_grace_gets_the_very_same_answer(service: Service, alone: Tenant) -> None:
    assert service.clock
    pair = log_in(alone)
    first = refresh(alone, pair["refreshToken"])
    service.clock.turn(milliseconds=10_000)
    assert refresh(alone, pair["refreshToken"]).json() == first.json()
    service.clock.turn(milliseconds=1)
    assert refresh(alone, pair["refreshToken"]).status_code == 401
    assert alone.verify(first.json()["accessToken"]).status_code == 400


def test_TK18_a_spent_token_ends_the_session_with_all_its_tokens(alone: Tenant) -> None:
    first = log_in(alone)
    second = refresh(alone, first["refreshToken"]).json()
    third = refresh(alone, second["refreshToken"]).json()
    other = log_in(alone)
    # Within the grace of the second, but the first is no parent any more.
    assert refresh(alone, first["refreshToken"]).status_code == 401
    assert alone.verify(third["accessToken"]).status_code == 400
    assert refresh(alone, third["refreshToken"]).status_code == 401
    assert alone.verify(other["accessToken"]).status_code == 200


def test_TK18_twenty_refreshes_at_once_make_one_family_and_log_nobody_out(tenant: Tenant) -> None:
    tenant.create("alice")
    pair = log_in(tenant)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: refresh(tenant, pair["refreshToken"]), range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    newest = answers[0].json()
    assert tenant.verify(newest["accessToken"]).status_code == 200
    assert refresh(tenant, newest["refreshToken"]).status_code == 200


def test_TK6_a_refresh_token_is_no_access_token_and_the_other_way(alone: Tenant) -> None:
    pair = log_in(alone)
    assert alone.verify(pair["refreshToken"]).status_code == 400
    assert refresh(alone, pair["accessToken"]).status_code == 401
    plain = alone.session("alice")
    assert refresh(alone, plain).status_code == 401
    assert alone.http.get("/user", headers={"Authorization": f"Bearer {pair['refreshToken']}"}).status_code == 401


@pytest.mark.parametrize(
    "forge",
    [
        lambda token: token + "=",
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: "dr_" + token,
        lambda token: token.replace("dr_", "", 1),
        lambda token: token.partition(".")[0],
        lambda token: token.partition(".")[0] + ".",
        lambda token: token + ".x",
        lambda token: " " + token,
        lambda _: "dr_W10.x",
        lambda _: "dr_" + "A" * 600,
        lambda _: "dr_é",
        lambda _: "x",
    ],
)
def test_TK4_a_refresh_token_has_one_spelling(tenant: Tenant, forge: "object") -> None:
    assert callable(forge)
    tenant.create("alice")
    token = log_in(tenant)["refreshToken"]
    answer = refresh(tenant, forge(token))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_refresh_token")
    assert refresh(tenant, token).status_code == 200


def test_TI2_a_refresh_token_is_worth_nothing_to_another_tenant(tenant: Tenant, other: Tenant) -> None:
    tenant.create("alice")
    pair = log_in(tenant)
    assert refresh(other, pair["refreshToken"]).status_code == 401
    assert refresh(tenant, pair["refreshToken"]).status_code == 200


def test_TK14_a_refresh_token_dies_with_its_session_and_its_user(tenant: Tenant) -> None:
    tenant.create("alice")
    ended, disabled = log_in(tenant), log_in(tenant)
    assert tenant.logout(ended["accessToken"]).status_code == 200
    assert refresh(tenant, ended["refreshToken"]).status_code == 401
    tenant.http.patch("/user/alice", json={"disabled": True}, headers=tenant.headers)
    assert refresh(tenant, disabled["refreshToken"]).status_code == 401


def test_T9_a_refresh_whose_session_ends_after_its_token_was_checked_is_refused(
    service: Service, alone: Tenant
) -> None:
    pair = log_in(alone)
    end_sessions_before_they_are_rotated(service)
    answer = refresh(alone, pair["refreshToken"])
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_refresh_token")


def test_a_new_token_says_what_is_true_of_the_user_now(tenant: Tenant) -> None:
    tenant.create("alice", scope="read")
    pair = log_in(tenant)
    tenant.http.patch("/user/alice", json={"scope": "read write"}, headers=tenant.headers)
    assert tenant.verify(pair["accessToken"]).json()["decoded"]["scope"] == "read"
    renewed = refresh(tenant, pair["refreshToken"]).json()["accessToken"]
    assert tenant.verify(renewed).json()["decoded"]["scope"] == "read write"
