"""`/auth`: login, verification and logout of users."""

import time
from pathlib import Path

import pytest

from api_contract import (
    assert_invalid_token,
    assert_malformed,
    assert_refused,
    assert_token_missing,
    assert_unauthorised,
    essence,
    faults,
    fresh,
    logins,
)
from harness import Service, Tenant, TurnableClock, read_settings, running

CLAIMS = {"id", "login", "tenant", "deviceId", "sub", "aud", "jti", "iat", "exp"}
UNKNOWN = (404, "user_not_found", "User does not exist")
WRONG = (403, "incorrect_password", "Incorrect password")
REFUSED = (401, "login_refused", "Incorrect login or password")


def test_a_login_gives_a_token_and_how_long_it_lives(tenant: Tenant) -> None:
    tenant.create()
    answer = tenant.login()
    assert answer.status_code == 200
    assert set(answer.json()) == {"accessToken", "expiresIn"}
    assert answer.json()["expiresIn"] == 604_800
    assert answer.json()["accessToken"].count(".") == 2


def test_PR5_a_token_says_who_where_and_until_when(tenant: Tenant) -> None:
    user = tenant.create("Alice", sub="customer-17", scope={"role": "admin"}).json()
    answer = tenant.verify(tenant.session("alice", device="laptop of alice"))
    assert answer.status_code == 200
    assert set(answer.json()) == {"decoded"}
    claims = answer.json()["decoded"]
    assert set(claims) == CLAIMS | {"scope"}
    assert (claims["id"], claims["tenant"], claims["login"]) == (user["id"], tenant.id, "Alice")
    assert (claims["sub"], claims["deviceId"]) == ("customer-17", "laptop of alice")
    assert claims["scope"] == {"role": "admin"}


def test_TK7_the_times_of_a_token_are_seconds_and_true(tenant: Tenant) -> None:
    tenant.create()
    claims = tenant.verify(tenant.session()).json()["decoded"]
    assert set(claims) == CLAIMS
    assert (type(claims["iat"]), type(claims["exp"])) == (int, int)
    assert abs(claims["iat"] - time.time()) < 5
    assert claims["exp"] - claims["iat"] == 604_800


@pytest.mark.parametrize(
    ("lifetime", "seconds"), [("1", 1), ("60", 60), ("12h", 43_200), ("604800", 604_800), ("30d", 2_592_000)]
)
def test_TK7_a_token_dies_on_the_second_that_JWT_KEY_EXP_says(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock, lifetime: str, seconds: int
) -> None:
    clock.turn(milliseconds=999)
    with running(read_settings(tmp_path, {**store, "JWT_KEY_EXP": lifetime}), clock) as service:
        tenant = fresh(service)
        tenant.create()
        answer = tenant.login().json()
        assert answer["expiresIn"] == seconds
        claims = tenant.verify(answer["accessToken"]).json()["decoded"]
        assert claims["exp"] - claims["iat"] == seconds
        clock.turn(milliseconds=claims["exp"] * 1000 - clock.now - 1)
        assert tenant.verify(answer["accessToken"]).status_code == 200
        clock.turn(milliseconds=1)
        assert_invalid_token(tenant.verify(answer["accessToken"]))
        assert_invalid_token(tenant.logout(answer["accessToken"]))
        assert tenant.verify(tenant.session()).status_code == 200


def test_TK10_every_token_is_another_and_its_id_says_nothing(tenant: Tenant) -> None:
    user = tenant.create().json()
    tokens = [tenant.session() for _ in range(50)]
    assert len(set(tokens)) == 50
    ids = [tenant.verify(token).json()["decoded"]["jti"] for token in tokens]
    assert len(set(ids)) == 50
    for jti in ids:
        assert len(jti) == 22
        assert not any(part in jti for part in (user["id"][:8], "alice", "laptop"))


def test_TK12_verifying_changes_nothing_that_a_client_can_see_but_activity(service: Service) -> None:
    tenant = fresh(service)
    user = tenant.create().json()
    token = tenant.session()
    answers = {tenant.verify(token).content for _ in range(100)}
    assert len(answers) == 1
    assert tenant.get("/user").json()["users"] == [user]


def test_TK13_a_user_logs_out_once_and_never_again(tenant: Tenant) -> None:
    tenant.create()
    token, other_session = tenant.session(), tenant.session()
    answer = tenant.logout(token)
    assert (answer.status_code, answer.json()) == (200, {"result": 1})
    assert_invalid_token(tenant.verify(token))
    assert_invalid_token(tenant.logout(token))
    assert tenant.verify(other_session).status_code == 200


def test_TK16_a_second_login_on_a_device_does_not_end_the_first(tenant: Tenant) -> None:
    tenant.create()
    first, second = tenant.session(device="browser"), tenant.session(device="browser")
    assert first != second
    assert [tenant.verify(token).status_code for token in (first, second)] == [200, 200]
    tenant.logout(second)
    assert tenant.verify(first).status_code == 200


