"""Isolation of tenants, at every endpoint."""

import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api_contract import (
    assert_invalid_token,
    assert_oauth_error,
    assert_refused,
    assert_unauthorised,
    email,
    essence,
    fresh,
    logins,
    named,
    planet,
)
from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.routes import ENDPOINTS
from doorward.selftest.requests import CannotFillRequest, fill_request, mentions, unowned_names
from harness import Service, Tenant, TurnableClock, read_settings, running
from isolation_matrix import Attacker, World, masked, strike

REGISTRATION = ("POST", "/tenant")
"""The one place that says whether an address is taken: to whom the operator lets register tenants."""

PROVEN = [endpoint for endpoint in ENDPOINTS if endpoint.auth is Auth.TENANT]
OPEN = [endpoint for endpoint in ENDPOINTS if endpoint.auth is not Auth.TENANT]


@pytest.fixture
def victim(other: Tenant) -> World:
    return World.of(other)


@pytest.mark.parametrize("endpoint", [it for it in ENDPOINTS if (it.method, it.path) != REGISTRATION], ids=named)
@pytest.mark.parametrize("by", ["its token", "an API key"])
def test_TI1_anothers_object_is_answered_like_one_that_does_not_exist(
    shared: Service, victim: World, endpoint: Endpoint, by: str
) -> None:
    told = []
    for names in (victim.names(), unowned_names()):
        attacker = Attacker.of(shared)
        credential = f"Bearer {attacker.tenant.token if by == 'its token' else attacker.key}"
        proven = endpoint.auth is Auth.TENANT
        answer = strike(attacker.tenant.http, endpoint, names, credential if proven else None)
        assert answer.status_code < 500, answer.text
        for secret in victim.secrets():
            if not mentions(endpoint, names, secret):
                assert secret not in answer.text
                assert secret not in str(answer.headers)
        told.append(masked(answer, names, attacker.tenant))
    assert told[0] == told[1]
    victim.assert_untouched()
    victim.assert_code_is_good()


@pytest.mark.parametrize("endpoint", PROVEN, ids=named)
def test_TI1_a_key_of_lesser_permission_learns_nothing_and_does_nothing(
    shared: Service, victim: World, endpoint: Endpoint
) -> None:
    attacker = Attacker.of(shared)
    for permission, key in attacker.lesser.items():
        if permission == endpoint.permission:
            continue
        answers = [
            strike(attacker.tenant.http, endpoint, names, f"Bearer {key}")
            for names in (victim.names(), unowned_names(), attacker.names())
        ]
        if endpoint.is_form:
            assert_oauth_error(answers[0], 400, "unauthorized_client")
        else:
            assert (answers[0].status_code, answers[0].json()["code"]) == (403, "permission_denied")
        assert len({str(essence(answer)) for answer in answers}) == 1
    assert attacker.tenant.verify(attacker.user_token).status_code == 200
    assert logins(attacker.tenant) == ["mallory"]
    victim.assert_untouched()


@pytest.mark.parametrize("endpoint", PROVEN, ids=named)
def test_TI1_without_a_live_tenants_credential_every_answer_is_the_same_401(
    shared: Service, victim: World, endpoint: Endpoint
) -> None:
    attacker = Attacker.of(shared)
    answers: dict[str, httpx.Response] = {}
    for name, credential in attacker.credentials(victim).items():
        for whose, names in (("theirs", victim.names()), ("nobody's", unowned_names()), ("own", attacker.names())):
            answers[f"{name}, {whose}"] = strike(attacker.tenant.http, endpoint, names, credential)
    first = next(iter(answers.values()))
    if endpoint.is_form:
        assert_oauth_error(first, 401, "invalid_client")
    else:
        assert_unauthorised(first)
    assert {name: essence(answer) for name, answer in answers.items()} == dict.fromkeys(answers, essence(first))
    victim.assert_untouched()
    assert logins(attacker.tenant) == ["mallory"]


