"""The OpenAPI document and the service match."""

import html
import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
import msgspec
import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api_changes import changes
from api_contract import planet
from doorward.core.errors import StoreUnavailable
from doorward.http import errors
from doorward.http.api.endpoint import COMMON_ERRORS, Auth, Endpoint
from doorward.http.api.reference import openapi, page
from doorward.http.api.routes import ENDPOINTS
from doorward.http.api.schemas import TokenRequest
from doorward.http.api.services import Services
from doorward.http.bodies import MAX_BODY_BYTES
from doorward.http.checks import FORM
from doorward.http.errors import (
    STATUS_OF,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from doorward.http.request import Request
from doorward.http.response import Response
from harness import PASSWORD, Service, Tenant, read_settings, running

SNAPSHOT = Path(__file__).parents[3] / "api" / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(openapi.describe().document)
OURS = re.compile(r"(OAuth)?Error(\d{3}\w*)?|ValidationError|TokenMissingError")
"""Schemas of refusals: their examples are those of each refusal."""
RENEW = "The published API has changed. If it was meant to: DOORWARD_RENEW=1 pytest tests/http/api/test_openapi.py, and look at the difference."

_REGISTRY: Registry[Any] = Registry().with_resource(
    "urn:api", Resource.from_contents(DOCUMENT, default_specification=DRAFT202012)
)


def validator(*pointer: str) -> Draft202012Validator:
    """Return the validator of the schema at a place of the document."""
    place = "/".join(quote(part.replace("~", "~0").replace("/", "~1"), safe="~") for part in pointer)
    return Draft202012Validator({"$ref": f"urn:api#/{place}"}, registry=_REGISTRY)


def resolve(value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value and set(value) == {"$ref"}:
        found: Any = DOCUMENT
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        value = found
    return value


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation) for path, place in DOCUMENT["paths"].items() for method, operation in place.items()
    ]


def contents() -> list[Any]:
    """Every piece of content in the document, with where its schema is."""
    found: list[Any] = []
    where: tuple[str, ...]
    for method, path, operation in operations():
        base = ("paths", path, method)
        if "requestBody" in operation:
            for media, content in operation["requestBody"]["content"].items():
                where = (*base, "requestBody", "content", media, "schema")
                found.append(pytest.param(where, content, id=f"{method} {path}"))
        for status, answer in operation["responses"].items():
            if "$ref" not in answer:
                for media, content in answer.get("content", {}).items():
                    where = (*base, "responses", status, "content", media, "schema")
                    found.append(pytest.param(where, content, id=f"{method} {path} {status}"))
    for name, answer in DOCUMENT["components"]["responses"].items():
        for media, content in answer["content"].items():
            where = ("components", "responses", name, "content", media, "schema")
            found.append(pytest.param(where, content, id=name))
    return found


def conforms(answer: httpx.Response, method: str, path: str) -> None:
    """Hold an answer of a running service against the document."""
    operation = DOCUMENT["paths"][path][method]
    status = str(answer.status_code)
    assert status in operation["responses"], f"{method} {path} answered {status}, which is not described"
    described = resolve(operation["responses"][status])
    for name in described["headers"]:
        assert name in answer.headers, name
    if "content" not in described:
        assert answer.content == b""
        return
    media = answer.headers["content-type"].partition(";")[0]
    assert media in described["content"]
    if "$ref" in operation["responses"][status]:
        where: tuple[str, ...] = ("components", "responses", f"Refused{status}")
    else:
        where = ("paths", path, method, "responses", status)
    value = answer.json() if media == "application/json" else answer.text
    validator(*where, "content", media, "schema").validate(value)


def test_the_document_is_valid_openapi() -> None:
    openapi_spec_validator.validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")


def test_the_document_is_the_one_that_was_published() -> None:
    written = json.dumps(DOCUMENT, indent=1, ensure_ascii=False) + "\n"
    published = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    found = "\n".join(map(str, changes(published, DOCUMENT)))
    if os.environ.get("DOORWARD_RENEW"):
        SNAPSHOT.write_text(written, encoding="utf-8")
        return
    assert published == DOCUMENT, f"{RENEW}\n{found}"


