"""Conventions of every request and response."""

import json
import re
from typing import Any

import httpx
import pytest

from api_contract import (
    BODIES,
    FORMS,
    JSON,
    assert_error_shape,
    assert_malformed,
    assert_oauth_error,
    assert_refused,
    credential_for,
    encode,
    essence,
    example,
    faults,
    named,
    place,
    send,
)
from doorward.http.api.endpoint import Endpoint
from doorward.http.api.routes import ENDPOINTS
from harness import Service, Tenant

pytestmark = pytest.mark.one_setup

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"]
PATHS = sorted({endpoint.path for endpoint in ENDPOINTS if not endpoint.match_subpaths})
EVERYWHERE = [endpoint for endpoint in ENDPOINTS if endpoint.match_subpaths]
UNSUPPORTED = (415, "unsupported_media_type", "The body has to be application/json in UTF-8, not compressed")
UNACCEPTABLE = (406, "not_acceptable", "Only application/json can be given")
SECURITY = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def allowed(path: str) -> list[str]:
    methods = {endpoint.method for endpoint in ENDPOINTS if endpoint.path == path}
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=named)
def test_a_path_answers_with_and_without_a_trailing_slash(tenant: Tenant, endpoint: Endpoint) -> None:
    headers = tenant.headers
    body = None
    if endpoint.request_body:
        body = b"" if endpoint.is_form else b"{}"
        headers["Content-Type"] = "application/x-www-form-urlencoded" if endpoint.is_form else "application/json"
    path = place(endpoint.path)
    plain = tenant.http.request(endpoint.method, path, headers=headers, content=body)
    slashed = tenant.http.request(endpoint.method, f"{path}/", headers=headers, content=body)
    assert essence(slashed) == essence(plain)
    assert not plain.content.endswith(b'"code":"not_found","status":404}')


def test_a_trailing_slash_works_for_success_too(tenant: Tenant) -> None:
    tenant.create()
    token = tenant.session()
    assert tenant.post("/auth/verify/", {"token": token}).json() == tenant.verify(token).json()
    assert tenant.post("/auth/", {"login": "alice", "password": "pw", "deviceId": "x"}).status_code == 200
    assert tenant.get("/user/").json() == tenant.get("/user").json()
    assert tenant.http.delete("/user/alice/", headers=tenant.headers).json() == {"result": 1}


@pytest.mark.parametrize(
    "path", ["/x", "/nowhere/at/all", "/user/a/b", "/tenants", "/USER", "/Auth/verify", "/auth/verify/x", "/"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH"])
def test_an_unknown_path_is_404_and_says_so_in_the_published_words(shared: Service, method: str, path: str) -> None:
    assert_refused(shared.client().request(method, path), 404, "not_found", f"Cannot {method} {path}")


@pytest.mark.parametrize("path", ["/<script>", "/a%20b", "/é", "/" + "x" * 200, '/a"b', "/a{b}", "/%0d%0aSet-Cookie:x"])
def test_an_unknown_path_is_repeated_only_where_that_is_harmless(shared: Service, path: str) -> None:
    assert_refused(shared.client().get(path), 404, "not_found", "Cannot find this path")


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for path in PATHS for method in METHODS if method not in allowed(path)]
)
def test_TR4_a_wrong_method_is_405_and_Allow_lists_the_right_ones(shared: Service, method: str, path: str) -> None:
    answer = shared.client().request(method, place(path))
    assert_refused(answer, 405, "method_not_allowed", "This method is not allowed here")
    assert answer.headers["allow"].split(", ") == allowed(path)


