"""Helpers for tests of the API contract: error assertions, requests from the endpoint table."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.routes import ENDPOINTS
from doorward.selftest import requests
from harness import Service, Tenant

JSON = "application/json; charset=utf-8"
UUID = requests.UUID

named, encode, media, proof = requests.named, requests.encode, requests.media, requests.authorization

_PER_REQUEST = {"date", "x-request-id"}

Result = TypeVar("Result")

BODIES: tuple[Endpoint, ...] = tuple(
    endpoint for endpoint in ENDPOINTS if endpoint.request_body and not endpoint.is_form
)
"""The endpoints that take a JSON body."""

FORMS: tuple[Endpoint, ...] = tuple(endpoint for endpoint in ENDPOINTS if endpoint.is_form)
"""The endpoints that take a form, and refuse as RFC 6749 has it."""


def place(path: str) -> str:
    """Return a path whose segments name no existing object."""
    return re.sub(r"\{\w+\}", "nobody", path)


def fresh(service: Service) -> Tenant:
    """Register a new tenant under a random e-mail address."""
    return service.tenant(f"{uuid4().hex}@example.org")


def wide(text: str) -> str:
    """Return ASCII letters and digits in their full-width forms: another spelling of the same name."""
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in text)


def email() -> str:
    return f"{uuid4().hex}@example.org"


def assert_refused(answer: httpx.Response, status: int, code: str, sentence: str) -> None:
    """Hold a refusal against the contract: status, body to the letter, type; a 401 says how to authenticate."""
    assert (answer.status_code, answer.json()) == (status, {"error": sentence, "code": code, "status": status})
    assert answer.headers["content-type"] == JSON
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


def assert_unauthorised(answer: httpx.Response) -> None:
    assert_refused(answer, 401, "not_authorized", "Not Authorized")


def assert_invalid_token(answer: httpx.Response) -> None:
    assert_refused(answer, 400, "invalid_token", "invalid token")


def assert_token_missing(answer: httpx.Response) -> None:
    """Hold the refusal of a body without a token against the contract: the shape in which backend-auth has it."""
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert (set(body), body["status"]) == ({"error", "message", "code", "status"}, 422)
    assert (body["message"], body["code"]) == ("Token is missing", "token_missing")
    assert body["error"]["name"] == "ValidationError"
    [detail] = body["error"]["details"]
    assert (detail["path"], detail["context"]) == (["token"], {"key": "token"})
    assert detail["message"].startswith('"token" ')


def assert_malformed(answer: httpx.Response) -> None:
    assert_refused(answer, 400, "malformed_json", "The body is not valid JSON")


def faults(answer: httpx.Response) -> list[str]:
    """Return the messages of a validation error, after holding everything around them against the contract."""
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert set(body) == {"error", "message", "code", "status"}
    assert (body["message"], body["code"], body["status"]) == ("Validation error", "validation_error", 422)
    assert set(body["error"]) == {"name", "details"}
    assert body["error"]["name"] == "ValidationError"
    for detail in body["error"]["details"]:
        assert set(detail) == {"message", "path", "type", "context"}
        assert detail["context"]["key"] == (detail["path"][-1] if detail["path"] else "value")
    return [detail["message"] for detail in body["error"]["details"]]


def assert_error_shape(answer: httpx.Response) -> None:
    """Hold any refusal against the one shape that every error has."""
    assert answer.headers["content-type"] == JSON
    body = answer.json()
    if "error_description" in body:
        assert_oauth_error(answer)
        return
    assert body["status"] == answer.status_code
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", body["code"])
    if body["code"] == "validation_error":
        assert faults(answer)
    elif body["code"] == "token_missing":
        assert_token_missing(answer)
    else:
        assert set(body) == {"error", "code", "status"}
        assert isinstance(body["error"], str)
        assert body["error"]


def assert_oauth_error(answer: httpx.Response, status: int | None = None, error: str | None = None) -> None:
    """Hold a refusal against the shape that RFC 6749, section 5.2, gives it: on the paths of OAuth and nowhere else."""
    assert answer.request.url.path.startswith("/oauth/")
    assert answer.headers["content-type"] == JSON
    # Both ways in which a client may prove itself.
    ways = ["Bearer", 'Basic realm="doorward"']
    assert answer.headers.get_list("www-authenticate") == (ways if answer.status_code == 401 else [])
    body = answer.json()
    assert set(body) == {"error", "error_description"}
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", body["error"])
    assert body["error_description"]
    assert (status or answer.status_code, error or body["error"]) == (answer.status_code, body["error"])


def essence(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return all of an answer that may not depend on what was asked about: everything but its date and id."""
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in _PER_REQUEST)
    return answer.status_code, headers, answer.content


