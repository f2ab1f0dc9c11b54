"""Bodies above 16 kB: authentication, charges, memory, and responses before they arrive."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from doorward.http import middleware
from doorward.http.connection.registry import ConnectionLimits
from doorward.http.large_bodies import BodyMemory
from harness import Service, Tenant, TurnableClock, read_settings, running
from internals import connections
from raw_http import Wire, request, wire

pytestmark = pytest.mark.one_setup

BATCH, IMPORT = "/auth/verify/batch", "/users/import"
PATHS = [BATCH, IMPORT]
SIZE = 1 << 20


def body(path: str, size: int = SIZE) -> bytes:
    """Return a valid body of this size, the most of which is white space."""
    row = {"login": "alice", "email": "a@b.example", "sub": "s"}
    return json.dumps({"tokens": ["x"]} if path == BATCH else {"users": [row]}).encode().ljust(size)


def head(path: str, credential: str | None, size: int | None = SIZE, more: dict[str, str] | None = None) -> bytes:
    fields = {"Content-Type": "application/json", **(more or {})}
    fields |= {"Transfer-Encoding": "chunked"} if size is None else {"Content-Length": str(size)}
    if credential:
        fields["Authorization"] = f"Bearer {credential}"
    return request("POST", path, fields)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def key(tenant: Tenant, *permissions: str) -> str:
    made = tenant.post("/tenant/key", {"name": "key", "permissions": list(permissions)})
    assert made.status_code == 201, made.text
    text: str = made.json()["key"]
    return text


def memory(service: Service) -> BodyMemory:
    return cast("BodyMemory", service.app._app.routes[0].app._body_memory)


@pytest.fixture
def line(shared: Service) -> Iterator[Wire]:
    with wire(shared.port) as line:
        yield line


Start = Callable[..., Service]


@pytest.fixture
def start(store: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start a service with limits and settings of one's own, on a turnable clock."""
    with ExitStack() as stack:

        def start(limits: ConnectionLimits | None = None, **more: str) -> Service:
            settings = read_settings(tmp_path, {**store, **more})
            return stack.enter_context(running(settings, TurnableClock(), limits))

        yield start


# ------------------------------------------------------------------------------------------------ who may send one


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [SIZE, None], ids=["a length", "chunks"])
def test_S3_without_a_credential_it_is_refused_before_it_is_sent(line: Wire, path: str, size: int | None) -> None:
    answer = line.send(head(path, None, size)).reply()
    assert (answer.status, answer.code) == (401, "not_authorized")


@pytest.mark.parametrize("path", PATHS)
def test_S3_what_was_refused_on_its_head_does_not_disturb_what_follows(line: Wire, tenant: Tenant, path: str) -> None:
    line.send(head(path, "dw_nobody") + body(path) + request("GET", "/user", tenant.headers))
    assert [line.reply().status for _ in range(2)] == [401, 200]
    assert line.send(head(path, tenant.token) + body(path)).reply().status == 200


@pytest.mark.parametrize(("path", "permission"), [(BATCH, "users:write"), (IMPORT, "verify")])
def test_S3_without_the_permission_it_is_refused_before_it_is_sent(
    line: Wire, tenant: Tenant, path: str, permission: str
) -> None:
    assert line.send(head(path, key(tenant, permission))).reply().code == "permission_denied"


@pytest.mark.parametrize("path", PATHS)
def test_S3_a_body_of_another_type_is_refused_before_it_is_sent(shared: Service, tenant: Tenant, path: str) -> None:
    for credential, status in ((tenant.token, 415), (None, 401)):
        with wire(shared.port) as line:
            sent = head(path, credential, more={"Content-Type": "text/csv"})
            assert line.send(sent).reply().status == status


def test_S3_half_sent_bodies_of_strangers_take_no_memory(shared: Service) -> None:
    with ExitStack() as stack:
        before = set(connections(shared))
        for number in range(30):
            line = stack.enter_context(wire(shared.port))
            line.send(head(PATHS[number % 2], None) + b" " * 500_000)
            assert line.reply().status == 401
        held = set(connections(shared)) - before
        assert len(held) >= 30
        assert sum(len(connection.cycle.body) for connection in held) == 0
    assert memory(shared).in_use == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("chunked", [False, True])