def test_EN1_the_published_refusals_of_a_login(tenant: Tenant) -> None:
    tenant.create("alice", "pw")
    assert_refused(tenant.login("bob", "pw"), *UNKNOWN)
    assert_refused(tenant.login("alice", "Pw"), *WRONG)
    assert_refused(tenant.login("alice", "pw "), *WRONG)


def test_EN1_LOGIN_ERRORS_uniform_makes_both_refusals_one(store: dict[str, str], tmp_path: Path) -> None:
    with running(read_settings(tmp_path, {**store, "LOGIN_ERRORS": "uniform"})) as service:
        tenant = fresh(service)
        tenant.create("alice", "pw")
        assert_refused(tenant.login("bob", "pw"), *REFUSED)
        assert_refused(tenant.login("alice", "wrong"), *REFUSED)
        assert tenant.login("alice", "pw").status_code == 200


@pytest.mark.one_setup
def test_every_fault_of_a_login_is_listed_in_field_order(tenant: Tenant) -> None:
    missing = ['"login" is required', '"password" is required', '"deviceId" is required']
    assert faults(tenant.post("/auth", {})) == missing
    assert faults(tenant.post("/auth", {"deviceId": "", "password": "", "login": 1})) == [
        '"login" must be a string',
        '"password" is not allowed to be empty',
        '"deviceId" is not allowed to be empty',
    ]


@pytest.mark.one_setup
@pytest.mark.parametrize("path", ["/auth", "/auth/verify", "/auth/logout"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b"[]", b'{"token":1}', b'{"token":"x"}', b'{"token":"e30.e30.e30"}']
)
def test_who_is_no_tenant_learns_nothing_about_its_body(shared: Service, path: str, body: bytes) -> None:
    answer = shared.client().post(path, content=body, headers={"Content-Type": "application/json"})
    assert_unauthorised(answer)


@pytest.mark.one_setup
@pytest.mark.parametrize(
    "credential",
    [
        "",
        "Bearer",
        "Bearer \t{}",
        "Bearer {}x",
        "Bearer {}=",
        "Basic {}",
        "Token {}",
        "{}",
        "Bearer\t{}",
        "Bearer,{}",
        "Bearer {},Bearer {}",
        'Bearer "{}"',
        "JWT {}",
    ],
)
def test_a_malformed_credential_is_none(tenant: Tenant, credential: str) -> None:
    tenant.create()
    token = tenant.session()
    given = credential.replace("{}", tenant.token).encode()
    for path, body in (
        ("/auth/verify", {"token": token}),
        ("/auth", {}),
        ("/user", {}),
        ("/auth/logout", {"token": "x"}),
    ):
        answer = tenant.http.post(path, json=body, headers=[(b"authorization", given)])
        assert_unauthorised(answer)


@pytest.mark.one_setup
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_of_a_credential_is_spelled_in_any_case(tenant: Tenant, scheme: str) -> None:
    assert tenant.http.get("/user", headers={"Authorization": f"{scheme} {tenant.token}"}).status_code == 200


@pytest.mark.parametrize("path", ["/auth/verify", "/auth/logout"])
def test_TK6_a_tenants_token_is_no_users_token(tenant: Tenant, other: Tenant, path: str) -> None:
    for token in (tenant.token, other.token):
        assert_invalid_token(tenant.post(path, {"token": token}))
    assert tenant.get("/user").status_code == 200
    assert other.get("/user").status_code == 200


@pytest.mark.one_setup
@pytest.mark.parametrize("path", ["/auth/verify", "/auth/logout"])
@pytest.mark.parametrize("garbage", ["x", "a.b.c", "....", "é", "\U0001f600", "x" * 9000, " ", "\u0000"])
def test_garbage_is_an_invalid_token(tenant: Tenant, path: str, garbage: str) -> None:
    assert_invalid_token(tenant.post(path, {"token": garbage}))


@pytest.mark.one_setup
@pytest.mark.parametrize("path", ["/auth/verify", "/auth/logout"])
def test_what_is_wrong_with_a_tokens_body_is_said(tenant: Tenant, path: str) -> None:
    for body in ({}, {"token": ""}, {"token": None}, {"accessToken": "x"}):
        assert_token_missing(tenant.post(path, body))
    assert_token_missing(tenant.http.post(path, content=b"", headers=tenant.headers))
    for token in (1, True, ["x"], {"a": 1}):
        assert faults(tenant.post(path, {"token": token})) == ['"token" must be a string']
    assert faults(tenant.post(path, [])) == ['"value" must be an object']
    json = {**tenant.headers, "Content-Type": "application/json"}
    assert_malformed(tenant.http.post(path, content=b'{"token":"x"', headers=json))