def changed(change: Callable[[Any], object]) -> dict[str, Any]:
    """Return the document with a change made to it."""
    document: dict[str, Any] = json.loads(json.dumps(DOCUMENT))
    change(document)
    return document


BREAKING: dict[str, Callable[[Any], object]] = {
    "POST /auth/verify: is removed": lambda it: it["paths"].pop("/auth/verify"),
    "POST /auth/verify: operationId": lambda it: it["paths"]["/auth/verify"]["post"].update(operationId="verify"),
    "POST /auth/verify: response 429 is removed": lambda it: it["paths"]["/auth/verify"]["post"]["responses"].pop(
        "429"
    ),
    "POST /auth/verify: security": lambda it: it["paths"]["/auth/verify"]["post"].update(security=[{"tenant": []}]),
    "GET /user: parameter query q is removed": lambda it: it["paths"]["/user"]["get"]["parameters"].pop(0),
    "schema User: is removed or renamed": lambda it: it["components"]["schemas"].pop("User"),
    "schema User: property sub is removed": lambda it: it["components"]["schemas"]["User"]["properties"].pop("sub"),
    "schema User: property sub is no longer always there": lambda it: it["components"]["schemas"]["User"][
        "required"
    ].remove("sub"),
    "schema User.sub: type": lambda it: it["components"]["schemas"]["User"]["properties"]["sub"].update(type="integer"),
    "schema LoginRequest: property ip becomes required": lambda it: it["components"]["schemas"]["LoginRequest"][
        "required"
    ].append("ip"),
    "schema LoginRequest.deviceId: maxLength": lambda it: it["components"]["schemas"]["LoginRequest"]["properties"][
        "deviceId"
    ].update(maxLength=1),
}


@pytest.mark.parametrize("expected", BREAKING)
def test_every_kind_of_breaking_change_is_reported(expected: str) -> None:
    found = [str(change) for change in changes(DOCUMENT, changed(BREAKING[expected])) if change.breaking]
    assert [one for one in found if one.startswith(f"BREAKING {expected}")]


def test_an_addition_is_reported_and_breaks_nothing() -> None:
    def add(document: Any) -> None:
        document["paths"]["/planet"] = {"get": {"operationId": "getPlanet", "responses": {}}}
        document["components"]["schemas"]["User"]["properties"]["planet"] = {"type": "string"}
        document["paths"]["/user"]["get"]["parameters"].append({"name": "planet", "in": "query", "schema": {}})

    found = changes(DOCUMENT, changed(add))
    assert sorted(map(str, found)) == [
        "GET /planet: is added",
        "GET /user: parameter query planet is added",
        "schema User: property planet is added",
    ]
    assert changes(DOCUMENT, DOCUMENT) == []


def test_published_names_are_chosen_and_none_is_derived_from_code() -> None:
    class Unnamed(msgspec.Struct):
        """A schema without a published name."""

    class Heir(Told):
        """A schema that inherits a name."""

    for kind in (Unnamed, Heir):
        with pytest.raises(TypeError, match="needs a NAME"):
            openapi.build([planet(response_body=kind)])
    with pytest.raises(TypeError, match="operation_id"):
        Endpoint("GET", "/planet", summary="Look", tag="Planets", handler=_ask, auth=Auth.FREE)  # type: ignore[call-arg]
    for _, _, operation in operations():
        assert re.fullmatch(r"[a-z]+([A-Z][a-z0-9]+)*", operation["operationId"])
    for name in DOCUMENT["components"]["schemas"]:
        assert re.fullmatch(r"([A-Z][A-Za-z0-9]*)+", name)


