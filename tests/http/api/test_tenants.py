"""`/tenant`: registration, login, verification and logout of tenants."""

import logging
from pathlib import Path

import httpx
import pytest

from api_contract import (
    UUID,
    assert_invalid_token,
    assert_refused,
    assert_token_missing,
    email,
    faults,
    fresh,
    log_in,
    wide,
)
from harness import PASSWORD, Service, Tenant, TurnableClock, read_settings, running

REQUIRED = ['"email" is required', '"password" is required']
CLASSES = '"password" must contain a lowercase letter, an uppercase letter and a digit'
SHORT = '"password" length must be at least 6 characters long'


def register(service: Service, **body: object) -> list[str]:
    return faults(service.client().post("/tenant", json=body))


def test_registering_gives_id_email_login_and_a_token(shared: Service) -> None:
    address = email()
    answer = shared.client().post("/tenant", json={"email": address, "password": PASSWORD})
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"id", "email", "login", "token"}
    assert UUID.fullmatch(body["id"])
    assert (body["email"], body["login"]) == (address, f"tenant:{address}")
    assert Tenant(shared.client(), body["id"], address, PASSWORD, body["token"]).get("/user").status_code == 200


def test_an_email_is_registered_once_whatever_its_case_or_width(shared: Service) -> None:
    address = email()
    shared.tenant(address)
    for variant in (address, address.upper(), wide(address)):
        answer = shared.client().post("/tenant", json={"email": variant, "password": PASSWORD})
        assert_refused(answer, 400, "tenant_exists", "This tenant's email already exists")


def test_an_email_is_kept_as_it_was_given(shared: Service) -> None:
    address = "Shop." + email().upper()
    assert shared.tenant(address).email == address
    answer = shared.client().post("/tenant/login", json={"email": address.lower(), "password": PASSWORD})
    assert answer.status_code == 200
    claims = shared.client().post("/tenant/verify", json=answer.json()).json()["decoded"]
    assert claims["login"] == f"tenant:{address}"


@pytest.mark.parametrize(
    "address",
    [
        "{}@localhost",
        "{}@[127.0.0.1]",
        "{}@127.0.0.1",
        "{}@münchen.example",
        "用户{}@例え.jp",
        "{}+tag@example.org",
        '"a b{}"@x.org',
    ],
)
def test_the_rule_for_emails_is_lenient(shared: Service, address: str) -> None:
    assert shared.tenant(address.format(email().partition("@")[0])).token


@pytest.mark.one_setup
@pytest.mark.parametrize(
    "address",
    [
        "test.test.com",
        "@example.org",
        "a@",
        "a@b@c",
        "a b@example.org",
        "a@exa mple.org",
        "a@.org",
        "a@b..org",
        "a\n@b.org",
        "a\u200b@b.org",
    ],
)
def test_what_is_no_email_is_refused(shared: Service, address: str) -> None:
    assert register(shared, email=address, password=PASSWORD) == ['"email" must be a valid email']


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("", ['"password" is not allowed to be empty']),
        ("Ab1", [SHORT]),
        ("aaa", [SHORT, CLASSES]),
        ("abcdef1", [CLASSES]),
        ("ABCDEF1", [CLASSES]),
        ("Abcdefg", [CLASSES]),
        ("A1" + "a" * 255, ['"password" length must be less than or equal to 256 characters long']),
        ("A1" + "\U0001f600" * 254 + "a", ['"password" length must be less than or equal to 256 characters long']),
        ("Aa1" + "\U0001f600" * 253, None),
        ("Aa1" + "€" * 253, None),
        ("Ab1def", None),
        ("Äß1 \u0000€\U0001f600", None),
        (" Ab1 def ", None),
    ],
)
def test_a_tenants_password_keeps_to_the_published_rule(
    shared: Service, password: str, expected: list[str] | None
) -> None:
    address = email()
    answer = shared.client().post("/tenant", json={"email": address, "password": password})
    if expected is not None:
        assert faults(answer) == expected
        return
    assert answer.status_code == 200, answer.text
    assert shared.client().post("/tenant/login", json={"email": address, "password": password}).status_code == 200


