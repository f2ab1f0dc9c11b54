"""A new `login` by `PATCH`: what stays with the user, and what is revoked (N6)."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from api_contract import assert_invalid_token, assert_refused, faults, logins, together, wide
from harness import Service, Tenant, TurnableClock
from internals import gate_logins

TAKEN = (409, "login_exists", "This login already exists")
GONE = (404, "login_not_found", "Specified login does not exist or was already deleted.")
UNKNOWN = (404, "user_not_found", "User does not exist")
INVALID_CODE = (401, "invalid_reset_code", "invalid reset code")


def rename(tenant: Tenant, former: str, login: str, **more: object) -> httpx.Response:
    return tenant.http.patch(f"/user/{former}", json={"login": login, **more}, headers=tenant.headers)


def test_N6_a_renamed_user_keeps_its_id_and_password_and_its_former_login_is_free(tenant: Tenant) -> None:
    before = tenant.create("alice", "wonderland", scope=["read"], metadata={"plan": "gold"}).json()
    answer = rename(tenant, "alice", "Alice.Liddell")
    assert (answer.status_code, answer.json()) == (200, {**before, "login": "Alice.Liddell"})
    assert tenant.get("/user/alice.liddell").json() == answer.json()
    assert_refused(tenant.get("/user/alice"), *GONE)
    assert_refused(tenant.login("alice", "wonderland"), *UNKNOWN)
    claims = tenant.verify(tenant.session("alice.liddell", "wonderland")).json()["decoded"]
    assert (claims["id"], claims["login"]) == (before["id"], "Alice.Liddell")
    second = tenant.create("alice", "other").json()
    assert second["id"] != before["id"]
    assert tenant.login("alice", "wonderland").status_code == 403


def test_N6_a_new_login_ends_the_sessions_that_carry_the_former_one(tenant: Tenant) -> None:
    tenant.create("alice")
    tenant.create("bob")
    body = {"login": "alice", "password": "pw", "deviceId": "phone", "refresh": True}
    pair = tenant.post("/auth", body).json()
    token, bystander = tenant.session("alice"), tenant.session("bob")
    assert rename(tenant, "alice", "carol").status_code == 200
    for dead in (token, pair["accessToken"]):
        assert_invalid_token(tenant.verify(dead))
        gateway = {"X-Doorward-Key": tenant.token, "Authorization": f"Bearer {dead}"}
        assert tenant.http.get("/forward-auth", headers=gateway).status_code == 401
    assert tenant.post("/auth/refresh", {"refreshToken": pair["refreshToken"]}).status_code == 401
    assert tenant.get("/user/carol/sessions").json() == {"sessions": []}
    assert tenant.verify(bystander).status_code == 200
    gateway = {"X-Doorward-Key": tenant.token, "Authorization": f"Bearer {tenant.session('carol')}"}
    assert tenant.http.get("/forward-auth", headers=gateway).headers["x-auth-login"] == "carol"


def test_N6_a_new_login_voids_open_reset_codes(tenant: Tenant) -> None:
    tenant.create("alice")
    code = tenant.post("/user/alice/password/reset", {}).json()["code"]
    rename(tenant, "alice", "carol")
    assert_refused(tenant.post("/auth/reset", {"code": code, "password": "stolen"}), *INVALID_CODE)
    tenant.create("alice", "other")
    assert_refused(tenant.post("/auth/reset", {"code": code, "password": "stolen"}), *INVALID_CODE)
    assert tenant.login("carol").status_code == 200


def test_N6_failures_go_along_with_the_user_and_not_to_the_next_one_of_the_login(
    service: Service, clock: TurnableClock
) -> None:
    tenant = service.tenant()
    tenant.create("alice")
    for _ in range(5):
        tenant.login("alice", "wrong")
    assert tenant.login("alice").json()["code"] == "too_many_attempts"
    rename(tenant, "alice", "carol")
    assert tenant.login("carol").json()["code"] == "too_many_attempts"
    tenant.create("alice", "other")
    assert tenant.login("alice", "other").status_code == 200
    clock.turn(seconds=1)
    assert tenant.login("carol").status_code == 200


def test_N6_a_rename_with_a_new_password_clears_the_failures(service: Service) -> None:
    tenant = service.tenant()
    tenant.create("alice")
    for _ in range(5):
        tenant.login("alice", "wrong")
    answer = rename(tenant, "alice", "carol", password="looking glass")
    assert answer.json()["login"] == "carol"
    assert tenant.login("carol", "looking glass").status_code == 200
    assert tenant.login("carol", "pw").status_code == 403


def test_N6_a_renamed_user_is_listed_and_searched_by_its_new_login_alone(tenant: Tenant) -> None:
    for login in ("alice", "bob", "dora"):
        tenant.create(login)
    rename(tenant, "alice", "charlotte")
    assert logins(tenant) == ["bob", "charlotte", "dora"]
    assert logins(tenant, limit=1) == ["bob", "charlotte", "dora"]
    assert logins(tenant, q="harlot") == ["charlotte"]
    assert logins(tenant, q="alice") == []


@pytest.mark.parametrize("taken", ["bob", "BOB", wide("bob")])
def test_N6_a_login_that_another_user_has_is_refused_and_nothing_changed(tenant: Tenant, taken: str) -> None:
    before = tenant.create("alice").json()
    tenant.create("bob")
    token = tenant.session("alice")
    assert_refused(rename(tenant, "alice", taken, sub="other", password="new"), *TAKEN)
    assert tenant.get("/user/alice").json() == before
    assert tenant.verify(token).status_code == 200
    assert tenant.login("alice").status_code == 200


def test_N6_another_tenants_login_is_no_obstacle(tenant: Tenant, other: Tenant) -> None:
    tenant.create("alice")
    theirs = other.create("bob").json()
    assert rename(tenant, "alice", "bob").status_code == 200
    assert other.get("/user/bob").json() == theirs


def test_N6_another_spelling_of_its_own_login_is_free_and_the_same_spelling_changes_nothing(tenant: Tenant) -> None:
    before = tenant.create("alice").json()
    token = tenant.session("alice")
    assert rename(tenant, "alice", "alice").json() == before
    assert tenant.verify(token).status_code == 200
    assert rename(tenant, "alice", "ALICE").json() == {**before, "login": "ALICE"}
    # The token says alice, and X-Auth-Login would.
    assert_invalid_token(tenant.verify(token))
    assert logins(tenant) == ["ALICE"]
    assert tenant.verify(tenant.session("alice")).json()["decoded"]["login"] == "ALICE"


@pytest.mark.parametrize(
    ("login", "fault"),
    [
        ("", '"login" is not allowed to be empty'),
        ("a\u200bb", '"login" must not contain invisible characters'),
        (" a", '"login" must not begin or end with white space, or have more than one in a row'),
        ("a" * 257, '"login" length must be less than or equal to 256 characters long'),
        (None, '"login" must be a string'),
    ],
)
def test_N6_a_new_login_is_held_to_the_rules_of_new_logins(tenant: Tenant, login: str, fault: str) -> None:
    before = tenant.create("alice").json()
    assert faults(rename(tenant, "alice", login)) == [fault]
    assert tenant.get("/user/alice").json() == before


def test_N6_a_user_that_does_not_exist_is_not_renamed(tenant: Tenant) -> None:
    assert_refused(rename(tenant, "nobody", "somebody"), *GONE)
    assert logins(tenant) == []


def test_N6_a_new_login_is_in_the_audit_trail_and_no_name_is(tenant: Tenant) -> None:
    alice = tenant.create("alice").json()
    rename(tenant, "alice", "carol")
    rename(tenant, "carol", "dora", password="new")
    rename(tenant, "dora", "dora", sub="other")
    events = tenant.get("/tenant/audit", limit=4).json()["events"]
    assert {event["subject"] for event in events} == {alice["id"]}
    assert sorted(event["action"] for event in events[1:3]) == ["user.password", "user.rename"]
    assert [events[0]["action"], events[3]["action"]] == ["user.change", "user.rename"]
    assert not any(name in str(events) for name in ("alice", "carol", "dora"))


def test_N6_of_two_users_who_take_one_login_at_once_one_gets_it(tenant: Tenant) -> None:
    for turn in range(5):
        users = [tenant.create(f"user-{turn}-{n}").json() for n in range(4)]
        answers = together([partial(rename, tenant, user["login"], f"wanted-{turn}") for user in users])
        won = [user for user, answer in zip(users, answers, strict=True) if answer.status_code == 200]
        assert len(won) == 1
        for answer in answers:
            if answer.status_code != 200:
                assert_refused(answer, *TAKEN)
        assert tenant.get(f"/user/wanted-{turn}").json()["id"] == won[0]["id"]


def test_N6_a_login_that_is_created_while_it_is_taken_goes_to_one_of_both(tenant: Tenant) -> None:
    for turn in range(5):
        tenant.create(f"alice-{turn}")
        wanted = f"wanted-{turn}"
        answers = together([partial(rename, tenant, f"alice-{turn}", wanted), partial(tenant.create, wanted)])
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert logins(tenant, q=wanted) == [wanted]


def test_N6_TK15_a_login_in_flight_with_the_former_name_leaves_no_live_session(service: Service) -> None:
    tenant = service.tenant()
    tenant.create("alice")
    gated = gate_logins(service)
    with ThreadPoolExecutor(1) as pool:
        login = pool.submit(tenant.login, "alice")
        assert gated.found.wait(10)
        assert rename(tenant, "alice", "carol").status_code == 200
        assert tenant.create("alice", "other").status_code == 200
        gated.opened.set()
        answer = login.result(20)
    assert_refused(answer, 403, "incorrect_password", "Incorrect password")
    for name in ("alice", "carol"):
        assert tenant.get(f"/user/{name}/sessions").json() == {"sessions": []}


def test_N6_TK15_many_logins_while_a_user_is_renamed_leave_no_token_of_its_former_login(tenant: Tenant) -> None:
    tenant.create("alice-0")
    for turn in range(10):
        former, login = f"alice-{turn}", f"alice-{turn + 1}"
        jobs = [partial(tenant.login, former)] * 4
        answers = together([*jobs[:2], partial(rename, tenant, former, login), *jobs[2:]])
        assert answers[2].status_code == 200
        tokens = [answer.json()["accessToken"] for answer in answers if "accessToken" in answer.text]
        assert {tenant.verify(token).status_code for token in tokens} <= {400}
        assert tenant.get(f"/user/{login}/sessions").json() == {"sessions": []}