def test_every_endpoint_is_described() -> None:
    described = {(method.upper(), path) for method, path, _ in operations()}
    assert described == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_every_refusal_of_an_endpoint_is_described_with_its_sentence(endpoint: Any) -> None:
    answers = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]["responses"]
    for kind in endpoint.all_errors:
        if endpoint.is_form and kind in {*endpoint.errors, NotAcceptable, UnsupportedMediaType, StoreUnavailable}:
            body, status = errors.oauth_error_body(
                UnsupportedMediaType(FORM) if kind is UnsupportedMediaType else kind()
            )
            content = resolve(answers[str(status.value)])["content"]["application/json"]
            assert content["examples"][kind.code]["value"] == json.loads(body)
            continue
        content = resolve(answers[str(STATUS_OF[kind].value)])["content"]["application/json"]
        value = resolve(content["examples"][kind.code])["value"]
        assert value["code"] == kind.code
        assert value["status"] == STATUS_OF[kind]
        if not issubclass(kind, NotFound):
            fewer = kind is PayloadTooLarge and endpoint.max_body_bytes > MAX_BODY_BYTES
            assert kind.sentence + ", send fewer rows in each request" * fewer == value.get("message", value["error"])


def test_no_refusal_is_left_out() -> None:
    mentioned = {kind for endpoint in ENDPOINTS for kind in endpoint.all_errors}
    assert mentioned | {NotFound, MethodNotAllowed} == set(STATUS_OF)
    assert set(DOCUMENT["components"]["examples"]) == {kind.code for kind in STATUS_OF}
    assert set(COMMON_ERRORS) <= mentioned


@pytest.mark.parametrize(("where", "content"), contents())
def test_every_example_is_valid(where: tuple[str, ...], content: dict[str, Any]) -> None:
    check = validator(*where)
    examples = [content["example"]] if "example" in content else []
    examples += [resolve(example)["value"] for example in content.get("examples", {}).values()]
    media = where[-2]
    assert examples or media == "text/html" or where[1] == "/openapi.json"
    for example in examples:
        check.validate(example)


def test_everything_that_can_be_said_is_said() -> None:
    for tag in DOCUMENT["tags"]:
        assert tag["description"], f"{tag['name']} needs a description in prose.py"
    for method, path, operation in operations():
        assert operation["summary"], f"{method} {path} needs a summary"
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], f"{parameter['name']} needs a row in prose.py"


def test_every_field_says_what_it_is_and_shows_what_it_looks_like() -> None:
    shown = {"examples", "enum", "const", "$ref", "default", "items", "properties", "additionalProperties"}
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema["description"], name
        for part, found in schema.get("properties", {}).items():
            ways = [found, *found.get("anyOf", ())]
            if not OURS.fullmatch(name):
                said = any("description" in way or "$ref" in way for way in ways)
                assert said, f"{name}.{part} needs a description"
                seen = any(shown & set(way) or way.get("format") == "password" for way in ways)
                assert seen or part == "scope_data", f"{name}.{part} needs an example"


def test_C10_no_field_of_a_request_body_has_a_default() -> None:
    # Generators take such a field for one that has to be given.
    assert [name for name, schema in DOCUMENT["components"]["schemas"].items() if "default" in str(schema)] == []


def test_C10_every_error_names_its_codes() -> None:
    statuses = {status.value for status in STATUS_OF.values()} - {422}
    seen = set()
    for where, content in [parameter.values for parameter in contents()]:
        if where[-5:-4] != ("responses",) and where[:2] != ("components", "responses"):
            continue
        choices = content["schema"].get("oneOf", [content["schema"]])
        for name in [choice["$ref"].rpartition("/")[2] for choice in choices if "$ref" in choice]:
            schema = DOCUMENT["components"]["schemas"][name]
            if re.match(r"Error\d", name):
                assert set(schema["properties"]["code"]["enum"]) <= {kind.code for kind in STATUS_OF}
                seen.add(schema["properties"]["status"]["const"])
            elif name.startswith("OAuthError"):
                assert schema["properties"]["error"]["enum"]
            assert name not in {"Error", "OAuthError"}
    assert statuses <= seen