def call(
    http: httpx.Client,
    endpoint: Endpoint,
    *,
    body: Any = None,
    credential: str | None = None,
    path: str | None = None,
    query: Mapping[str, str] | None = None,
    **more: str,
) -> httpx.Response:
    """Send a request to an endpoint. `credential` is the whole Authorization header; None sends none."""
    headers = {**proof(endpoint, credential), **more}
    content = None
    if body is not None:
        headers["Content-Type"] = media(endpoint)
        content = encode(endpoint, body)
    return http.request(endpoint.method, path or endpoint.path, headers=headers, params=query or None, content=content)


def credential_for(endpoint: Endpoint, tenant: Tenant) -> str | None:
    """Return what an endpoint wants to see before it looks at a body."""
    return f"Bearer {tenant.token}" if endpoint.auth is Auth.TENANT else None


def send(http: httpx.Client, endpoint: Endpoint, tenant: Tenant, content: bytes, **headers: str) -> httpx.Response:
    """Send raw bytes as the body of an endpoint, with its credential and a path that names no existing object."""
    given = {"Content-Type": media(endpoint), **proof(endpoint, credential_for(endpoint, tenant)), **headers}
    return http.request(endpoint.method, place(endpoint.path), content=content, headers=given)


_FAREWELLS = {("POST", "/tenant/password"): "current", ("DELETE", "/tenant"): "password"}


def example(endpoint: Endpoint) -> dict[str, Any]:
    """Return a body that an endpoint takes, with an e-mail address of its own, that leaves the tenant as it is."""
    body = dict(endpoint.example)
    if "email" in body:
        body["email"] = email()
    farewell = _FAREWELLS.get((endpoint.method, endpoint.path))
    return body | ({farewell: "Wrong-Horse-9"} if farewell else {})


def together(jobs: Sequence[Callable[[], Result]], *, threads: int | None = None) -> list[Result]:
    """Run jobs at the same moment and return their results in order."""
    crew = threads or len(jobs)
    gate = threading.Barrier(crew)
    waited = threading.local()

    def run(job: Callable[[], Result]) -> Result:
        if not getattr(waited, "done", False):
            waited.done = True
            gate.wait(10)
        return job()

    with ThreadPoolExecutor(crew) as pool:
        return list(pool.map(run, jobs))


def logins(tenant: Tenant, **query: Any) -> list[str]:
    """Return every login of a tenant, page by page."""
    found: list[str] = []
    cursor = "0"
    while True:
        page = tenant.get("/user", cursor=cursor, **query).json()
        found += [user["login"] for user in page["users"]]
        cursor = page["nextCursor"]
        if cursor == "0":
            return found


def log_in(tenant: Tenant) -> str:
    """Open one more session of a tenant itself and return its token."""
    answer = tenant.http.post("/tenant/login", json={"email": tenant.email, "password": tenant.password})
    token: str = answer.json()["token"]
    return token


def planet(path: str = "/planet", *, method: str = "GET", **more: Any) -> Endpoint:
    """Return an endpoint that Doorward does not have."""
    return Endpoint(
        method,
        path,
        operation_id="planet",
        summary="Look at a planet",
        tag="Planets",
        handler=ENDPOINTS[0].handler,
        auth=Auth.TENANT,
        **more,
    )