@pytest.mark.parametrize("endpoint", OPEN, ids=named)
def test_TI1_where_no_credential_is_asked_for_none_makes_a_difference(
    shared: Service, victim: World, endpoint: Endpoint
) -> None:
    attacker = Attacker.of(shared)
    own = f"Bearer {attacker.tenant.token}"
    theirs = f"Bearer {victim.tenant.token}"
    answers = []
    for credential in [None, own, theirs, *attacker.credentials(victim).values()]:
        names = unowned_names()
        answers.append(masked(strike(attacker.tenant.http, endpoint, names, credential), names, attacker.tenant))
    assert all(answer == answers[0] for answer in answers)
    victim.assert_untouched()


@pytest.mark.parametrize(
    ("endpoint", "complaint"),
    [
        (planet("/planet/{planet}"), "path segment 'planet'"),
        (planet(query=("ring",)), "query parameter 'ring'"),
        (planet(method="POST", request_body=msgspec.defstruct("Planet", [("moon", str)])), "field 'moon'"),
        (planet(method="POST"), "has no request body"),
    ],
)
def test_TI1_an_endpoint_that_cannot_be_attacked_fails_and_says_what_to_add(endpoint: Endpoint, complaint: str) -> None:
    with pytest.raises(CannotFillRequest, match=re.escape(complaint)):
        fill_request(endpoint, unowned_names())


def test_EN4_registering_a_taken_address_is_refused_and_takes_nothing_over(shared: Service, victim: World) -> None:
    answer = shared.client().post("/tenant", json={"email": victim.tenant.email, "password": "Mallorys-Own-1"})
    assert_refused(answer, 400, "tenant_exists", "This tenant's email already exists")
    for secret in victim.secrets():
        assert secret not in answer.text
    victim.assert_untouched()


def test_TI2_another_tenant_can_neither_read_nor_end_a_users_session(tenant: Tenant, victim: World) -> None:
    for _ in range(3):
        assert_invalid_token(tenant.verify(victim.token))
        assert_invalid_token(tenant.logout(victim.token))
    victim.assert_untouched()


def test_TI2_a_foreign_question_is_no_activity(store: dict[str, str], tmp_path: Path, clock: TurnableClock) -> None:
    settings = read_settings(tmp_path, store)
    with running(settings, clock) as service:
        tenant, other = fresh(service), fresh(service)
        created = other.create().json()
        token = other.session()
        clock.turn(seconds=3600)
        for answer in (tenant.verify(token), tenant.logout(token), tenant.login("alice", "pw"), tenant.delete("alice")):
            assert answer.status_code in {400, 404}
    with running(settings, clock) as service:
        other.http = service.client()
        assert other.get("/user").json()["users"] == [created]
        assert other.verify(token).status_code == 200


def test_TI3_the_same_login_email_device_and_sub_in_two_tenants_are_unrelated(tenant: Tenant, other: Tenant) -> None:
    same = {"login": "alice", "email": "alice@example.org", "sub": "sub-1"}
    ids = {owner.create(**same, password=f"pw of {owner.id}").json()["id"] for owner in (tenant, other)}
    assert len(ids) == 2
    theirs = other.session("alice", f"pw of {other.id}", "laptop")
    own = tenant.session("alice", f"pw of {tenant.id}", "laptop")
    assert tenant.login("alice", f"pw of {other.id}").status_code == 403
    assert_invalid_token(tenant.verify(theirs))
    tenant.logout(own)
    tenant.delete("alice")
    assert logins(tenant) == []
    assert logins(other) == ["alice"]
    assert other.verify(theirs).json()["decoded"]["tenant"] == other.id
    assert other.login("alice", f"pw of {other.id}").status_code == 200