def test_C10_alternatives_of_errors_are_told_apart_by_code() -> None:
    answer = DOCUMENT["paths"]["/auth/verify"]["post"]["responses"]["422"]["content"]["application/json"]["schema"]
    base = "#/components/schemas/"
    assert answer["discriminator"] == {
        "propertyName": "code",
        "mapping": {"token_missing": f"{base}TokenMissingError", "validation_error": f"{base}ValidationError"},
    }


def test_C10_items_of_a_batch_are_told_apart_by_active() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    items = schemas["BatchVerifyResponse"]["properties"]["results"]["items"]["oneOf"]
    kinds = [schemas[item["$ref"].rpartition("/")[2]] for item in items]
    assert [(kind["properties"]["active"]["const"], kind["required"]) for kind in kinds] == [
        (True, ["decoded", "active"]),
        (False, ["active"]),
    ]
    claims = {"$ref": "#/components/schemas/UserClaims"}
    assert kinds[0]["properties"]["decoded"].items() >= claims.items()


@pytest.mark.parametrize("body", [{"password": "a"}, {"passwordHash": "a"}, {"password": "a", "passwordHash": "a"}, {}])
def test_C10_a_password_and_a_hash_exclude_each_other(body: dict[str, str]) -> None:
    whole = {"login": "alice", "email": "a@example.org", "sub": "s", **body}
    assert validator("components", "schemas", "CreateUserRequest").is_valid(whole) == (len(body) == 1)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_every_endpoint_says_what_an_api_key_needs(endpoint: Any) -> None:
    security = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]["security"]
    roles = [role for way in security for name, role in way.items() if name in {"key", "basic", "gateway"}]
    assert roles == [[endpoint.permission]] * len(roles)
    assert bool(roles) == (endpoint.permission is not None)
    assert bool(security) == (endpoint.auth is Auth.TENANT)
    assert {name for way in security for name in way} <= set(DOCUMENT["components"]["securitySchemes"])


def test_a_tenants_story_is_as_described(shared: Service) -> None:
    http = shared.client()
    tenant = shared.tenant("openapi@example.org")
    tenant.create("alice", "pw", scope=["orders:read"], company="Example Ltd")

    def said(method: str, path: str, **more: Any) -> httpx.Response:
        answer = http.request(method, path.replace("{login}", "alice"), headers=tenant.headers, **more)
        conforms(answer, method.lower(), path)
        return answer

    account = {"email": tenant.email, "password": PASSWORD}
    login = {"login": "alice", "password": "pw", "deviceId": "laptop"}
    assert said("POST", "/tenant", json={**account, "email": "new@example.org"}).status_code == 200
    assert said("POST", "/tenant", json=account).status_code == 400
    own = said("POST", "/tenant/login", json=account).json()["token"]
    assert said("POST", "/tenant/verify", json={"token": own}).status_code == 200
    assert said("POST", "/user", json={**login, "email": "b@localhost", "sub": "s", "login": "bob"}).status_code == 200
    assert len(said("GET", "/user", params={"limit": 1}).json()["users"]) == 1
    token = said("POST", "/auth", json=login).json()["accessToken"]
    assert said("POST", "/auth/verify", json={"token": token}).json()["decoded"]["scope"] == ["orders:read"]
    assert said("POST", "/auth/logout", json={"token": token}).status_code == 200
    assert said("POST", "/auth/logout", json={"token": token}).status_code == 400
    assert said("POST", "/tenant/logout", json={"token": own}).status_code == 200
    assert said("DELETE", "/user/{login}").status_code == 200
    assert said("DELETE", "/user/{login}").status_code == 404
    for path in ("/health/live", "/health/ready", "/openapi.json", "/docs"):
        assert said("GET", path).status_code == 200