@pytest.mark.parametrize("path", PATHS)
def test_OPTIONS_is_204_without_a_body_and_changes_nothing(tenant: Tenant, path: str) -> None:
    tenant.create("nobody")
    answer = tenant.http.options(place(path), headers=tenant.headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"].split(", ") == allowed(path)
    assert len(tenant.get("/user").json()["users"]) == 1


@pytest.mark.parametrize("endpoint", EVERYWHERE, ids=named)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_gateway_is_answered_whatever_method_and_type_it_passes_on(
    tenant: Tenant, endpoint: Endpoint, method: str
) -> None:
    tenant.create()
    passed_on = {"Accept": "image/png", "Content-Type": "text/csv", "X-Doorward-Key": tenant.token}
    headers = {**passed_on, "Authorization": f"Bearer {tenant.session()}"}
    answer = tenant.http.request(method, endpoint.path, headers=headers, content=None if method == "GET" else b"a,b")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-auth-login"] == "alice"
    assert tenant.http.request(method, endpoint.path, headers=passed_on).status_code == 401


def test_OPTIONS_of_an_unknown_path_is_404(shared: Service) -> None:
    assert shared.client().options("/x").status_code == 404


@pytest.mark.parametrize("path", sorted({endpoint.path for endpoint in ENDPOINTS if endpoint.method == "GET"}))
def test_HEAD_is_GET_without_the_body(tenant: Tenant, path: str) -> None:
    whole = tenant.http.get(place(path), headers=tenant.headers)
    head = tenant.http.head(place(path), headers=tenant.headers)
    assert head.content == b""
    assert essence(head)[:2] == essence(whole)[:2]
    if "transfer-encoding" not in whole.headers:
        assert int(head.headers["content-length"]) == len(whole.content)


@pytest.mark.parametrize("path", ["/x", "/auth", "/user"])
def test_HEAD_of_a_refusal_has_no_body_either(shared: Service, path: str) -> None:
    http = shared.client()
    answer = http.head(path)
    assert answer.content == b""
    assert answer.status_code in {401, 404, 405}
    assert http.get("/health/live").json() == {"status": "live"}


def requests_of_every_kind(tenant: Tenant) -> list[httpx.Response]:
    http, headers = tenant.http, tenant.headers
    tenant.create()
    token = tenant.session()
    return [
        tenant.verify(token),
        tenant.verify("x"),
        tenant.get("/user"),
        tenant.get("/user", limit="x"),
        http.get("/user"),
        http.get("/x"),
        http.put("/user"),
        http.post("/oauth/introspect", data={"token": token}, headers=headers),
        http.post("/oauth/introspect", data={"token": token}),
        http.post("/oauth/revoke", headers=headers),
        http.post("/forward-auth", headers={"X-Doorward-Key": tenant.token, "Authorization": f"Bearer {token}"}),
        http.get("/tenant/audit", headers={"Authorization": f"Bearer {token}"}),
        http.options("/user"),
        http.head("/user", headers=headers),
        http.get("/health/live"),
        http.get("/health/ready"),
        http.get("/docs"),
        http.get("/openapi.json"),
        http.post("/auth/verify", content=b"{"),
        http.post("/auth/verify", content=b"x", headers={**headers, "Content-Type": "text/plain"}),
        http.get("/user?token=x"),
        http.post("/tenant", content=b"x" * 20_000),
        http.get("/" + "x" * 9000),
        http.get("/x", headers={"X-Long": "x" * 20_000}),
    ]


def test_TR5_every_answer_has_the_security_headers_and_an_id_of_its_own(tenant: Tenant) -> None:
    answers = requests_of_every_kind(tenant)
    assert {answer.status_code for answer in answers} >= {200, 204, 400, 401, 404, 405, 413, 414, 415, 422, 431}
    for answer in answers:
        assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert re.fullmatch(r"[A-Za-z0-9-]{1,64}", answer.headers["x-request-id"])
        assert len(answer.headers.get_list("x-request-id")) == 1
        assert not {"server", "x-powered-by", "set-cookie", "access-control-allow-origin"} & set(answer.headers)
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_every_refusal_has_the_one_shape(tenant: Tenant) -> None:
    refusals = [
        answer
        for answer in requests_of_every_kind(tenant)
        if answer.status_code >= 400 and answer.request.method != "HEAD"
    ]
    assert len(refusals) > 8
    for answer in refusals:
        assert_error_shape(answer)


@pytest.mark.parametrize("given", ["a", "abc-123", "A" * 64, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
def test_a_harmless_request_id_is_given_back(tenant: Tenant, given: str) -> None:
    for path in ("/auth/verify", "/user", "/x"):
        answer = tenant.http.post(path, json={"token": "x"}, headers={**tenant.headers, "X-Request-Id": given})
        assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "a%0d%0aSet-Cookie:x", "A" * 65, "a;b", "<a>", "a_b", "ü", "a\tb"])
def test_TR10_any_other_request_id_is_replaced(tenant: Tenant, given: str) -> None:
    for path in ("/auth/verify", "/user", "/x"):
        headers = [*tenant.headers.items(), ("X-Request-Id", given.encode())]
        answer = tenant.http.post(path, json={"token": "x"}, headers=httpx.Headers(headers))  # type: ignore[arg-type]
        assert re.fullmatch(r"[A-Za-z0-9-]{16,64}", answer.headers["x-request-id"])


@pytest.mark.parametrize("endpoint", BODIES, ids=named)
@pytest.mark.parametrize(
    "declared",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application / json",
        "; application/json",
        "application/json-patch+json",
        "text/json",
        "application/vnd.api+json",
        "application/json, text/plain",
        "",
    ],
)
def test_IN4_a_body_that_is_not_declared_as_json_is_415(tenant: Tenant, endpoint: Endpoint, declared: str) -> None:
    body = json.dumps(example(endpoint)).encode()
    assert_refused(send(tenant.http, endpoint, tenant, body, **{"Content-Type": declared}), *UNSUPPORTED)