def test_S3_a_session_that_ends_while_the_body_arrives_is_over(
    shared: Service, tenant: Tenant, path: str, *, chunked: bool
) -> None:
    credential = key(tenant, "verify", "users:write")
    sent = body(path)
    with wire(shared.port) as line:
        half = sent[: SIZE // 2]
        line.send(head(path, credential, None if chunked else SIZE) + (chunk(half) if chunked else half))
        shared.eventually(lambda: memory(shared).in_use)
        [known] = tenant.get("/tenant/key").json()["keys"]
        assert tenant.http.delete(f"/tenant/key/{known['id']}", headers=tenant.headers).status_code == 200
        rest = sent[SIZE // 2 :]
        line.send(chunk(rest) + b"0\r\n\r\n" if chunked else rest)
        assert line.reply().status == 401
    assert tenant.get("/user").json()["users"] == []


# ------------------------------------------------------------------------------------------------ being told to go on


@pytest.mark.parametrize("path", PATHS)
def test_S3_only_who_may_send_a_body_is_told_to_go_on(shared: Service, tenant: Tenant, path: str) -> None:
    expecting = {"Expect": "100-continue"}
    with wire(shared.port) as line:
        assert line.send(head(path, tenant.token, more=expecting)).reply().status == 100
        assert line.send(body(path)).reply().status == 200
        answer = line.send(head(path, None, more=expecting)).reply()
        # Nobody knows whether the body still comes, so nothing more is read.
        assert (answer.status, answer.header("connection")) == (401, "close")
        assert line.is_closed()
    with wire(shared.port) as line:
        answer = line.send(head(path, tenant.token, SIZE + 1, expecting)).reply()
        assert (answer.status, answer.header("connection")) == (413, "close")


def test_an_expectation_of_HTTP_1_0_is_ignored(shared: Service, tenant: Tenant) -> None:
    sent = request("POST", BATCH, {**tenant.headers, "Expect": "100-continue"}, body(BATCH, 20_000), version="HTTP/1.0")
    with wire(shared.port) as line:
        assert line.send(sent).reply().status == 200


@pytest.mark.parametrize("expectation", ["100-Continue", "nothing"])
def test_other_expectations_and_spellings(shared: Service, tenant: Tenant, expectation: str) -> None:
    with wire(shared.port) as line:
        line.send(head(BATCH, tenant.token, 20_000, {"Expect": expectation}))
        if expectation == "100-Continue":
            assert line.reply().status == 100
        assert line.send(body(BATCH, 20_000)).reply().status == 200


# ------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("chunked", [False, True])
def test_S3_bodies_in_flight_are_bounded(start: Start, *, chunked: bool) -> None:
    service = start()
    tenant = service.tenant()
    memory(service).limit = 2 * SIZE + 20_000
    sent = body(BATCH)
    with wire(service.port) as first, wire(service.port) as second:
        half = sent[: SIZE // 2]
        first.send(head(BATCH, tenant.token, None if chunked else SIZE) + (chunk(half) if chunked else half))
        service.eventually(lambda: memory(service).in_use == SIZE)
        answer = second.send(head(IMPORT, tenant.token)).reply()
        assert (answer.status, answer.code, answer.header("retry-after")) == (503, "too_many_large_bodies", "1")
        # A smaller one still fits, and those that are no larger than any other are not counted.
        with wire(service.port) as third:
            assert third.send(head(BATCH, tenant.token, 18_000) + body(BATCH, 18_000)).reply().status == 200
            assert third.send(head(BATCH, tenant.token, 16_384) + body(BATCH, 16_384)).reply().status == 200
        rest = sent[SIZE // 2 :]
        first.send(chunk(rest) + b"0\r\n\r\n" if chunked else rest)
        assert first.reply().status == 200
    assert memory(service).in_use == 0
    assert tenant.http.post(BATCH, content=sent, headers=_json(tenant)).status_code == 200


@pytest.mark.parametrize("size", [SIZE, None], ids=["a length", "chunks"])
def test_S3_a_tenant_leaves_memory_to_others(start: Start, size: int | None) -> None:
    service = start(BUDGET_VERIFY="off")
    tenant, other = service.tenant(), service.tenant("other@example.org")
    with ExitStack() as stack:
        for _ in range(8):
            line = stack.enter_context(wire(service.port))
            # Nothing of the body follows, so it costs next to no budget.
            line.send(head(BATCH, tenant.token, size))
        service.eventually(lambda: memory(service).in_use == 8 * SIZE)
        line = stack.enter_context(wire(service.port))
        assert line.send(head(BATCH, tenant.token, size)).reply().code == "too_many_large_bodies"
        for path in PATHS:
            assert other.http.post(path, content=body(path), headers=_json(other)).status_code == 200
    service.eventually(lambda: memory(service).in_use == 0)


def test_S3_a_client_that_goes_away_leaves_its_memory_to_others(start: Start) -> None:
    service = start(ConnectionLimits(body_time=0.3))
    tenant = service.tenant()
    for ends in ("closes", "waits"):
        with wire(service.port) as line:
            line.send(head(BATCH, tenant.token) + b" " * 300_000)
            service.eventually(lambda: memory(service).in_use == SIZE)
            if ends == "waits":
                assert line.reply().code == "request_timeout"
        service.eventually(lambda: memory(service).in_use == 0)


def test_S3_a_body_may_take_longer_than_a_handler(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "HANDLER_TIMEOUT", 0.3)
    service = start()
    tenant = service.tenant()
    sent = body(BATCH)
    with wire(service.port) as line:
        line.send(head(BATCH, tenant.token) + sent[:500_000])
        time.sleep(0.8)
        assert line.send(sent[500_000:]).reply().status == 200


# ------------------------------------------------------------------------------------------------------- budgets


def _json(tenant: Tenant, credential: str = "") -> dict[str, str]:
    return {"Authorization": f"Bearer {credential or tenant.token}", "Content-Type": "application/json"}


def _turn(service: Service, seconds: float) -> None:
    assert service.clock
    service.clock.turn(seconds=seconds)


@pytest.mark.parametrize("path", PATHS)
def test_S2_large_bodies_are_charged_by_their_bytes_before_they_are_read(start: Start, path: str) -> None:
    service = start(BUDGET_VERIFY="100:1500")
    tenant, other = service.tenant(), service.tenant("other@example.org")
    hostile = body(path).replace(b'["x"]', b"[{},{").replace(b'"users": [', b'"users": {')
    credential = key(tenant, "verify", "users:write")
    assert tenant.http.post(path, content=hostile, headers=_json(tenant, credential)).status_code == 400
    with wire(service.port) as line:
        # A megabyte is a thousand units, and there were fifteen hundred.
        answer = line.send(head(path, credential)).reply()
        assert (answer.status, answer.code) == (429, "too_many_requests")
        waits = int(answer.header("retry-after") or 0)
        assert 5 <= waits <= 7
    # Neither what costs less, nor questions, nor another tenant are concerned.
    assert tenant.http.post(path, content=body(path, 300_000), headers=_json(tenant)).status_code == 200
    assert tenant.verify("x").status_code == 400
    assert other.http.post(path, content=body(path), headers=_json(other)).status_code == 200
    _turn(service, 11)
    assert tenant.http.post(path, content=body(path), headers=_json(tenant)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_S2_chunks_are_charged_as_they_come(start: Start, path: str) -> None:
    service = start(BUDGET_VERIFY="100:600")
    tenant = service.tenant()
    with wire(service.port) as line:
        line.send(head(path, tenant.token, None))
        for _ in range(20):
            line.send(chunk(b" " * 50_000))
        assert line.reply().code == "too_many_requests"
    assert memory(service).in_use == 0


@pytest.mark.parametrize("path", PATHS)
def test_S2_a_body_that_costs_more_than_there_ever_is_takes_all_of_it(start: Start, path: str) -> None:
    service = start(BUDGET_VERIFY="10:100")
    tenant = service.tenant()
    for _ in range(2):
        assert tenant.http.post(path, content=body(path), headers=_json(tenant)).status_code == 200
        assert tenant.http.post(path, content=body(path), headers=_json(tenant)).status_code == 429
        _turn(service, 11)


def test_S2_a_batch_is_charged_by_its_items_too(start: Start) -> None:
    service = start(BUDGET_VERIFY="10:100")
    tenant = service.tenant()
    batch = {"tokens": ["x"] * 60}
    assert [tenant.post(BATCH, batch).status_code for _ in range(2)] == [200, 429]
    assert tenant.post(BATCH, {"tokens": ["x"] * 40}).status_code == 200


REFUSED: dict[str, Callable[[Tenant], httpx.Response]] = {
    "an invalid body": lambda tenant: tenant.post("/user", {"login": 1}),
    "no JSON": lambda tenant: tenant.http.post("/user", content=b"{", headers=_json(tenant)),
    "another type": lambda tenant: tenant.http.post("/user", content=b"{}", headers=tenant.headers),
    "no type that is there": lambda tenant: tenant.http.get("/user", headers={**tenant.headers, "Accept": "text/html"}),
    "nobody of this name": lambda tenant: tenant.delete("nobody"),
    "an invalid flag": lambda tenant: tenant.http.delete("/tenant/sessions?tenant=x", headers=tenant.headers),
    "an empty batch": lambda tenant: tenant.post(BATCH, {"tokens": []}),
    "an import of nothing": lambda tenant: tenant.post(IMPORT, {"users": {}}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_S2_refused_requests_of_authenticated_callers_cost_budget(start: Start, name: str) -> None:
    service = start(BUDGET_VERIFY="10:20")
    tenant, other = service.tenant(), service.tenant("other@example.org")
    tenant.create("alice")
    token = tenant.session("alice")
    _turn(service, 10)
    answers = [REFUSED[name](tenant).status_code for _ in range(30)]
    assert answers[0] in {400, 404, 406, 415, 422}
    assert 429 not in answers[:15]
    assert set(answers[22:]) == {429}
    # Before more is done, but for questions, which the tenant's application needs, and for others.
    assert tenant.get("/tenant").status_code == 429
    assert tenant.verify(token).status_code == 200
    assert other.delete("nobody").status_code == 404
    _turn(service, 1)
    assert tenant.get("/tenant").status_code == 200


def test_S2_refused_requests_cost_more_if_they_are_large(start: Start) -> None:
    service = start(BUDGET_VERIFY="10:40")
    tenant = service.tenant()
    large = b'{"x":[' + b"{}," * 5000 + b"1]}"
    answers = [tenant.http.post("/user", content=large, headers=_json(tenant)).status_code for _ in range(4)]
    assert answers == [422, 422, 429, 429]
    # What was left went with the third one, so that no more of them are read.
    assert tenant.get("/tenant").status_code == 429


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"token":1}', b'{"token":"x"}', b'{"x":[' + b"{}," * 5000 + b"1]}"])
def test_S2_whatever_proves_nothing_is_charged_to_its_address(start: Start, body: bytes) -> None:
    service = start(THROTTLER_MAX="5", THROTTLER_INTERVAL="60000")
    http = service.client()
    for path in ("/tenant/verify", "/tenant/logout"):
        answers = [http.post(path, content=body, headers={"Content-Type": "application/json"}) for _ in range(8)]
        assert {answer.status_code for answer in answers[:5]} <= {400, 422}
        assert [answer.status_code for answer in answers[5:]] == [429] * 3
        _turn(service, 61)


def test_S2_a_key_without_the_permission_spends_the_tenants_budget(start: Start) -> None:
    service = start(BUDGET_VERIFY="10:20")
    tenant = service.tenant()
    narrow = {"Authorization": f"Bearer {key(tenant, 'verify')}"}
    answers = [tenant.http.get("/user", headers=narrow).status_code for _ in range(25)]
    assert answers == [403] * 20 + [429] * 5


QUESTIONS: dict[str, Callable[[Tenant, str], httpx.Response]] = {
    "verify": lambda tenant, token: tenant.verify(token),
    "gateway": lambda tenant, token: tenant.http.get(
        "/forward-auth", headers={"X-Doorward-Key": tenant.token, "Authorization": f"Bearer {token}"}
    ),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_S2_questions_answered_with_no_are_counted_apart(start: Start, name: str) -> None:
    service = start(BUDGET_VERIFY="10:20")
    tenant = service.tenant()
    tenant.create("alice")
    token = tenant.session("alice")
    _turn(service, 10)
    # Made-up tokens reach an application from anywhere. They spend neither what true ones need nor what logins need.
    answers = [QUESTIONS[name](tenant, "made-up").status_code for _ in range(25)]
    assert set(answers[:20]) <= {400, 401}
    assert set(answers[20:]) == {429}
    assert QUESTIONS[name](tenant, token).status_code == 200
    assert tenant.login("alice").status_code == 200


def test_S2_introspection_is_charged_whatever_it_says(start: Start) -> None:
    service = start(BUDGET_VERIFY="10:20")
    tenant = service.tenant()
    answers = [
        tenant.http.post("/oauth/introspect", data={"token": "x"}, headers=tenant.headers).status_code
        for _ in range(25)
    ]
    assert answers == [200] * 20 + [429] * 5


# ------------------------------------------------------------------------------------------------------- items


HOPELESS: list[Any] = [
    "", " ", "x" * 8_193, "x" * 20_000, "e" * 100_000, "\u00e9", "\u0000", 1, 0, -1.5, None, True, False, [], {}, [[]], {"token": "x"},
    ["x" * 30_000], {"a": [{}] * 6_000}, '\\"' * 9_000,
]  # fmt: skip


def test_S20_what_is_no_token_is_not_active_and_spoils_no_batch(tenant: Tenant) -> None:
    tenant.create("alice")
    good = tenant.session("alice")
    tokens = [good]
    for hopeless in HOPELESS:
        tokens += [hopeless, good]
    answer = tenant.post(BATCH, {"tokens": tokens})
    assert answer.status_code == 200, answer.text
    active = [result["active"] for result in answer.json()["results"]]
    assert active == [number % 2 == 0 for number in range(len(tokens))]


def test_a_row_that_is_too_large_is_refused_and_no_other(tenant: Tenant) -> None:
    row = {"login": "alice", "email": "a@b.example", "sub": "s"}
    rows = [row, {**row, "login": "bob", "metadata": "m" * 20_000}, {**row, "login": "carol"}]
    found = tenant.post(IMPORT, {"users": rows}).json()
    assert (found["created"], found["refused"]) == (2, 1)
    assert found["results"][1]["code"] == "validation_error"
    assert found["results"][1]["error"] == "a row must not take more than 16384 characters"


# ---------------------------------------------------------------------------------------- who is told what first


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("GET", "/users/export", {"Accept": "application/json"}),
        ("GET", "/user", {"Accept": "text/html"}),
        ("POST", "/user", {"Content-Type": "text/plain"}),
        ("POST", "/auth/verify", {"Content-Type": "text/plain"}),
        ("POST", "/auth", {"Accept": "image/png"}),
        ("POST", "/oauth/introspect", {"Content-Type": "application/json"}),
        ("DELETE", "/user/alice", {"Accept": "*/*;q=0"}),
    ],
)
def test_S20_who_proves_nothing_is_told_that_first(
    tenant: Tenant, method: str, path: str, fields: dict[str, str]
) -> None:
    content = b"{}" if method == "POST" else None
    answer = tenant.http.request(method, path, content=content, headers=fields)
    assert answer.status_code == 401
    answer = tenant.http.request(method, path, content=content, headers={**fields, **tenant.headers})
    assert answer.status_code in {406, 415}


def test_S20_an_endpoint_without_credentials_says_406_to_all(tenant: Tenant) -> None:
    for path in ("/health/live", "/openapi.json"):
        assert tenant.http.get(path, headers={"Accept": "text/html"}).status_code == 406


def test_S20_media_types_of_the_export(tenant: Tenant) -> None:
    for accept, status in (("application/x-ndjson", 200), ("application/*", 200), ("application/json", 406)):
        headers = {**tenant.headers, "Accept": accept}
        assert tenant.http.get("/users/export", headers=headers).status_code == status