def test_the_story_of_a_tenant_who_uses_everything_is_as_described(shared: Service) -> None:  # noqa: PLR0915 - a long one
    http = shared.client()
    tenant = shared.tenant("everything@example.org")
    known = {"login": "alice", "id": "", "userId": ""}

    def said(method: str, path: str, status: int = 200, **more: Any) -> Any:
        more.setdefault("headers", tenant.headers)
        answer = http.request(method, path.format(**known), **more)
        conforms(answer, method.lower(), path)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else answer

    user = {"email": "a@localhost", "password": "first", "sub": "s", "scope": "orders:read", "metadata": {"plan": 1}}
    login = {"login": "alice", "password": "first", "deviceId": "laptop"}
    said("PUT", "/user/{login}", 201, json=user)
    known["userId"] = said("PUT", "/user/{login}", 200, json=user)["id"]
    said("GET", "/user/{login}")
    said("GET", "/users/{userId}")
    said("PATCH", "/users/{userId}", json={"login": "bob"})
    said("PATCH", "/users/{userId}", json={"login": "alice"})
    said("PATCH", "/users/{userId}", 422, json={"logIn": "alice"})
    assert said("GET", "/user", params={"email": "A@localhost"})["users"][0]["id"] == known["userId"]
    said("PATCH", "/user/{login}", json={"company": None, "disabled": True})
    said("POST", "/auth", 403, json=login)
    said("PATCH", "/user/{login}", json={"disabled": False})
    pair = said("POST", "/auth", json={**login, "refresh": True, "ip": "192.0.2.7", "userAgent": "curl"})
    pair = said("POST", "/auth/refresh", json={"refreshToken": pair["refreshToken"]})
    said("POST", "/auth/refresh", 401, json={"refreshToken": "no"})
    token = pair["accessToken"]
    assert said("POST", "/auth/verify/batch", json={"tokens": [token, "no"]})["results"][1] == {"active": False}
    known["id"] = said("GET", "/user/{login}/sessions")["sessions"][0]["id"]
    key = said("POST", "/tenant/key", 201, json={"name": "gateway", "permissions": ["verify"]})
    asking = {"Authorization": f"Bearer {key['key']}"}
    said("GET", "/user/{login}", 403, headers=asking)
    said("POST", "/tenant/key", 403, headers=asking, json={"name": "more", "permissions": ["tenant"]})
    assert said("POST", "/oauth/introspect", headers=asking, data={"token": token})["scope"] == "orders:read"
    assert said("POST", "/oauth/introspect", auth=(key["id"], key["key"]), headers={}, data={"token": token})["active"]
    assert said("POST", "/oauth/introspect", data={"token": "no"}) == {"active": False}
    said(
        "POST",
        "/oauth/introspect",
        400,
        content="",
        headers={**asking, "Content-Type": "application/x-www-form-urlencoded"},
    )
    said("POST", "/oauth/introspect", 401, headers={}, data={"token": token})
    answer = http.post("/oauth/introspect", auth=("nobody", "nothing"), data={"token": token})
    assert answer.headers.get_list("www-authenticate") == ["Bearer", 'Basic realm="doorward"']
    said("POST", "/oauth/introspect", 415, json={})
    said("POST", "/oauth/introspect", 406, headers={**asking, "Accept": "text/html"}, data={"token": token})
    said("POST", "/oauth/revoke", 400, headers=asking, data={"token": token})
    gateway = {"X-Doorward-Key": key["key"], "Authorization": f"Bearer {token}"}
    assert said("GET", "/forward-auth", headers=gateway).headers["X-Auth-Login"] == "alice"
    said("GET", "/forward-auth", 401, headers={"X-Doorward-Key": key["key"]})
    said("POST", "/oauth/revoke", data={"token": token})
    said("POST", "/oauth/revoke", data={"token": token})
    said("GET", "/forward-auth", 401, headers=gateway)
    said("DELETE", "/user/{login}/sessions/{id}", 404)
    said("DELETE", "/user/{login}/sessions", params={"deviceId": "laptop"})
    said("POST", "/user/{login}/password", json={"current": "first", "password": "second"})
    said("POST", "/user/{login}/password", 403, json={"current": "first", "password": "second"})
    code = said("POST", "/user/{login}/password/reset")["code"]
    said("POST", "/auth/reset", json={"code": code, "password": "third"})
    said("POST", "/auth/reset", 401, json={"code": code, "password": "third"})
    said("GET", "/tenant")
    said("PATCH", "/tenant", json={"settings": {"sessionIdle": 60, "passwordPolicy": {"minLength": 15}}})
    said("PATCH", "/tenant", 422, json={"settings": {"unknown": 1}})
    assert said("GET", "/tenant/audit", params={"limit": 3})["nextCursor"] != "0"
    assert said("GET", "/tenant/key")["keys"][0]["name"] == "gateway"
    known["id"] = key["id"]
    said("DELETE", "/tenant/key/{id}")
    said("DELETE", "/tenant/key/{id}", 404)
    said("POST", "/tenant/password", json={"current": PASSWORD, "password": "Battery-Staple-7"})
    said("GET", "/.well-known/oauth-authorization-server", headers={})
    said("DELETE", "/tenant/sessions")
    said("DELETE", "/tenant", 403, json={"password": PASSWORD})
    said("DELETE", "/tenant", json={"password": "Battery-Staple-7"})
    said("GET", "/tenant", 401)