@pytest.mark.parametrize("endpoint", BODIES, ids=named)
def test_IN4_a_body_without_a_content_type_is_415(tenant: Tenant, endpoint: Endpoint) -> None:
    credential = credential_for(endpoint, tenant)
    headers = {"Authorization": credential} if credential else {}
    answer = tenant.http.request(endpoint.method, place(endpoint.path), content=b"{}", headers=headers)
    assert_refused(answer, *UNSUPPORTED)


@pytest.mark.parametrize("endpoint", FORMS, ids=named)
@pytest.mark.parametrize(
    "header",
    [
        ("Content-Type", "application/json"),
        ("Content-Type", "multipart/form-data; boundary=x"),
        ("Content-Type", ""),
        ("Content-Encoding", "gzip"),
    ],
)
def test_IN4_a_body_that_is_no_form_is_415_where_a_form_is_asked_for(
    tenant: Tenant, endpoint: Endpoint, header: tuple[str, str]
) -> None:
    answer = send(tenant.http, endpoint, tenant, encode(endpoint, example(endpoint)), **dict([header]))
    assert_oauth_error(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("endpoint", BODIES, ids=named)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, identity"])
def test_IN4_a_compressed_body_is_415(tenant: Tenant, endpoint: Endpoint, coding: str) -> None:
    body = json.dumps(example(endpoint)).encode()
    assert_refused(send(tenant.http, endpoint, tenant, body, **{"Content-Encoding": coding}), *UNSUPPORTED)


@pytest.mark.parametrize("endpoint", BODIES, ids=named)
@pytest.mark.parametrize(
    "declared",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json; charset=utf8",
        "application/json;",
        "Application/JSON",
    ],
)
def test_IN4_json_in_utf8_is_taken_in_every_spelling(tenant: Tenant, endpoint: Endpoint, declared: str) -> None:
    answer = send(tenant.http, endpoint, tenant, b'{"x":1}', **{"Content-Type": declared})
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("endpoint", [it for it in ENDPOINTS if not it.match_subpaths], ids=named)
@pytest.mark.parametrize(
    "accept", ["image/png", "application/xml", "text/csv, image/*;q=0.5", "*/*;q=0", "application/json;q=0"]
)
def test_an_Accept_that_admits_nothing_we_have_is_406(tenant: Tenant, endpoint: Endpoint, accept: str) -> None:
    answer = tenant.http.request(endpoint.method, place(endpoint.path), headers={**tenant.headers, "Accept": accept})
    if endpoint.is_form:
        assert_oauth_error(answer, 406, "not_acceptable")
    else:
        assert_refused(answer, 406, "not_acceptable", f"Only {endpoint.media_type} can be given")


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/json",
        "application/*",
        "text/html, application/json;q=0.1",
        "APPLICATION/JSON",
        "text/html,*/*;q=0.8",
        "application/json; charset=utf-8",
    ],
)
def test_an_Accept_that_admits_json_is_served(tenant: Tenant, accept: str | None) -> None:
    tenant.create()
    token = tenant.session()
    for method, path, body in (("POST", "/auth/verify", {"token": token}), ("GET", "/user", None)):
        request = tenant.http.build_request(method, path, json=body, headers=tenant.headers)
        del request.headers["Accept"]
        if accept is not None:
            request.headers["Accept"] = accept
        answer = tenant.http.send(request)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == JSON


