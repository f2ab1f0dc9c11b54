"""`/tenant`: settings, password and deletion."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from doorward.core.sessions.service import SessionLifetimes
from doorward.core.tenants.settings import SettingsResolver, TenantSettings, session_policy
from harness import PASSWORD, Service, Tenant, TurnableClock, read_settings, running
from internals import carry_out, services, stagger_policies


def choose(tenant: Tenant, **settings: object) -> httpx.Response:
    return tenant.http.patch("/tenant", json={"settings": settings}, headers=tenant.headers)


def last_seen(tenant: Tenant) -> set[int]:
    return {session["lastActivity"] for session in tenant.get("/user/alice/sessions").json()["sessions"]}


def delete(tenant: Tenant, password: str = PASSWORD) -> httpx.Response:
    return tenant.http.request("DELETE", "/tenant", json={"password": password}, headers=tenant.headers)


def test_a_tenant_sees_what_counts_for_it(service: Service) -> None:
    tenant = service.tenant()
    assert service.clock
    assert tenant.get("/tenant").json() == {
        "id": tenant.id,
        "email": tenant.email,
        "login": f"tenant:{tenant.email}",
        "createdAt": service.clock.now,
        "settings": {
            "sessionLifetime": 604_800,
            "sessionIdle": None,
            "sessionsPerUser": 100,
            "tenantSessionLifetime": None,
            "passwordPolicy": {"minLength": None, "requireClasses": False, "blockCommon": False},
            "readyHashes": False,
            "introspectionAudience": None,
        },
    }


def test_a_patch_changes_the_settings_it_names_and_null_takes_them_back(tenant: Tenant) -> None:
    before = tenant.get("/tenant").json()["settings"]
    changed = choose(tenant, sessionIdle=3600, passwordPolicy={"minLength": 15}).json()["settings"]
    assert changed == {**before, "sessionIdle": 3600, "passwordPolicy": {**before["passwordPolicy"], "minLength": 15}}
    more = choose(tenant, sessionLifetime=60, passwordPolicy={"blockCommon": True}).json()["settings"]
    assert (more["sessionIdle"], more["sessionLifetime"]) == (3600, 60)
    assert more["passwordPolicy"] == {"minLength": 15, "requireClasses": False, "blockCommon": True}
    nothing = {"minLength": None, "blockCommon": False}
    assert choose(tenant, sessionIdle=None, sessionLifetime=None, passwordPolicy=nothing).json()["settings"] == before


@pytest.mark.one_setup
@pytest.mark.parametrize(
    "settings",
    [
        {"sessionLifetime": 0},
        {"sessionLifetime": "60"},
        {"sessionLifetime": 1.5},
        {"sessionLifetime": True},
        {"sessionIdle": -1},
        {"sessionIdle": 4},
        {"sessionsPerUser": 0},
        {"sessionsPerUser": 100_001},
        {"passwordPolicy": None},
        {"passwordPolicy": {"minLength": 5}},
        {"passwordPolicy": {"requireClasses": 1}},
        {"passwordPolicy": {"unknown": 1}},
        {"unknown": 1},
        [],
        "x",
    ],
)
def test_settings_that_make_no_sense_are_refused_and_nothing_changes(tenant: Tenant, settings: object) -> None:
    before = tenant.get("/tenant").json()
    answer = tenant.http.patch("/tenant", json={"settings": settings}, headers=tenant.headers)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["path"][0] == "settings"
    assert tenant.get("/tenant").json() == before


def test_S13_parallel_changes_leave_the_settings_shown_and_those_that_count_the_same(service: Service) -> None:
    tenant = service.tenant()
    tenant.create("alice")
    user = verified(tenant, tenant.session("alice"))
    sessions = services(service).sessions.session_store
    stagger_policies(service)
    clients = [Tenant(service.client(), tenant.id, tenant.email, PASSWORD, tenant.token) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for start in range(60, 80, 2):
            list(pool.map(lambda number: choose(clients[number % 2], sessionIdle=number), range(start, start + 2)))
            shown = tenant.get("/tenant").json()["settings"]["sessionIdle"]
            [device] = carry_out(service, sessions.list_user(tenant.id, user["id"], limit=2))
            assert device.session.idle == shown * 1000


def verified(tenant: Tenant, token: str) -> dict[str, Any]:
    claims: dict[str, Any] = tenant.verify(token).json()["decoded"]
    return claims


def test_TK17_a_shorter_lifetime_counts_at_once_for_sessions_that_are_open(service: Service) -> None:
    tenant, neighbour = service.tenant(), service.tenant("other@example.org")
    assert service.clock
    for owner in (tenant, neighbour):
        owner.create("alice")
    token, theirs = tenant.session("alice"), neighbour.session("alice")
    service.clock.turn(seconds=100)
    choose(tenant, sessionLifetime=100)
    assert tenant.verify(token).status_code == 400
    assert tenant.get("/user/alice/sessions").json() == {"sessions": []}
    assert neighbour.verify(theirs).status_code == 200
    answer = tenant.login("alice").json()
    assert answer["expiresIn"] == 100
    service.clock.turn(seconds=99)
    assert tenant.verify(answer["accessToken"]).status_code == 200
    service.clock.turn(seconds=1)
    assert tenant.verify(answer["accessToken"]).status_code == 400
    choose(tenant, sessionLifetime=None)
    assert tenant.login("alice").json()["expiresIn"] == 604_800


def test_TK17_an_idle_session_ends_and_one_that_is_used_does_not(service: Service) -> None:
    tenant = service.tenant()
    assert service.clock
    tenant.create("alice")
    idle, used = tenant.session("alice"), tenant.session("alice")
    choose(tenant, sessionIdle=40)
    for _ in range(2):
        service.clock.turn(seconds=21)
        assert tenant.verify(used).status_code == 200
        service.eventually(lambda: service.clock and service.clock.now in last_seen(tenant))
    assert tenant.verify(idle).status_code == 400
    service.clock.turn(seconds=40)
    assert tenant.verify(used).status_code == 400


def test_TK17_S16_a_session_in_use_never_dies_of_the_shortest_idle_time(service: Service) -> None:
    tenant = service.tenant()
    assert service.clock
    tenant.create("alice")
    assert choose(tenant, sessionIdle=5).json()["settings"]["sessionIdle"] == 5
    used, idle = tenant.session("alice"), tenant.session("alice")
    # Just before the end, and just after it: the first use cannot be in the store when the second one comes.
    for seconds in (4.9, 0.2, 4.9, 0.2, 1, 1, 1, 1, 1, 1, 4.9, 4.9, 4.9):
        service.clock.turn(seconds=seconds)
        assert tenant.verify(used).status_code == 200
    assert tenant.verify(idle).status_code == 400
    service.clock.turn(seconds=5)
    assert tenant.verify(used).status_code == 400


def test_S16_the_use_of_a_session_that_is_about_to_be_idle_is_told_to_other_workers(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock
) -> None:
    settings = read_settings(tmp_path, store)
    with running(settings, clock) as one, running(settings, clock) as other:
        tenant = one.tenant(f"{uuid4().hex}@example.org")
        elsewhere = Tenant(other.client(), tenant.id, tenant.email, tenant.password, tenant.token)
        tenant.create("alice")
        choose(tenant, sessionIdle=5)
        token = tenant.session("alice")
        for asked in (tenant, elsewhere, tenant):
            clock.turn(seconds=4.9)
            assert asked.verify(token).status_code == 200
            one.eventually(lambda: clock.now in last_seen(tenant))
        clock.turn(seconds=0.2)
        assert elsewhere.verify(token).status_code == 200


def test_S16_an_idle_time_chosen_when_shorter_ones_could_be_counts_as_the_shortest() -> None:
    chosen = TenantSettings(session_idle=1)
    assert session_policy(chosen, version=1).idle == 5_000
    assert SettingsResolver(SessionLifetimes()).effective(chosen).session_idle == 5
    assert session_policy(TenantSettings(), version=1).idle is None


def test_TK16_a_tenants_own_cap_counts_at_the_next_login(tenant: Tenant) -> None:
    tenant.create("alice")
    tokens = [tenant.session("alice") for _ in range(4)]
    choose(tenant, sessionsPerUser=2)
    tokens.append(tenant.session("alice"))
    assert [tenant.verify(token).status_code for token in tokens] == [400, 400, 400, 200, 200]


def test_a_tenants_own_sessions_can_have_an_end(service: Service) -> None:
    tenant = service.tenant()
    assert service.clock
    choose(tenant, tenantSessionLifetime=60)
    body = {"email": tenant.email, "password": tenant.password}
    token = tenant.http.post("/tenant/login", json=body).json()["token"]
    decoded = tenant.http.post("/tenant/verify", json={"token": token}).json()["decoded"]
    assert decoded["exp"] - decoded["iat"] == 60
    service.clock.turn(seconds=60)
    assert tenant.http.post("/tenant/verify", json={"token": token}).status_code == 400
    assert tenant.get("/tenant").status_code == 200


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("abcdefghijklmn", "password_too_short"),
        ("a" * 20, "password_too_common"),
        ("abcabcabcabcabcabc", "password_too_common"),
        ("password12345678", "password_too_common"),
        ("PASSWORD12345678", "password_too_common"),
        ("p@ssw0rd!!!!!!!!!", "password_too_common"),
        ("alicealicealice1", "password_too_common"),
        ("ourshopourshop20", "password_too_common"),
        ("qwertyuiopqwertyuiop", "password_too_common"),
        ("zyxwvutsrqponmlkj", "password_too_common"),
    ],
)
def test_PW5_PW6_a_policy_refuses_what_is_short_or_tried_first(shared: Service, password: str, reason: str) -> None:
    from uuid import uuid4

    tenant = shared.tenant(f"{uuid4().hex}@ourshop.example")
    choose(tenant, passwordPolicy={"minLength": 15, "blockCommon": True})
    answer = tenant.create("alice", password)
    assert answer.status_code == 422
    assert reason in [detail["type"] for detail in answer.json()["error"]["details"]]
    assert password not in answer.text
    good = "meadow lantern copper violin"
    assert tenant.create("alice", good).status_code == 200
    for path, body in (
        ("/user/alice/password", {"current": good, "password": password}),
        ("/auth/reset", {"code": tenant.post("/user/alice/password/reset", {}).json()["code"], "password": password}),
    ):
        assert tenant.post(path, body).status_code == 422
    patched = tenant.http.patch("/user/alice", json={"password": password}, headers=tenant.headers)
    assert patched.status_code == 422
    assert tenant.login("alice", good).status_code == 200


@pytest.mark.one_setup
def test_PW5_twenty_lowercase_words_and_64_characters_are_welcome(tenant: Tenant) -> None:
    choose(tenant, passwordPolicy={"minLength": 15, "blockCommon": True})
    words = "river cloud stone ember glass field north maple quiet storm amber lunar crisp delta flint grove hazel inlet jolly kayak"
    assert tenant.create("alice", words).status_code == 200
    assert tenant.create("bob", words[:64]).status_code == 200


@pytest.mark.one_setup
def test_PW5_classes_are_asked_for_only_where_a_tenant_wants_them(tenant: Tenant) -> None:
    choose(tenant, passwordPolicy={"requireClasses": True})
    assert tenant.create("alice", "all lowercase").status_code == 422
    assert tenant.create("alice", "Mixed case 9").status_code == 200


def test_a_code_survives_a_password_that_the_policy_refuses(tenant: Tenant) -> None:
    tenant.create("alice")
    choose(tenant, passwordPolicy={"minLength": 15})
    code = tenant.post("/user/alice/password/reset", {}).json()["code"]
    assert tenant.post("/auth/reset", {"code": code, "password": "short"}).status_code == 422
    assert tenant.post("/auth/reset", {"code": code, "password": "long enough for it"}).status_code == 200


def test_TK14_a_new_tenant_password_ends_its_other_sessions(tenant: Tenant) -> None:
    body = {"email": tenant.email, "password": tenant.password}
    elsewhere = tenant.http.post("/tenant/login", json=body).json()["token"]
    tenant.create("alice")
    users = tenant.session("alice")
    wrong = tenant.post("/tenant/password", {"current": "Wrong-Horse-9", "password": "New-Horse-9"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "incorrect_password")
    weak = tenant.post("/tenant/password", {"current": tenant.password, "password": "weak"})
    assert weak.status_code == 422
    change = {"current": tenant.password, "password": "New-Horse-9"}
    assert tenant.post("/tenant/password", change).json() == {"result": 1}
    assert tenant.http.post("/tenant/verify", json={"token": elsewhere}).status_code == 400
    assert tenant.verify(users).status_code == 200
    assert tenant.http.post("/tenant/login", json=body).status_code == 401
    assert tenant.http.post("/tenant/login", json={**body, "password": "New-Horse-9"}).status_code == 200


def test_BF5_a_wrong_tenant_password_counts_wherever_it_is_asked_for(service: Service) -> None:
    tenant = service.tenant()
    for _ in range(3):
        delete(tenant, "Wrong-Horse-9")
        tenant.post("/tenant/password", {"current": "Wrong-Horse-9", "password": "New-Horse-9"})
    assert delete(tenant).status_code == 429
    # A proven session has a counter of its own: its failures keep no one else from logging in.
    body = {"email": tenant.email, "password": tenant.password}
    assert tenant.http.post("/tenant/login", json=body).status_code == 200


def test_a_deleted_tenant_is_gone_with_all_it_owned(tenant: Tenant, other: Tenant) -> None:
    for owner in (tenant, other):
        owner.create("alice")
    key = tenant.post("/tenant/key", {"name": "k", "permissions": ["users:read"]}).json()["key"]
    token, theirs = tenant.session("alice"), other.session("alice")
    assert delete(tenant, "Wrong-Horse-9").status_code == 403
    assert tenant.verify(token).status_code == 200
    assert delete(tenant).json() == {"result": 1}
    assert tenant.verify(token).status_code == 401
    assert tenant.http.get("/user", headers={"Authorization": f"Bearer {key}"}).status_code == 401
    assert other.verify(theirs).status_code == 200
    body = {"email": tenant.email, "password": tenant.password}
    assert tenant.http.post("/tenant/login", json=body).status_code == 401
    again = Tenant.register(tenant.http, tenant.email)
    assert again.id != tenant.id
    assert again.get("/user").json()["users"] == []


def test_settings_of_the_service_count_where_a_tenant_chose_nothing(store: dict[str, str], tmp_path: object) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    more = {**store, "JWT_KEY_EXP": "1h", "SESSIONS_PER_USER": "3", "TENANT_JWT_EXP": "30d"}
    with running(read_settings(tmp_path, more)) as service:
        settings = service.tenant().get("/tenant").json()["settings"]
    assert settings["sessionLifetime"] == 3600
    assert settings["sessionsPerUser"] == 3
    assert settings["tenantSessionLifetime"] == 2_592_000


RECOMMENDED = {"minLength": 15, "requireClasses": False, "blockCommon": True}
UNCHANGED = {"minLength": None, "requireClasses": False, "blockCommon": False}


def test_N14_PW5_PW6_the_recommended_policy_is_chosen_by_its_name(tenant: Tenant) -> None:
    choose(tenant, passwordPolicy={"requireClasses": True})
    assert choose(tenant, passwordPolicy="recommended").json()["settings"]["passwordPolicy"] == RECOMMENDED
    assert tenant.get("/tenant").json()["settings"]["passwordPolicy"] == RECOMMENDED
    assert choose(tenant, passwordPolicy={"minLength": 12}).json()["settings"]["passwordPolicy"]["minLength"] == 12
    choose(tenant, passwordPolicy="recommended")
    codes = {
        "x": ["password_too_short"],
        "fourteen chars": ["password_too_short"],
        "password12345678": ["password_too_common"],
        "aaaaaaaaaaaaaaaaaaaa": ["password_too_common"],
    }
    for password, expected in codes.items():
        answer = tenant.create("alice", password)
        assert answer.status_code == 422
        assert [fault["type"] for fault in answer.json()["error"]["details"]] == expected
    assert tenant.create("alice", "twenty lowercase wor").status_code == 200


@pytest.mark.parametrize(
    ("settings", "policy"),
    [
        ({"passwordPolicy": "recommended"}, RECOMMENDED),
        ({"passwordPolicy": {"minLength": 9}, "sessionIdle": 3600}, {**UNCHANGED, "minLength": 9}),
        ({}, UNCHANGED),
    ],
)
def test_N14_a_tenant_registers_with_the_settings_it_wants(
    shared: Service, settings: dict[str, Any], policy: dict[str, Any]
) -> None:
    http, email = shared.client(), f"{uuid4().hex}@example.org"
    answer = http.post("/tenant", json={"email": email, "password": PASSWORD, "settings": settings})
    assert answer.status_code == 200, answer.text
    tenant = Tenant(http, answer.json()["id"], email, PASSWORD, answer.json()["token"])
    shown = tenant.get("/tenant").json()["settings"]
    assert (shown["passwordPolicy"], shown["sessionIdle"]) == (policy, settings.get("sessionIdle"))
    assert tenant.create("alice", "x").status_code == (422 if policy["minLength"] else 200)


def test_N14_the_first_token_lives_as_long_as_the_tenant_wants(shared: Service) -> None:
    http = shared.client()
    body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD, "settings": {"tenantSessionLifetime": 60}}
    token = http.post("/tenant", json=body).json()["token"]
    decoded = http.post("/tenant/verify", json={"token": token}).json()["decoded"]
    assert decoded["exp"] - decoded["iat"] == 60


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"passwordPolicy": "strict"}, ["settings", "passwordPolicy"]),
        ({"passwordPolicy": "Recommended"}, ["settings", "passwordPolicy"]),
        ({"passwordPolicy": ["recommended"]}, ["settings", "passwordPolicy"]),
        ({"passwordPolicy": None}, ["settings", "passwordPolicy"]),
        ({"minLength": 15}, ["settings"]),
        ("recommended", ["settings"]),
    ],
)
def test_N14_other_words_are_no_policy(shared: Service, tenant: Tenant, settings: Any, path: list[str]) -> None:
    body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD, "settings": settings}
    for answer in (
        tenant.http.patch("/tenant", json={"settings": settings}, headers=tenant.headers),
        shared.client().post("/tenant", json=body),
    ):
        assert answer.status_code == 422
        [fault] = answer.json()["error"]["details"]
        assert fault["path"] == path
        assert "strict" not in answer.text