FAULTY: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("POST", "/tenant/login", {"json": {"email": "a@b", "password": "wrong"}}, 401, "incorrect_credentials"),
    ("POST", "/tenant/login", {"json": {}}, 422, "validation_error"),
    ("POST", "/tenant/verify", {"json": {}}, 422, "token_missing"),
    ("POST", "/tenant/verify", {"json": {"token": 1}}, 422, "validation_error"),
    ("POST", "/tenant/verify", {"json": {"token": "no"}}, 400, "invalid_token"),
    ("POST", "/tenant", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "malformed_json"),
    ("POST", "/tenant", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type"),
    ("POST", "/tenant", {"json": {}, "headers": {"accept": "text/html"}}, 406, "not_acceptable"),
    ("POST", "/tenant", {"json": {}, "headers": {"origin": "https://evil.example"}}, 403, "origin_not_allowed"),
    ("POST", "/tenant", {"content": b" " * 20_000}, 413, "payload_too_large"),
    ("GET", "/user", {}, 401, "not_authorized"),
    ("GET", "/user", {"params": "q=1&q=2"}, 422, "validation_error"),
    ("GET", "/user", {"params": "token=secret"}, 400, "token_in_url"),
    ("GET", "/health/live", {"headers": {"host": "a", "accept": "application/json;q=0"}}, 406, "not_acceptable"),
    ("GET", "/health/live", {"headers": {"x-long": "x" * 20_000}}, 431, "headers_too_large"),
]  # fmt: skip


@pytest.mark.one_setup
@pytest.mark.parametrize(("method", "path", "request_", "status", "code"), FAULTY)
def test_refusals_are_as_described(
    shared: Service, method: str, path: str, request_: dict[str, Any], status: int, code: str
) -> None:
    answer = shared.client().request(method, path, **request_)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    conforms(answer, method.lower(), path)


def test_a_login_is_refused_as_described(tenant: Tenant) -> None:
    tenant.create("alice", "pw")
    for login, password, code in (("alice", "wrong", "incorrect_password"), ("bob", "pw", "user_not_found")):
        answer = tenant.login(login, password)
        assert answer.json()["code"] == code
        conforms(answer, "post", "/auth")


class Told(msgspec.Struct):
    """An answer."""

    NAME: ClassVar[str] = "Told"

    active: bool = True


async def _ask(services: Services, call: Request) -> Response:
    """Ask something new."""
    raise NotImplementedError