def test_several_Accept_lines_are_one_list(tenant: Tenant) -> None:
    headers = [*tenant.headers.items(), ("Accept", "application/json"), ("Accept", "text/html")]
    assert tenant.http.get("/user", headers=headers).status_code == 200
    headers = [*tenant.headers.items(), ("Accept", "image/png"), ("Accept", "text/html")]
    assert_refused(tenant.http.get("/user", headers=headers), *UNACCEPTABLE)


@pytest.mark.parametrize("endpoint", [it for it in (*BODIES, *FORMS) if it.method != "PATCH"], ids=named)
def test_unknown_fields_are_ignored(tenant: Tenant, endpoint: Endpoint) -> None:
    body = example(endpoint)
    plain = send(tenant.http, endpoint, tenant, encode(endpoint, body))
    more: dict[str, Any] = {"unknown": 1, "id": "x", "__class__": {}, "": None, **example(endpoint)}
    tenant.delete(body.get("login", "nobody"))
    answer = send(tenant.http, endpoint, tenant, encode(endpoint, more))
    if endpoint.path == "/auth":
        assert (plain.status_code, answer.status_code) == (404, 404)
    else:
        assert answer.status_code == plain.status_code


@pytest.mark.parametrize("endpoint", BODIES, ids=named)
@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"1", b"true", b'[{"token":"x"}]', b"-0.0"])
def test_IN2_json_that_is_no_object_is_422(tenant: Tenant, endpoint: Endpoint, body: bytes) -> None:
    assert faults(send(tenant.http, endpoint, tenant, body)) == ['"value" must be an object']


@pytest.mark.parametrize("endpoint", BODIES, ids=named)
@pytest.mark.parametrize(
    "body", [b"{", b"{}}", b"{} x", b"not json", b"\xff", b"{'a':1}", b"{,}", b'{"a":1,}', b"\x00", b"{}\x00", b" "]
)
def test_IN2_what_is_not_json_is_400(tenant: Tenant, endpoint: Endpoint, body: bytes) -> None:
    assert_malformed(send(tenant.http, endpoint, tenant, body))


@pytest.mark.parametrize("path", ["/user", "/auth/verify", "/tenant/verify", "/auth/logout", "/health/live", "/x"])
@pytest.mark.parametrize("name", ["token", "access_token"])
def test_TR11_a_token_in_the_url_is_refused(tenant: Tenant, path: str, name: str) -> None:
    answer = tenant.http.get(path, params={name: tenant.token}, headers=tenant.headers)
    sentence = "Tokens are not accepted in the URL, send them in the body or the Authorization header"
    assert_refused(answer, 400, "token_in_url", sentence)


def test_numbers_of_milliseconds_and_lifetimes_are_whole(tenant: Tenant) -> None:
    text = tenant.create().text
    assert re.search(r'"registrationDate":1\d{12},"lastActivity":1\d{12}\}$', text)
    assert re.search(r'"expiresIn":604800\}$', tenant.login().text)


def test_health_says_that_the_service_and_its_stores_answer(shared: Service) -> None:
    http = shared.client()
    live, ready = http.get("/health/live"), http.get("/health/ready")
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert ready.status_code == 200
    assert ready.json()["status"] == "ready"
    assert set(ready.json()["stores"].values()) == {"ok"}
