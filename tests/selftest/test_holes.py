"""The self-test detects each of a list of real defects."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.routes import ENDPOINTS
from doorward.selftest.checks import authentication, matrix, responses
from doorward.selftest.client import Client, ServiceAddress
from doorward.selftest.findings import PROMISES, Check, Finding, State
from doorward.selftest.fixture import CannotRun, Fixture
from doorward.selftest.requests import named
from doorward.selftest.runner import CATALOGUE, LAST, run_checks
from faults.sizes import TORTURE
from harness import Service, read_settings, running
from promises.catalogue import promises
from selftest import holes
from selftest.relay import Asked, Forward, Hole, Said, relaying, tight

pytestmark = pytest.mark.slow

QUIET = [check for check in CATALOGUE if not check.load]
"""Everything but what loads the service, which takes longer than all the rest."""

EVERYTHING: Callable[[Asked], bool] = lambda _: True  # noqa: E731 - a value of the tables below


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(read_settings(tmp_path_factory.mktemp("data"))) as service:
        yield service


def client(url: str, patience: float = 20, timeout: float = 10) -> Client:
    parts = urlsplit(url)
    return Client(ServiceAddress(str(parts.hostname), int(parts.port or 0)), timeout, rate=0, max_wait=patience)


def tried(url: str, catalogue: Sequence[Check] = QUIET, patience: float = 20) -> dict[str, Finding]:
    findings: list[Finding] = []
    run_checks(Fixture(client(url, patience)), findings.append, catalogue)
    return {finding.check: finding for finding in findings}


def matching(pattern: str) -> list[Check]:
    found = [check for check in CATALOGUE if re.search(pattern, check.name)]
    assert found, pattern
    return found


def failed(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.state is State.FAILED}


def test_TI1_TK14_TR5_a_service_without_a_hole_withstands_everything(service: Service) -> None:
    with relaying(service.port) as url:
        findings = tried(url)
    assert {finding for finding in findings.values() if finding.state is not State.PASSED} == set()
    assert list(findings) == [*(check.name for check in QUIET), LAST.name]


HOLES: list[tuple[str, str, Callable[[], Hole]]] = [
    (
        "TI1",
        r"^GET /user/\{login\}: another",
        holes.confusing_tenants(lambda asked: asked.method == "GET" and asked.path.startswith("/user/")),
    ),
    (
        "TI1",
        r"^DELETE /user/\{login\}: another",
        holes.confusing_tenants(lambda asked: asked.method == "DELETE"),
    ),
    (
        "TI1",
        r"^GET /user: another",
        holes.remembering(lambda asked: asked.method == "GET" and asked.path == "/user", lambda asked: asked.path),
    ),
    ("TI1", "API key without the permission", holes.promoting_keys),
    ("TI1", "rejected without a valid credential", holes.lending_credentials),
    (
        "TI1",
        "served routes match",
        holes.answering(lambda asked: asked.path == "/openapi.json", holes.with_a_route),
    ),
    ("TI2", "neither verified nor logged out", holes.ending_for_anybody),
    (
        "TI2",
        "neither verified nor logged out",
        holes.confusing_tenants(lambda asked: asked.path == "/auth/verify"),
    ),
    (
        "TI3",
        "same login",
        holes.remembering(
            lambda asked: (asked.method, asked.path) == ("POST", "/user"), lambda asked: json.loads(asked.body)["login"]
        ),
    ),
    (
        "TI4",
        "look like patterns",
        holes.answering(lambda asked: "q=%25" in asked.target, holes.saying({"users": [{"login": "bob"}]})),
    ),
    ("TI5", "named in headers", holes.believing_names()),
    (
        "TI5",
        "No path leads",
        holes.answering(
            lambda asked: asked.path.startswith("/tenant/") and asked.path.endswith("/user"), holes.saying({})
        ),
    ),
    (
        "TI6",
        "Undocumented fields",
        holes.answering(lambda asked: (asked.method, asked.path) == ("POST", "/user"), holes.merged),
    ),
    (
        "TI9",
        "Another tenant's ids",
        holes.answering(
            lambda asked: asked.path.count("-") == 4 and asked.method == "GET", holes.holding("somebody", 200)
        ),
    ),
    (
        "TI9",
        "Another tenant's cursor",
        holes.answering(
            lambda asked: re.search("cursor=[^0]", asked.target) is not None,
            holes.saying({"users": [{"login": "bob"}]}),
        ),
    ),
    (
        "EN4",
        "registered e-mail address",
        holes.answering(lambda asked: b"Mallorys-Own-1" in asked.body, holes.saying({"id": "x", "token": "y"})),
    ),
    ("TK7", "Issue and expiry times", holes.answering(lambda asked: asked.path == "/auth/verify", holes.later)),
    (
        "TK9",
        "oversized token",
        holes.answering(lambda asked: b"AAAAAAAA" * 99 in asked.body, holes.saying({"decoded": {}})),
    ),
    ("TK1", "A user token .* another algorithm", holes.believing_claims),
    ("TK1", "A tenant token .* another algorithm", holes.believing_claims),
    ("TK3", "names or contains a key", holes.believing_claims),
    ("TK4", "A user token .* encoded differently", holes.changing(holes.unpadded)),
    ("TK5", "A user token .* another token's signature", holes.believing_claims),
    (
        "TK6",
        "one kind",
        holes.answering(lambda asked: asked.path == "/tenant/verify", holes.holding("yes", 200)),
    ),
    (
        "TK13",
        "After a logout",
        holes.remembering(lambda asked: asked.path == "/auth/verify", lambda asked: asked.body),
    ),
    ("TK13", "After a logout", holes.swallowing("POST", "/auth/logout")),
    ("TK13", "After a revocation", holes.swallowing("POST", "/oauth/revoke")),
    ("TK13", "A tenant's token is rejected after its logout", holes.swallowing("POST", "/tenant/logout")),
    (
        "TK14",
        "disabling the user",
        holes.remembering(lambda asked: asked.path == "/forward-auth", lambda asked: asked.bearer),
    ),
    ("TK14", "disabling the user", holes.swallowing("PATCH", "", b'"disabled": true')),
    ("TK14", "new password set by the tenant", holes.swallowing("PATCH", "", b'"password"')),
    ("TK14", "revoking all of the user's", holes.swallowing("DELETE", "/sessions")),
    ("TK14", "A tenant's password change", holes.swallowing("POST", "/tenant/password")),
    ("PW9", "reset of the password", holes.swallowing("POST", "/auth/reset", b'"another"')),
    (
        "TK18",
        "Reuse of a refresh token",
        holes.remembering(lambda asked: asked.path == "/auth/refresh", lambda asked: asked.body),
    ),
    ("DU5", "revoked API key", holes.swallowing("DELETE", "", b"")),
    (
        "BF5",
        "Password guessing",
        holes.answering(
            lambda asked: asked.path == "/auth",
            lambda _, said: Said(403, said.headers, b'{"code":"incorrect_password"}') if said.status == 429 else said,
        ),
    ),
    ("IN2", "POST /auth/verify: duplicate JSON names", holes.changing(holes.spelled_anew)),
    ("IN3", "Validation errors name", holes.answering(lambda asked: asked.path == "/user", holes.repeating)),
    ("IN4", "POST /user: other content types", holes.changing(holes.typed)),
    (
        "IN1",
        "PATCH /tenant: an oversized body",
        holes.changing(lambda asked: Asked(asked.method, asked.target, asked.headers, asked.body[:1000])),
    ),
    (
        "IN10",
        "repeated query parameter",
        holes.changing(lambda asked: Asked(asked.method, asked.target.partition("&")[0], asked.headers, asked.body)),
    ),
    (
        "IN11",
        "(^PATCH /tenant: another|a server error)",
        holes.answering(lambda asked: asked.method == "PATCH", holes.holding("Traceback (most recent call last)", 500)),
    ),
    (
        "PW10",
        "(^GET /users/export: another|a password hash)",
        holes.answering(
            lambda asked: asked.path == "/users/export", holes.holding("$argon2id$v=19$m=19456,t=2,p=1$c2")
        ),
    ),
    ("TR4", "Methods", holes.swallowing("TRACE", "")),
    (
        "TR5",
        "(^GET /user: another|security headers)",
        holes.answering(EVERYTHING, holes.without("x-content-type-options")),
    ),
    (
        "TR5",
        "(^GET /user: another|security headers)",
        holes.answering(lambda asked: asked.path == "/user", holes.without("x-request-id")),
    ),
    ("TR6", "other origins", holes.changing(holes.allowing_origins)),
    ("TR11", "in a URL", holes.changing(lambda asked: Asked(asked.method, asked.path, asked.headers, asked.body))),
    ("PR2", "^GET /health/live: another", holes.swallowing("DELETE", "/tenant")),
]


@pytest.mark.parametrize(("promise", "pattern", "make"), HOLES, ids=[f"{it[0]}-{n}" for n, it in enumerate(HOLES)])
def test_TI1_TK14_a_hole_is_found(service: Service, promise: str, pattern: str, make: Callable[[], Hole]) -> None:
    with relaying(service.port, make()) as url:
        findings = tried(url, matching(pattern))
    shown = {one for name in failed(findings) for one in findings[name].promises}
    assert promise in shown, findings
    for finding in findings.values():
        # What is told to operators, and their logs, names no secret.
        assert not re.search(r"eyJ|dw_|dr_|\$argon2", finding.why)


def test_TI1_a_service_that_confuses_tenants_fails_at_every_route_that_names_an_object(service: Service) -> None:
    with relaying(service.port, holes.confusing_tenants(EVERYTHING)()) as url:
        found = failed(tried(url, matching("another tenant's objects look like missing ones")))
    naming = {named(it) for it in ENDPOINTS if "{" in it.path and it.path != "/user/{login}" and it.method != "PUT"}
    # A key's id, a session's, and a login: what is another's is told, changed or ended here.
    assert naming <= {name.partition(":")[0] for name in found}


def test_the_hole_is_what_fails_and_nothing_else(service: Service) -> None:
    dropping = holes.answering(lambda asked: asked.path == "/auth", holes.without("x-frame-options"))()
    with relaying(service.port, dropping) as url:
        findings = tried(url)
    assert failed(findings) == {"Every response had the security headers and a request id"}
    [why] = [finding.why for finding in findings.values() if finding.why]
    assert "x-frame-options of POST /auth" in why


def test_a_request_without_an_answer_is_a_finding_and_the_rest_goes_on(service: Service) -> None:
    def hole(asked: Asked, forward: Forward) -> Said | None:
        return None if asked.path == "/auth/refresh" else forward(asked)

    with relaying(service.port, hole) as url:
        findings = tried(url, matching("^(POST /auth/refresh|GET /user): another"))
    assert [finding.state for finding in findings.values()] == [State.PASSED, State.FAILED, State.PASSED]
    assert any("There was no response" in finding.why for finding in findings.values())


def test_what_a_budget_holds_up_is_not_tried_and_says_so(service: Service) -> None:
    def hole(asked: Asked, forward: Forward) -> Said:
        said = forward(asked)
        if asked.path != "/auth/refresh":
            return said
        return Said(429, (*said.headers, ("retry-after", "3600")), b'{"code":"too_many_requests"}')

    with relaying(service.port, hole) as url:
        findings = tried(url, matching("Reuse of a refresh token"))
    assert [finding.state for finding in findings.values()] == [State.NOT_TRIED, State.PASSED]
    assert "A rate limit was exhausted" in findings["Reuse of a refresh token revokes its session"].why


def test_a_wait_that_is_asked_for_is_waited(service: Service) -> None:
    told: list[str] = []

    def hole(asked: Asked, forward: Forward) -> Said:
        if asked.path == "/auth/refresh" and not told:
            told.append(asked.path)
            return Said(429, (("retry-after", "1"),), b"{}")
        return forward(asked)

    with relaying(service.port, hole) as url:
        findings = tried(url, matching("Reuse of a refresh token"))
    assert told
    assert failed(findings) == set()


def test_a_service_that_goes_away_ends_the_self_test(service: Service) -> None:
    gone: list[str] = []

    def hole(asked: Asked, forward: Forward) -> Said | None:
        if asked.path == "/auth/refresh":
            gone.append(asked.path)
        return None if gone else forward(asked)

    with relaying(service.port, hole) as url, pytest.raises(CannotRun, match="stopped responding"):
        tried(url, matching("Reuse of a refresh token"), patience=1)


def test_PR2_tenants_are_removed_whatever_happens_and_a_lost_answer_leaves_none(service: Service) -> None:
    seen = holes.Watching()

    def hole(asked: Asked, forward: Forward) -> Said | None:
        said = seen.see(asked, forward(asked))
        # The second tenant is made, and nobody hears of it.
        return None if len(seen.tokens) == 2 and asked.path == "/tenant" and asked.method == "POST" else said

    findings: list[Finding] = []
    with relaying(service.port, hole) as url, pytest.raises(CannotRun):
        run_checks(Fixture(client(url)), findings.append)
    assert [(finding.check, finding.state) for finding in findings] == [(LAST.name, State.PASSED)]
    with closing(service.client()) as http:
        for token in seen.tokens:
            assert http.get("/user", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_PR2_a_tenant_that_could_not_be_removed_is_named(service: Service) -> None:
    with relaying(service.port, holes.swallowing("DELETE", "/tenant")()) as url:
        findings = tried(url, [])
    assert findings[LAST.name].state is State.FAILED
    stubborn = lambda asked, forward: (  # noqa: E731 - a hole as the others
        Said(503, (("retry-after", "9999"),), b"{}") if asked.method == "DELETE" else forward(asked)
    )
    with relaying(service.port, stubborn) as url:
        tenants = Fixture(client(url))
        findings = {}
        tenants.client.max_wait = 0
        with pytest.raises(CannotRun):
            run_checks(tenants, lambda finding: findings.update({finding.check: finding}), [])
    assert "selftest-" in findings[LAST.name].why


def test_TI1_every_route_is_attacked_and_one_that_cannot_be_is_a_failed_check(service: Service) -> None:
    names = [check.name for check in CATALOGUE]
    for endpoint in ENDPOINTS:
        kinds = [name for name in names if name.startswith(f"{named(endpoint)}: ")]
        assert kinds, named(endpoint)
        if endpoint.auth is Auth.TENANT:
            assert any("rejected without a valid credential" in name for name in kinds)
            assert any("API key without the permission" in name for name in kinds)
    planets = (
        Endpoint(
            "GET",
            "/planet/{planet}",
            operation_id="getPlanet",
            summary="Get a planet",
            tag="Planets",
            handler=ENDPOINTS[0].handler,
            auth=Auth.TENANT,
        ),
    )
    catalogue = [
        check
        for check in (*matrix.checks(planets), *authentication.checks(planets), *responses.checks(planets))
        if "planet" in check.name
    ]
    with relaying(service.port, tight) as url:
        findings = tried(url, catalogue)
    assert len(failed(findings)) == len(catalogue) == 3
    for finding in findings.values():
        assert finding.check == LAST.name or "takes the path segment 'planet'" in finding.why


def test_no_two_checks_have_one_name_and_each_shows_a_promise_in_the_promises_own_words() -> None:
    names = [check.name for check in (*CATALOGUE, LAST)]
    assert len(names) == len(set(names))
    assert {promise for check in (*CATALOGUE, LAST) for promise in check.promises} == set(PROMISES)
    assert {promise.id: promise.says for promise in promises() if promise.id in PROMISES} == dict(PROMISES)


def test_TI8_beside_noisy_neighbours_a_sound_service_answers_and_says_how_fast(service: Service) -> None:
    findings = tried(service.url, [check for check in CATALOGUE if check.load])
    by_state = {
        finding.check: (finding.state, finding.why) for finding in findings.values() if finding.check != LAST.name
    }
    untried = [name for name, (state, _) in by_state.items() if state is State.NOT_TRIED]
    assert untried == ["Other tenants are served while a client holds TLS connections without a handshake"]
    for name, (state, why) in by_state.items():
        if name not in untried:
            assert state is State.PASSED, why
            assert re.fullmatch(r"Alone: verify [\d.]+ ms, login [\d.]+ ms; under attack: verify .* ms.", why)


@pytest.mark.parametrize(
    ("neighbour", "hole"),
    [
        ("expensive", holes.one_at_a_time(lambda asked: b'"costly-' in asked.body and asked.path == "/auth")),
        ("are rejected", holes.one_at_a_time(lambda asked: len(asked.body) > 1_000_000)),
        ("do not exist", holes.one_at_a_time(lambda asked: asked.path == "/tenant/login")),
        ("expensive", holes.refusing_beside(lambda asked: b'"costly-' in asked.body and asked.path == "/auth")),
    ],
)
def test_TI8_a_service_in_which_a_neighbour_holds_up_the_others_fails(
    service: Service, neighbour: str, hole: Callable[[], Hole]
) -> None:
    with relaying(service.port, hole()) as url:
        findings = tried(url, matching(f"served while a client .*{neighbour}"))
    [name] = failed(findings)
    assert re.search(r"waits too long|of another tenant returned 503", findings[name].why)


@pytest.mark.skipif(not TORTURE, reason="long: the check waits for answers that never come")
def test_TI8_a_service_that_reads_bodies_before_credentials_one_by_one_fails(service: Service) -> None:
    findings: dict[str, Finding] = {}
    with relaying(service.port, one_body=True) as url:
        stand = Fixture(client(url, timeout=2))
        run_checks(stand, lambda finding: findings.update({finding.check: finding}), matching("half sent"))
    [name] = failed(findings)
    assert re.search(r"There was no response|waits too long", findings[name].why)


def test_TI1_nobody_elses_tenant_is_touched(tmp_path: Path) -> None:
    with running(read_settings(tmp_path)) as service:
        tenant = service.tenant()
        tenant.create()
        token = tenant.session()
        before = [tenant.get(path).json() for path in ("/user", "/tenant", "/tenant/audit", "/user/alice/sessions")]
        tried(service.url)
        after = [tenant.get(path).json() for path in ("/user", "/tenant", "/tenant/audit", "/user/alice/sessions")]
        assert after == before
        assert tenant.verify(token).status_code == 200


def test_TI1_also_where_tenants_are_not_apart_nobody_elses_user_is_removed(service: Service) -> None:
    bystander = service.tenant("bystander@example.org")
    for login in ("alice", "eve", "carol"):
        bystander.create(login)
    token = bystander.session()

    def users() -> list[Any]:
        found = bystander.get("/user").json()["users"]
        return [{**user, "lastActivity": 0} for user in found if user["login"] in {"alice", "eve", "carol"}]

    before = users()

    def hole(asked: Asked, forward: Forward) -> Said:
        said = forward(asked)
        if said.status < 400 and (asked.method, asked.path) != ("GET", "/user"):
            return said
        # Whatever is not found, and every list, is the bystander's.
        return forward(asked.with_headers(authorization=f"Bearer {bystander.token}"))

    with relaying(service.port, hole) as url:
        findings = tried(url)
    assert len(failed(findings)) > 10
    untried = {name for name, finding in findings.items() if finding.state is State.NOT_TRIED}
    assert "After revoking the sessions of all users every token is rejected at every endpoint" in untried
    assert "DELETE /tenant/sessions: rejected without a valid credential" in untried
    assert users() == before
    assert bystander.verify(token).status_code == 200
