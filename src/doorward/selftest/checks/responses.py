"""What goes in is read strictly, and what comes out says no more than it should."""

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
    """Yield what is tried with bodies of every endpoint that takes one, and what is the same at all of them."""
    bodies = [endpoint for endpoint in endpoints if endpoint.request_body]
    for endpoint in bodies:
        yield Check(f"{named(endpoint)}: only its own type of body is read", ("IN4",), partial(_wrong_type, endpoint))
        if not endpoint.is_form:
            run = partial(_twice, endpoint)
            yield Check(f"{named(endpoint)}: a name that is there twice is refused", ("IN2",), run)
        if endpoint.max_body_bytes == MAX_BODY_BYTES:
            yield Check(f"{named(endpoint)}: a body that is too large is refused", ("IN1",), partial(_large, endpoint))
    yield Check("A fault of a field is told by its name and never by its value", ("IN3", "IN11"), _no_echo)
    yield Check("A query parameter that is given twice is refused", ("IN10",), _repeated)
    yield Check("Methods that are not there are refused, with those that are", ("TR4",), _methods)
    yield Check("A path that is not there is refused in the one shape of every error", ("IN11",), _nowhere)
    yield Check("Pages of other origins are refused", ("TR6",), _origins)


def closing_checks() -> Iterator[Check]:
    """Yield what is said of all answers together, at the end."""
    yield Check("Every answer had the security headers and a request id", ("TR5",), _headers)
    yield Check("No request was answered with a fault, and none told of the inside", ("IN11",), _faults)
    yield Check("No answer held a hash of a password", ("PW10",), _hashes)


def _send(fixture: Fixture, endpoint: Endpoint, content: bytes, **headers: str) -> Response:
    """Send raw bytes as the body of an endpoint, with the credential it wants, about nobody."""
    try:
        path, _, _ = fill_request(endpoint, unowned_names())
    except CannotFillRequest as reason:
        raise Failed(str(reason)) from None
    given = {"Content-Type": media(endpoint), **headers}
    if endpoint.auth is Auth.TENANT:
        given |= authorization(endpoint, f"Bearer {fixture.attacker.tenant.token}")
    charged = endpoint.auth is Auth.NONE
    return fixture.client.request(endpoint.method, path, content, given, charged=charged)


def _refused(response: Response, *codes: str) -> None:
    if response.code == _FORBIDDEN:
        raise NotRun("This address may not register tenants.")
    require(response.code in codes, f"It was answered {response}")


def _wrong_type(endpoint: Endpoint, fixture: Fixture) -> None:
    for kind in ("text/plain", "application/problem+json", "multipart/form-data"):
        _refused(_send(fixture, endpoint, b"{}", **{"Content-Type": kind}), "unsupported_media_type")
    zipped = {"Content-Encoding": "gzip"}
    _refused(_send(fixture, endpoint, b"{}", **zipped), "unsupported_media_type")


def _twice(endpoint: Endpoint, fixture: Fixture) -> None:
    _, body, _ = _aimed(endpoint)
    name, value = next(iter((body or {}).items()))
    pair = f"{json.dumps(name)}:{json.dumps(value)}"
    _refused(_send(fixture, endpoint, f"{{{pair},{pair}}}".encode()), "malformed_json")


def _aimed(endpoint: Endpoint) -> tuple[str, dict[str, object] | None, dict[str, str]]:
    try:
        return fill_request(endpoint, unowned_names())
    except CannotFillRequest as reason:
        raise Failed(str(reason)) from None


def _large(endpoint: Endpoint, fixture: Fixture) -> None:
    response = _send(fixture, endpoint, b" " * (endpoint.max_body_bytes + 1))
    # A proxy in front may be stricter, and says it in its own words.
    require(response.status == 413, f"It was answered {response}")  # noqa: PLR2004 - Content Too Large


def _no_echo(fixture: Fixture) -> None:
    canary = f"canary{uuid4().hex}"
    wrong: Callable[[object], dict[str, object]] = lambda value: dict.fromkeys(  # noqa: E731 - said three times
        ("login", "email", "password", "sub"), value
    )
    for value in ({canary: 1}, [canary], 17):
        response = fixture.attacker.tenant.request("POST", "/user", wrong(value))
        require(response.status == 422, f"A value of the wrong type was answered {response}")  # noqa: PLR2004 - as published
        require(canary not in response.text, "A refusal repeated what was sent")
        named_fields = {str((one.get("path") or [""])[0]) for one in _details(response)}
        require(named_fields >= {"login", "email", "password"}, "A refusal does not name every faulty field")


def _details(response: Response) -> list[dict[str, list[str]]]:
    found = response.json.get("error", {})
    details = found.get("details", []) if isinstance(found, dict) else []
    return [one for one in details if isinstance(one, dict)]


def _repeated(fixture: Fixture) -> None:
    response = fixture.attacker.tenant.request("GET", "/user?limit=1&limit=2")
    require(response.code == "validation_error", f"It was answered {response}")


def _methods(fixture: Fixture) -> None:
    paths = dict.fromkeys(
        endpoint.path for endpoint in ENDPOINTS if not endpoint.match_subpaths and "{" not in endpoint.path
    )
    for path in paths:
        there = {endpoint.method for endpoint in ENDPOINTS if endpoint.path == path}
        missing = next(method for method in ("PUT", "DELETE", "PATCH") if method not in there)
        for method in (missing, "TRACE"):
            response = fixture.client.request(method, path)
            if response.code == "not_found" and path in {"/docs", "/openapi.json"}:
                continue
            require(response.status in {405, 501}, f"{method} {path} was answered {response}")
            if response.code == "method_not_allowed":
                allowed = {one.strip() for one in str(response.header("allow")).split(",")}
                require(there <= allowed, f"{method} {path} was refused without those that are there")


def _nowhere(fixture: Fixture) -> None:
    response = fixture.attacker.tenant.request("GET", f"/{uuid4().hex}")
    require(response.code == "not_found", f"It was answered {response}")
    require(set(response.json) == {"error", "code", "status"}, "The refusal has another shape")


def _origins(fixture: Fixture) -> None:
    for origin in (f"https://{uuid4().hex}.invalid", "null"):
        for method in ("GET", "OPTIONS"):
            response = fixture.attacker.tenant.request(method, "/user", headers={"Origin": origin})
            require(response.code == "origin_not_allowed", f"{method} was answered {response}")
            require(response.header("access-control-allow-origin") is None, f"{method} let the page read the answer")


def _headers(fixture: Fixture) -> None:
    invariants = fixture.client.invariants
    require(not invariants.headless, f"Missing or changed: {describe(invariants.headless)}")
    require(not invariants.nameless, f"Without X-Request-Id: {describe(invariants.nameless)}")


def _faults(fixture: Fixture) -> None:
    invariants = fixture.client.invariants
    require(not invariants.faults, f"A fault: {describe(invariants.faults)}")
    require(not invariants.insides, f"It told of the inside: {describe(invariants.insides)}")


def _hashes(fixture: Fixture) -> None:
    invariants = fixture.client.invariants
    require(not invariants.hashes, f"A hash in the answer to {describe(invariants.hashes)}")