def test_TI3_who_is_locked_out_of_one_tenant_is_welcome_in_another(tenant: Tenant, other: Tenant) -> None:
    for owner in (tenant, other):
        owner.create("alice", "pw")
    for _ in range(6):
        last = tenant.login("alice", "wrong")
    assert last.status_code == 429
    assert tenant.login("alice", "pw").status_code == 429
    assert other.login("alice", "pw").status_code == 200


def test_TI3_replacing_a_user_touches_nobody_of_the_same_name(store: dict[str, str], tmp_path: Path) -> None:
    with running(read_settings(tmp_path, {**store, "EXISTING_LOGIN": "replace"})) as service:
        tenant, other = fresh(service), fresh(service)
        for owner in (tenant, other):
            owner.create("alice", "old")
        theirs = other.session("alice", "old")
        before = other.get("/user").json()
        tenant.create("alice", "new")
        assert other.verify(theirs).status_code == 200
        assert other.login("alice", "old").status_code == 200
        assert other.get("/user").json() == before


HOSTILE = [
    "{other}:x",
    "{other}",
    "{user}",
    "*",
    "%",
    "_",
    "'; DROP TABLE users; --",
    "..a/x..",
    "' OR '1'='1",
    "users:*",
    "x\\x",
    "$1",
    ":id",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_TI4_hostile_identifiers_do_not_cross(tenant: Tenant, victim: World, name: str) -> None:
    login = name.replace("{other}", victim.tenant.id).replace("{user}", str(victim.user["id"]))
    assert tenant.create(login, "pw", sub=login, company=login).status_code == 200
    assert logins(tenant) == [login]
    token = tenant.session(login, "pw", device=login)
    assert tenant.verify(token).json()["decoded"]["login"] == login
    victim.assert_untouched()
    assert_invalid_token(victim.tenant.verify(token))
    assert tenant.delete(login).status_code == 200
    assert logins(tenant) == []
    victim.assert_untouched()


@pytest.mark.parametrize("name", ["\u0000", "a\u0000", "a\u0000b"])
def test_TI4_a_NUL_names_nobody(tenant: Tenant, victim: World, name: str) -> None:
    for login in (name, victim.login + name):
        assert tenant.create(login).status_code == 422
        assert tenant.login(login).status_code == 422
        assert tenant.delete(login).status_code == 404
        assert victim.tenant.delete(login).status_code == 404
    victim.assert_untouched()


def test_TI5_a_tenant_named_anywhere_but_in_the_credential_counts_for_nothing(tenant: Tenant, victim: World) -> None:
    them = victim.tenant.id
    headers = {
        **tenant.headers,
        "X-Tenant-ID": them,
        "X-Tenant": them,
        "Tenant": them,
        "X-Forwarded-Host": them,
        "X-Original-URL": f"/tenant/{them}/user",
        "X-HTTP-Method-Override": "DELETE",
        "Cookie": f"tenant={them}; token={victim.tenant.token}",
        "X-Authorization": f"Bearer {victim.tenant.token}",
        "Proxy-Authorization": f"Bearer {victim.tenant.token}",
    }
    http = tenant.http
    assert http.get("/user", headers=headers).json() == {"users": [], "nextCursor": "0"}
    for name in ("tenant", "tenantId", "tenant_id"):
        assert http.get("/user", params={name: them}, headers=headers).json()["code"] == "validation_error"
    body = {
        "login": victim.login,
        "password": "bobs-own",
        "deviceId": "d",
        "tenant": them,
        "tenantId": them,
        "id": them,
    }
    assert_refused(http.post("/auth", json=body, headers=headers), 404, "user_not_found", "User does not exist")
    token = {"token": victim.token, "tenant": them}
    assert_invalid_token(http.post("/auth/verify", json=token, headers=headers))
    assert_invalid_token(http.post("/auth/logout", json=token, headers=headers))
    answer = http.request("DELETE", f"/user/{victim.login}", json={"tenant": them}, headers=headers)
    assert answer.status_code == 404
    assert http.get("/user", headers={**headers, "Host": f"{them}.example.org"}).json()["users"] == []
    victim.assert_untouched()


@pytest.mark.parametrize(
    "path", ["/ghost/user", "/{other}/user", "/tenant/{other}/user", "/user/{other}/user", "/tenant/{other}", "/users"]
)
def test_TI5_no_path_leads_into_another_tenant(tenant: Tenant, victim: World, path: str) -> None:
    path = path.replace("{other}", victim.tenant.id)
    for headers in ({}, tenant.headers):
        for method in ("GET", "POST", "PUT", "PATCH"):
            answer = tenant.http.request(method, path, headers=headers)
            assert answer.status_code in {404, 405}
            assert victim.login not in answer.text
    victim.assert_untouched()


def test_TI6_nothing_but_the_published_fields_can_be_set(tenant: Tenant, other: Tenant) -> None:
    chosen = "00000000-0000-4000-8000-000000000000"
    extra: dict[str, Any] = {
        "id": chosen,
        "tenant": other.id,
        "tenant_id": other.id,
        "isTenant": True,
        "role": "admin",
        "email_verified_at": 1,
        "password_hash": "$2b$04$" + "a" * 53,
        "credentials": 99,
        "created_at": 1,
        "registrationDate": 1,
        "lastActivity": 1,
        "registration_date": 1,
        "login_key": "bob",
        "disabled": True,
        "__proto__": {"isTenant": True},
        "constructor": 1,
    }
    answer = tenant.create("alice", "pw", **extra)
    user = answer.json()
    assert answer.status_code == 200
    assert set(user) == {"id", "login", "email", "tenant", "sub", "registrationDate", "lastActivity"}
    assert (user["id"] != chosen, user["tenant"]) == (True, tenant.id)
    assert min(user["registrationDate"], user["lastActivity"]) > 1_000_000_000_000
    assert tenant.get("/user").json()["users"] == [user]
    assert logins(other) == []
    login = {"login": "alice", "password": "pw", "deviceId": "d", "exp": 9, "iat": 9, "jti": "x", "id": chosen, **extra}
    claims = tenant.verify(tenant.post("/auth", {**login, "password": "pw"}).json()["accessToken"]).json()["decoded"]
    assert set(claims) == {"id", "login", "tenant", "deviceId", "sub", "aud", "jti", "iat", "exp"}
    assert (claims["id"], claims["tenant"]) == (user["id"], tenant.id)


def test_TI6_a_tenant_cannot_choose_what_it_is(shared: Service) -> None:
    address = email()
    extra = {
        "id": "x",
        "login": "tenant:root@example.org",
        "isTenant": False,
        "credentials": 9,
        "created_at": 1,
        "token": "x",
    }
    answer = shared.client().post("/tenant", json={"email": address, "password": "Correct-Horse-9", **extra}).json()
    assert (answer["id"] != "x", answer["login"], answer["token"] != "x") == (True, f"tenant:{address}", True)


def test_TI9_anothers_cursor_opens_a_page_of_ones_own_list(tenant: Tenant, victim: World) -> None:
    tenant.create("a")
    tenant.create("zoe")
    page = tenant.get("/user", cursor=victim.cursor, limit=10)
    assert page.status_code == 200
    assert [user["login"] for user in page.json()["users"]] == ["zoe"]
    assert page.json()["nextCursor"] == "0"


def test_TI9_anothers_ids_are_no_names_here(tenant: Tenant, victim: World) -> None:
    for name in (str(victim.user["id"]), victim.tenant.id, victim.tenant.email, f"tenant:{victim.tenant.email}"):
        assert tenant.delete(name).status_code == 404
        assert victim.tenant.delete(name).status_code == 404
        assert tenant.login(name, "bobs-own").status_code == 404
        assert tenant.get("/user", q=name).json()["users"] == []
    victim.assert_untouched()