NEW: list[tuple[dict[str, Any], str, str]] = [
    ({"success_status": HTTPStatus.CREATED}, "201", "application/json"),
    ({"extra_responses": {HTTPStatus.CREATED: Told()}}, "201", "application/json"),
    ({"media_type": "application/x-ndjson"}, "200", "application/x-ndjson"),
    ({"extra_responses": {HTTPStatus.SERVICE_UNAVAILABLE: Told(active=False)}}, "503", "application/json"),
]


@pytest.mark.parametrize(("how", "status", "media"), NEW)
@pytest.mark.parametrize("form", [False, True], ids=["json", "form"])
def test_an_endpoint_of_another_kind_is_described_as_well(
    how: dict[str, Any], status: str, media: str, *, form: bool
) -> None:
    endpoint = Endpoint(
        "POST",
        "/new/{id}",
        operation_id="askNew",
        summary="Ask something new",
        tag="Novelties",
        handler=_ask,
        auth=Auth.TENANT,
        request_body=TokenRequest,
        query=("since",),
        example={"token": "x"},
        is_form=form,
        **({"response_body": Told} | how),
    )
    document = json.loads(json.dumps(openapi.build([endpoint])))
    openapi_spec_validator.validate(document)
    operation = document["paths"]["/new/{id}"]["post"]
    assert list(operation["requestBody"]["content"]) == [
        "application/x-www-form-urlencoded" if form else "application/json"
    ]
    assert media in operation["responses"][status]["content"]
    assert [item["name"] for item in operation["parameters"]] == ["id", "since"]
    shown = html.unescape(page.render(document, ()))
    assert "Ask something new." in shown
    assert ("-d token=x" if form else """-d '{"token": "x"}'""") in shown


def test_CF7_without_docs_nothing_of_it_is_served(tmp_path: Path) -> None:
    with running(read_settings(tmp_path, {"DOCS": "off"})) as service:
        http = service.client()
        for path in ("/docs", "/openapi.json", "/docs/"):
            assert http.get(path).status_code == 404
        assert http.get("/health/live").status_code == 200


class _Page(HTMLParser):
    """What a page is made of: its ids, its links, and whatever would be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if "id" in named:
            self.ids.append(named["id"])
        if tag == "a":
            self.links.append(named["href"])
        if tag in {"script", "link", "img", "iframe", "form", "object"} or "src" in named or "style" in named:
            self.foreign.append(tag)
        assert not any(name.startswith("on") for name in named)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("getUser", "or an API key with the permission <code>users:read</code>"),
        ("createApiKey", "API keys are not accepted."),
        ("introspectToken", "with the permission <code>verify</code>, also with HTTP Basic"),
        ("introspectToken", "<code>unauthorized_client</code>"),
        ("forwardAuth", "<code>X-Auth-User-Id</code>"),
        ("forwardAuth", "X-Doorward-Key: $KEY"),
        ("getLiveness", "No authentication."),
        ("putUser", "Response 201"),
    ],
)
def test_the_page_says_who_may_ask_and_what_is_told(operation: str, said: str) -> None:
    shown = html.unescape(openapi.describe().page.decode())
    part = shown.partition(f'id="{operation}"')[2].partition("</section>")[0]
    assert said in part


@pytest.mark.one_setup
def test_the_page_is_whole_and_shows_every_endpoint_and_error(shared: Service) -> None:
    answer = shared.client().get("/docs", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "style-src 'unsafe-inline'" in answer.headers["content-security-policy"]
    whole = _Page()
    whole.feed(answer.text)
    assert not whole.foreign
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    assert len(whole.ids) == len(set(whole.ids))
    assert not [name for name in whole.ids if " " in name]
    inside = {link.removeprefix("#") for link in whole.links if link.startswith("#")}
    assert inside <= set(whole.ids)
    assert {link for link in whole.links if not link.startswith("#")} == {"openapi.json"}
    assert {operation["operationId"] for _, _, operation in operations()} <= inside
    assert {f"error-{kind.code}" for kind in STATUS_OF} <= set(whole.ids)