@pytest.mark.one_setup
@pytest.mark.parametrize("path", ["/tenant", "/tenant/login"])
def test_PW7_a_password_of_a_megabyte_is_refused_before_it_is_read(shared: Service, path: str) -> None:
    answer = shared.client().post(path, json={"email": email(), "password": "Aa1" + "x" * 1_000_000})
    assert_refused(answer, 413, "payload_too_large", "The body is too large")


@pytest.mark.one_setup
@pytest.mark.parametrize("path", ["/tenant", "/tenant/login"])
def test_every_fault_of_a_tenants_body_is_listed_in_field_order(shared: Service, path: str) -> None:
    http = shared.client()
    assert faults(http.post(path, json={})) == REQUIRED
    assert faults(http.post(path, content=b"")) == REQUIRED
    assert faults(http.post(path, json={"password": 1, "email": ""})) == [
        '"email" is not allowed to be empty',
        '"password" must be a string',
    ]
    assert faults(http.post(path, json={"password": "", "email": "test.test.com"})) == [
        '"email" must be a valid email',
        '"password" is not allowed to be empty',
    ]


@pytest.mark.one_setup
def test_a_validation_error_has_the_published_shape_to_the_letter(shared: Service) -> None:
    answer = shared.client().post("/tenant", json={"email": "shop@example.org", "password": "Ab1"})
    detail = {
        "message": SHORT,
        "path": ["password"],
        "type": "string.min",
        "context": {"limit": 6, "key": "password"},
    }
    assert answer.json() == {
        "error": {"name": "ValidationError", "details": [detail]},
        "message": "Validation error",
        "code": "validation_error",
        "status": 422,
    }
    missing = shared.client().post("/tenant", json={"email": "shop@example.org"}).json()
    assert missing["error"]["details"] == [
        {
            "message": '"password" is required',
            "path": ["password"],
            "type": "any.required",
            "context": {"key": "password"},
        }
    ]


@pytest.mark.one_setup
@pytest.mark.parametrize("white_list", ["192.0.2.0/24,2001:db8::/32", "none"])
def test_CF6_who_is_not_on_the_white_list_is_told_nothing_but_forbidden(
    store: dict[str, str], tmp_path: Path, white_list: str
) -> None:
    with running(read_settings(tmp_path, {**store, "TENANT_WHITE_LIST": white_list})) as service:
        http = service.client()
        for body in ({"email": email(), "password": PASSWORD}, {}, {"email": 1}):
            assert_refused(http.post("/tenant", json=body), 403, "forbidden", "Forbidden")
        assert http.post("/tenant/login", json={"email": email(), "password": "x"}).status_code == 401


@pytest.mark.one_setup
@pytest.mark.parametrize("white_list", ["*", "127.0.0.1", "10.0.0.0/8, 127.0.0.0/8"])
def test_who_is_on_the_white_list_may_register(store: dict[str, str], tmp_path: Path, white_list: str) -> None:
    with running(read_settings(tmp_path, {**store, "TENANT_WHITE_LIST": white_list})) as service:
        assert fresh(service).token


@pytest.mark.one_setup
def test_CF6_BF7_a_forwarded_address_does_not_open_the_white_list(store: dict[str, str], tmp_path: Path) -> None:
    with running(read_settings(tmp_path, {**store, "TENANT_WHITE_LIST": "192.0.2.1"})) as service:
        headers = {"X-Forwarded-For": "192.0.2.1", "X-Real-IP": "192.0.2.1", "Forwarded": "for=192.0.2.1"}
        answer = service.client().post("/tenant", json={"email": email(), "password": PASSWORD}, headers=headers)
        assert_refused(answer, 403, "forbidden", "Forbidden")


