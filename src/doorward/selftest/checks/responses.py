"""Checks of request validation and of the headers and contents of responses."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from uuid import uuid4

from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.routes import ENDPOINTS
from doorward.http.bodies import MAX_BODY_BYTES
from doorward.selftest.client import Response
from doorward.selftest.findings import Check
from doorward.selftest.fixture import Fixture
from doorward.selftest.invariants import describe
from doorward.selftest.outcomes import Failed, NotRun, require
from doorward.selftest.requests import CannotFillRequest, authorization, fill_request, media, named, unowned_names

_FORBIDDEN = "forbidden"


def checks(endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> Iterator[Check]:
    """Yield the checks of every endpoint with a request body, and those that concern all endpoints."""
    bodies = [endpoint for endpoint in endpoints if endpoint.request_body]
    for endpoint in bodies:
        yield Check(f"{named(endpoint)}: other content types are rejected", ("IN4",), partial(_wrong_type, endpoint))
        if not endpoint.is_form:
            run = partial(_twice, endpoint)
            yield Check(f"{named(endpoint)}: duplicate JSON names are rejected", ("IN2",), run)
        if endpoint.max_body_bytes == MAX_BODY_BYTES:
            yield Check(f"{named(endpoint)}: an oversized body is rejected", ("IN1",), partial(_large, endpoint))
    yield Check("Validation errors name the field and never repeat its value", ("IN3", "IN11"), _no_echo)
    yield Check("A repeated query parameter is rejected", ("IN10",), _repeated)
    yield Check("Methods that a path does not have are rejected with an Allow header", ("TR4",), _methods)
    yield Check("An unknown path is rejected in the common error format", ("IN11",), _unknown_path)
    yield Check("Pages of other origins are rejected", ("TR6",), _origins)


def closing_checks() -> Iterator[Check]:
    """Yield the checks of all responses together, which run at the end."""
    yield Check("Every response had the security headers and a request id", ("TR5",), _headers)
    yield Check("No response was a server error or exposed internals", ("IN11",), _server_errors)
    yield Check("No response contained a password hash", ("PW10",), _hashes)


def _send(fixture: Fixture, endpoint: Endpoint, content: bytes, **headers: str) -> Response:
    """Send raw bytes as the body of an endpoint, with its credential, for objects that do not exist."""
    try:
        path, _, _ = fill_request(endpoint, unowned_names())
    except CannotFillRequest as reason:
        raise Failed(str(reason)) from None
    headers_sent = {"Content-Type": media(endpoint), **headers}
    if endpoint.auth is Auth.TENANT:
        headers_sent |= authorization(endpoint, f"Bearer {fixture.attacker.tenant.token}")
    charged = endpoint.auth is Auth.NONE
    return fixture.client.request(endpoint.method, path, content, headers_sent, charged=charged)


def _require_rejected(response: Response, *codes: str) -> None:
    if response.code == _FORBIDDEN:
        raise NotRun("This address may not register tenants.")
    require(response.code in codes, f"The response was {response}")


def _wrong_type(endpoint: Endpoint, fixture: Fixture) -> None:
    for kind in ("text/plain", "application/problem+json", "multipart/form-data"):
        _require_rejected(_send(fixture, endpoint, b"{}", **{"Content-Type": kind}), "unsupported_media_type")
    zipped = {"Content-Encoding": "gzip"}
    _require_rejected(_send(fixture, endpoint, b"{}", **zipped), "unsupported_media_type")


def _twice(endpoint: Endpoint, fixture: Fixture) -> None:
    _, body, _ = _filled(endpoint)
    name, value = next(iter((body or {}).items()))
    pair = f"{json.dumps(name)}:{json.dumps(value)}"
    _require_rejected(_send(fixture, endpoint, f"{{{pair},{pair}}}".encode()), "malformed_json")


def _filled(endpoint: Endpoint) -> tuple[str, dict[str, object] | None, dict[str, str]]:
    try:
        return fill_request(endpoint, unowned_names())
    except CannotFillRequest as reason:
        raise Failed(str(reason)) from None


def _large(endpoint: Endpoint, fixture: Fixture) -> None:
    response = _send(fixture, endpoint, b" " * (endpoint.max_body_bytes + 1))
    # A proxy in front may reject it with an error of its own.
    require(response.status == 413, f"The response was {response}")  # noqa: PLR2004 - Content Too Large


def _no_echo(fixture: Fixture) -> None:
    canary = f"canary{uuid4().hex}"
    wrong: Callable[[object], dict[str, object]] = lambda value: dict.fromkeys(  # noqa: E731 - used three times
        ("login", "email", "password", "sub"), value
    )
    for value in ({canary: 1}, [canary], 17):
        response = fixture.attacker.tenant.request("POST", "/user", wrong(value))
        require(response.status == 422, f"For a value of the wrong type it was {response}")  # noqa: PLR2004 - as published
        require(canary not in response.text, "An error repeated the submitted value")
        named_fields = {str((detail.get("path") or [""])[0]) for detail in _details(response)}
        require(named_fields >= {"login", "email", "password"}, "An error does not name every invalid field")


def _details(response: Response) -> list[dict[str, list[str]]]:
    error = response.json.get("error", {})
    details = error.get("details", []) if isinstance(error, dict) else []
    return [detail for detail in details if isinstance(detail, dict)]


def _repeated(fixture: Fixture) -> None:
    response = fixture.attacker.tenant.request("GET", "/user?limit=1&limit=2")
    require(response.code == "validation_error", f"The response was {response}")


def _methods(fixture: Fixture) -> None:
    paths = dict.fromkeys(
        endpoint.path for endpoint in ENDPOINTS if not endpoint.match_subpaths and "{" not in endpoint.path
    )
    for path in paths:
        existing = {endpoint.method for endpoint in ENDPOINTS if endpoint.path == path}
        missing = next(method for method in ("PUT", "DELETE", "PATCH") if method not in existing)
        for method in (missing, "TRACE"):
            response = fixture.client.request(method, path)
            if response.code == "not_found" and path in {"/docs", "/openapi.json"}:
                continue
            require(response.status in {405, 501}, f"{method} {path} returned {response}")
            if response.code == "method_not_allowed":
                allowed = {name.strip() for name in str(response.header("allow")).split(",")}
                require(existing <= allowed, f"Allow of {method} {path} does not list every method")


def _unknown_path(fixture: Fixture) -> None:
    response = fixture.attacker.tenant.request("GET", f"/{uuid4().hex}")
    require(response.code == "not_found", f"The response was {response}")
    require(set(response.json) == {"error", "code", "status"}, "The error has another format")


def _origins(fixture: Fixture) -> None:
    for origin in (f"https://{uuid4().hex}.invalid", "null"):
        for method in ("GET", "OPTIONS"):
            response = fixture.attacker.tenant.request(method, "/user", headers={"Origin": origin})
            require(response.code == "origin_not_allowed", f"{method} returned {response}")
            require(
                response.header("access-control-allow-origin") is None,
                f"{method} allowed the page to read the response",
            )


def _headers(fixture: Fixture) -> None:
    invariants = fixture.client.invariants
    require(not invariants.missing_headers, f"Missing or changed: {describe(invariants.missing_headers)}")
    require(not invariants.missing_request_ids, f"Without X-Request-Id: {describe(invariants.missing_request_ids)}")


def _server_errors(fixture: Fixture) -> None:
    invariants = fixture.client.invariants
    require(not invariants.server_errors, f"Server errors: {describe(invariants.server_errors)}")
    require(not invariants.internals, f"Internals exposed: {describe(invariants.internals)}")


def _hashes(fixture: Fixture) -> None:
    invariants = fixture.client.invariants
    require(not invariants.hashes, f"A hash in the response to {describe(invariants.hashes)}")