def test_TK4_a_token_in_any_other_spelling_is_invalid(tenant: Tenant) -> None:
    tenant.create()
    token = tenant.session()
    header, payload, signature = token.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    neighbour = signature[:-1] + last[last.index(signature[-1]) ^ 1]
    for spelling in (
        token + "=",
        token + ".",
        "." + token,
        f" {token}",
        f"{token}\n",
        f"{header}.{payload}",
        f"{header}.{payload}.",
        f"{header}..{signature}",
        f"{header}.{payload}.{neighbour}",
        f"{header}.{payload}.{signature[:-1]}",
        f"{header}.{payload}=.{signature}",
        token.replace(".", ".\n", 1),
        token.upper(),
        token[::-1],
    ):
        assert_invalid_token(tenant.verify(spelling))
        assert_invalid_token(tenant.logout(spelling))
    assert tenant.verify(token).status_code == 200


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("password", "others"),
    [
        ("a" * 72 + "X", ["a" * 72 + "Y", "a" * 72]),
        ("a\u0000b", ["a", "a\u0000c", "a\u0000"]),
        ("p" * 64, ["p" * 63, "p" * 65]),
        ("p" * 200, ["p" * 199]),
        ("\U0001f600\U0001f511", ["\U0001f600", "??"]),
        (" pw ", ["pw", " pw", "pw "]),
        ("\tpw\n", ["pw"]),
        ("ﬁ", ["fi"]),
        ("²", ["2"]),
        ("Ω", ["ω", "O"]),
    ],
)
def test_PW2_every_byte_of_a_password_counts(tenant: Tenant, password: str, others: list[str]) -> None:
    tenant.create("alice", password)
    for wrong in others:
        assert_refused(tenant.login("alice", wrong), *WRONG)
    assert tenant.login("alice", password).status_code == 200


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("one", "other"), [("caf\u00e9", "cafe\u0301"), ("\u1ea5", "a\u0302\u0301"), ("\ud55c", "\u1112\u1161\u11ab")]
)
def test_PW4_the_same_characters_from_another_keyboard_are_the_same_password(
    tenant: Tenant, one: str, other: str
) -> None:
    tenant.create("composed", one)
    tenant.create("decomposed", other)
    for login in ("composed", "decomposed"):
        assert [tenant.login(login, spelling).status_code for spelling in (one, other)] == [200, 200]


def test_a_login_is_known_in_any_case(tenant: Tenant) -> None:
    tenant.create("Alice")
    claims = tenant.verify(tenant.session("aLICE")).json()["decoded"]
    assert claims["login"] == "Alice"
    assert logins(tenant) == ["Alice"]


def test_a_device_is_any_name_and_kept_to_the_letter(tenant: Tenant) -> None:
    tenant.create()
    for device in ("x", "Mozilla/5.0 (X11; Linux) Łódź", "%*_'\"\\", "d" * 256):
        assert tenant.verify(tenant.session(device=device)).json()["decoded"]["deviceId"] == device


def test_the_longest_names_and_scope_still_make_a_token_that_is_recognised(tenant: Tenant) -> None:
    scope = {"roles": "r" * (4096 - len('{"roles":""}'))}
    tenant.create("ü" * 256, sub="ö" * 256, scope=scope)
    token = tenant.session("ü" * 256, device="ä" * 256)
    assert len(token) <= 8192
    assert tenant.verify(token).json()["decoded"]["scope"] == scope


@pytest.mark.one_setup
def test_the_short_way_and_the_long_way_give_the_same_answers(tenant: Tenant, other: Tenant) -> None:
    """Ordinary questions are answered before the router; a trailing slash, or a length unknown at first, is unusual."""
    tenant.create(scope={"a": "é"})
    other.create()
    token, foreign, dead = tenant.session(), other.session(), tenant.session()
    tenant.logout(dead)
    escaped = f"\\u{ord(token[0]):04x}{token[1:]}"
    own, theirs = f"Bearer {tenant.token}", f"Bearer {other.token}"
    credentials = [
        own,
        own.replace("Bearer", "bearer"),
        theirs,
        f"Bearer {token}",
        "Bearer x",
        own + "x",
        "Basic x",
        None,
    ]
    bodies = [
        *(
            f'{{"token":"{text}"}}'
            for text in (token, foreign, dead, tenant.token, escaped, token + "=", "x", "", "é", "x" * 9000)
        ),
        f' {{\n"token"\t:\r"{token}" }} ',
        f'{{"token":"{token}","x":1}}',
        f'{{"token":"{token}","token":"{token}"}}',
        f'{{"Token":"{token}"}}',
        f'["{token}"]',
        f'"{token}"',
        '{"token":null}',
        '{"token":1}',
        "{}",
        "{",
        "null",
    ]
    http = tenant.http
    statuses = set()
    for path in ("/auth/verify", "/tenant/verify"):
        for credential in credentials:
            headers = {"Content-Type": "application/json", **({"Authorization": credential} if credential else {})}
            for text in bodies:
                body = text.encode()
                short = http.post(path, content=body, headers=headers)
                assert essence(short) == essence(http.post(f"{path}/", content=body, headers=headers)), text
                assert essence(short) == essence(http.post(path, content=iter([body]), headers=headers)), text
                statuses.add(short.status_code)
    assert statuses == {200, 400, 401, 422}