LOCAL_PROXIES: dict[str, dict[str, dict[str, str]]] = {
    "127.0.0.1,10.0.0.0/8": {
        "an address with a port": {"X-Forwarded-For": "203.0.113.9:51234"},
        "IPv6 with a port": {"X-Forwarded-For": "[2001:db8::5]:51234"},
        "an unreadable hop": {"X-Forwarded-For": "unknown"},
        "an unreadable hop before a proxy": {"X-Forwarded-For": "x, 10.0.0.1"},
        "no client at all": {},
        "another header than the one that counts": {"Forwarded": "for=127.0.0.1"},
        "the proxy as its own client": {"X-Forwarded-For": "127.0.0.1"},
        "another loopback address": {"X-Forwarded-For": "127.0.0.2"},
    },
    "": {
        "X-Forwarded-For": {"X-Forwarded-For": "203.0.113.9"},
        "Forwarded": {"Forwarded": "for=203.0.113.9"},
        "Via and X-Real-IP": {"Via": "1.1 proxy", "X-Real-IP": "203.0.113.9"},
        "a client that claims loopback": {"X-Forwarded-For": "127.0.0.1"},
        "DNS rebinding": {"Host": "evil.example"},
        "DNS rebinding, with a port": {"Host": "evil.example:3000", "Origin": "http://evil.example:3000"},
        "a name that begins like a local one": {"Host": "localhost.evil.example"},
        "an address that is not local": {"Host": "192.0.2.1:3000"},
    },
}
"""Requests that reach the service from loopback, by `TRUSTED_PROXIES`."""


def registration(service: Service, **headers: str) -> httpx.Response:
    return service.client().post("/tenant", json={"email": email(), "password": PASSWORD}, headers=headers)


@pytest.mark.one_setup
@pytest.mark.parametrize("trusted", LOCAL_PROXIES)
def test_CF6_F1_S10_no_tenant_is_registered_through_a_local_proxy_that_is_not_configured_exactly(
    store: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, trusted: str
) -> None:
    with running(read_settings(tmp_path, {**store, "TRUSTED_PROXIES": trusted})) as service:
        for headers in LOCAL_PROXIES[trusted].values():
            assert_refused(registration(service, **headers), 403, "forbidden", "Forbidden")
    # Each reason is logged once, with the name of the setting that matters.
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    refused = [sentence for sentence in said if sentence.startswith("registration refused")]
    assert sum("in doubt" in sentence for sentence in refused) == 1
    assert sum("address is not in TENANT_WHITE_LIST" in sentence for sentence in refused) == bool(trusted)
    assert sum("TRUSTED_PROXIES" in sentence for sentence in said if sentence not in refused) == 1
    assert sum("ALLOWED_HOSTS" in sentence for sentence in said) == (not trusted)


@pytest.mark.one_setup
@pytest.mark.parametrize("trusted", LOCAL_PROXIES)
def test_CF6_S10_a_list_that_is_open_to_all_lets_everybody_register(
    store: dict[str, str], tmp_path: Path, trusted: str
) -> None:
    settings = {**store, "TRUSTED_PROXIES": trusted, "TENANT_WHITE_LIST": "*"}
    with running(read_settings(tmp_path, settings)) as service:
        for kind, headers in LOCAL_PROXIES[trusted].items():
            assert registration(service, **headers).status_code == 200, kind


@pytest.mark.one_setup
def test_CF6_S10_a_tenant_is_registered_from_loopback_under_a_loopback_host(shared: Service) -> None:
    for host in ("localhost", "LOCALHOST:3000", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:3000"):
        assert registration(shared, Host=host).status_code == 200, host
    for host in (
        "localhost:x",
        "localhost.",
        "xlocalhost",
        "127.0.0.1.evil.example",
        "[::1",
        "[::2]",
        "::ffff:1.1.1.1",
    ):
        assert registration(shared, Host=host).status_code in {400, 403}, host


@pytest.mark.one_setup
def test_CF6_S10_a_host_that_is_allowed_may_be_used_to_register(store: dict[str, str], tmp_path: Path) -> None:
    with running(read_settings(tmp_path, {**store, "ALLOWED_HOSTS": "auth.example.org"})) as service:
        for host, status in {"auth.example.org": 200, "auth.example.org:443": 200, "evil.example": 400}.items():
            assert registration(service, Host=host).status_code == status


@pytest.mark.one_setup
def test_CF6_S10_a_page_cannot_register_through_the_browser_of_a_listed_client(
    store: dict[str, str], tmp_path: Path
) -> None:
    settings = {**store, "TENANT_WHITE_LIST": "203.0.113.0/24", "TRUSTED_PROXIES": "127.0.0.1"}
    with running(read_settings(tmp_path, settings)) as service:
        listed = {"X-Forwarded-For": "203.0.113.9"}
        assert registration(service, **listed, Host="evil.example", Origin="http://evil.example").status_code == 403
        assert registration(service, **listed, Host="auth.example.org").status_code == 200
        assert registration(service, **listed, Host="203.0.113.1", Origin="http://203.0.113.1").status_code == 200


@pytest.mark.one_setup
def test_BF7_F1_an_unknown_client_is_unknown_in_the_audit_log(store: dict[str, str], tmp_path: Path) -> None:
    settings = {**store, "TENANT_WHITE_LIST": "*", "TRUSTED_PROXIES": "127.0.0.1"}
    with running(read_settings(tmp_path, settings)) as service:
        tenant = fresh(service)
        for number, hop in enumerate(("203.0.113.9:51234", "::ffff:203.0.113.9", "kanarienvogel")):
            body = {"login": f"user-{number}", "email": "a@b", "password": "pw", "sub": "s"}
            tenant.http.post("/user", json=body, headers={**tenant.headers, "X-Forwarded-For": hop})
        events = tenant.get("/tenant/audit").json()["events"]
        addresses = [event["ip"] for event in events if event["action"] == "user.create"]
        assert addresses == ["unknown", "203.0.113.9", "203.0.113.9"]


def test_a_tenant_logs_in_with_a_token_of_its_own_each_time(tenant: Tenant) -> None:
    answer = tenant.http.post("/tenant/login", json={"email": tenant.email, "password": tenant.password})
    assert answer.status_code == 200
    assert set(answer.json()) == {"token", "accessToken"}
    another = log_in(tenant)
    assert len({tenant.token, answer.json()["token"], another}) == 3
    for token in (tenant.token, another):
        assert tenant.http.post("/tenant/verify", json={"token": token}).status_code == 200


def test_C9_a_tenants_login_gives_the_token_under_both_of_its_names(tenant: Tenant) -> None:
    answer = tenant.http.post("/tenant/login", json={"email": tenant.email, "password": tenant.password}).json()
    assert answer["accessToken"] == answer["token"]
    assert tenant.http.get("/tenant", headers={"Authorization": f"Bearer {answer['accessToken']}"}).status_code == 200


def test_EN1_an_unknown_tenant_and_a_wrong_password_are_one_refusal(tenant: Tenant) -> None:
    for body in (
        {"email": email(), "password": tenant.password},
        {"email": tenant.email, "password": tenant.password + "!"},
        {"email": tenant.email, "password": tenant.password.lower()},
    ):
        answer = tenant.http.post("/tenant/login", json=body)
        assert_refused(answer, 401, "incorrect_credentials", "Incorrect email or password")


def test_what_a_tenants_token_says(tenant: Tenant) -> None:
    answer = tenant.http.post("/tenant/verify", json={"token": tenant.token})
    assert answer.status_code == 200
    assert set(answer.json()) == {"decoded"}
    claims = answer.json()["decoded"]
    assert set(claims) == {"id", "login", "aud", "jti", "iat", "isTenant"}
    assert (claims["id"], claims["login"], claims["isTenant"]) == (tenant.id, f"tenant:{tenant.email}", True)
    assert isinstance(claims["iat"], int)
    assert len(claims["jti"]) == 22


def test_a_tenants_token_lives_until_it_is_revoked(service: Service, clock: TurnableClock) -> None:
    tenant = fresh(service)
    clock.turn(seconds=10 * 365 * 86_400)
    assert tenant.get("/user").status_code == 200
    assert tenant.http.post("/tenant/verify", json={"token": tenant.token}).status_code == 200


def test_TENANT_JWT_EXP_ends_a_tenants_token_on_the_second(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock
) -> None:
    with running(read_settings(tmp_path, {**store, "TENANT_JWT_EXP": "1h"}), clock) as service:
        tenant = fresh(service)
        claims = tenant.http.post("/tenant/verify", json={"token": tenant.token}).json()["decoded"]
        assert set(claims) == {"id", "login", "aud", "jti", "iat", "isTenant", "exp"}
        assert claims["exp"] - claims["iat"] == 3600
        clock.turn(milliseconds=3_599_999)
        assert tenant.get("/user").status_code == 200
        clock.turn(milliseconds=1)
        assert_refused(tenant.get("/user"), 401, "not_authorized", "Not Authorized")
        assert_invalid_token(tenant.http.post("/tenant/verify", json={"token": tenant.token}))
        assert_invalid_token(tenant.http.post("/tenant/logout", json={"token": tenant.token}))
        assert tenant.http.post("/tenant/verify", json={"token": log_in(tenant)}).status_code == 200


def test_TK13_a_tenant_logs_out_once_and_its_other_sessions_stay(tenant: Tenant) -> None:
    other_session = log_in(tenant)
    answer = tenant.http.post("/tenant/logout", json={"token": tenant.token})
    assert (answer.status_code, answer.json()) == (200, {"result": 1})
    assert_invalid_token(tenant.http.post("/tenant/logout", json={"token": tenant.token}))
    assert_invalid_token(tenant.http.post("/tenant/verify", json={"token": tenant.token}))
    assert_refused(tenant.get("/user"), 401, "not_authorized", "Not Authorized")
    assert tenant.http.post("/tenant/verify", json={"token": other_session}).status_code == 200


def test_users_sessions_outlive_the_tenants_session_that_opened_them(tenant: Tenant) -> None:
    tenant.create()
    session = tenant.session()
    next_token = log_in(tenant)
    tenant.http.post("/tenant/logout", json={"token": tenant.token})
    tenant.token = next_token
    assert tenant.verify(session).status_code == 200


@pytest.mark.parametrize("path", ["/tenant/verify", "/tenant/logout"])
def test_TK6_a_users_token_is_no_tenants_token(tenant: Tenant, path: str) -> None:
    tenant.create()
    session = tenant.session()
    assert_invalid_token(tenant.http.post(path, json={"token": session}))
    assert tenant.verify(session).status_code == 200


@pytest.mark.one_setup
@pytest.mark.parametrize("path", ["/tenant/verify", "/tenant/logout"])
@pytest.mark.parametrize("garbage", ["x", "a.b.c", "....", "é", "\U0001f600", "x" * 9000, " "])
def test_garbage_is_an_invalid_token(shared: Service, path: str, garbage: str) -> None:
    assert_invalid_token(shared.client().post(path, json={"token": garbage}))


@pytest.mark.one_setup
@pytest.mark.parametrize("path", ["/tenant/verify", "/tenant/logout"])
@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": None}, {"tokens": "x"}])
def test_a_missing_token_is_said_to_be_missing(shared: Service, path: str, body: dict[str, object]) -> None:
    assert_token_missing(shared.client().post(path, json=body))
    assert_token_missing(shared.client().post(path, content=b""))


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("body", "rule", "message"),
    [
        ({}, "any.required", '"token" is required'),
        ({"token": ""}, "any.empty", '"token" is not allowed to be empty'),
        ({"token": None}, "string.base", '"token" must be a string'),
    ],
)
def test_C11_a_missing_token_has_the_shape_that_backend_auth_gives_it(
    shared: Service, body: dict[str, object], rule: str, message: str
) -> None:
    answer = shared.client().post("/tenant/verify", json=body)
    assert answer.status_code == 422
    assert answer.json() == {
        "error": {
            "name": "ValidationError",
            "details": [{"message": message, "path": ["token"], "type": rule, "context": {"key": "token"}}],
        },
        "message": "Token is missing",
        "code": "token_missing",
        "status": 422,
    }


@pytest.mark.one_setup
@pytest.mark.parametrize("path", ["/tenant/verify", "/tenant/logout"])
@pytest.mark.parametrize("token", [1, True, ["x"], {"a": 1}, 1.5])
def test_a_token_that_is_no_text_is_named_as_such(shared: Service, path: str, token: object) -> None:
    assert faults(shared.client().post(path, json={"token": token})) == ['"token" must be a string']
