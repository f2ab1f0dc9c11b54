"""Checks of tenant isolation at every endpoint, and of the endpoint table's completeness."""

from collections.abc import Iterator, Mapping
from functools import partial

from doorward.core.model import Permission
from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.routes import ENDPOINTS
from doorward.selftest.client import Response
from doorward.selftest.findings import Check
from doorward.selftest.fixture import Fixture
from doorward.selftest.outcomes import Failed, NotRun, require
from doorward.selftest.requests import (
    CannotFillRequest,
    authorization,
    encode,
    fill_request,
    is_safe_for_others,
    masked,
    media,
    mentions,
    named,
    unowned_names,
)

REGISTRATION = ("POST", "/tenant")
"""The only endpoint that reveals registered addresses, to clients that may register tenants."""

_SERVER_ERROR = 500
_METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
_COMPARED_HEADERS = {"content-type", "www-authenticate", "allow", "location", "set-cookie"}


def attack(
    fixture: Fixture, endpoint: Endpoint, names: Mapping[str, str], credential: str | None, *, charged: bool = False
) -> Response:
    """Send the request of an endpoint for the objects that `names` names.

    Failed if a field cannot be filled; NotRun if the request might change other tenants.
    """
    try:
        path, body, query = fill_request(endpoint, names)
        if not is_safe_for_others(endpoint):
            fixture.protect_others()
    except CannotFillRequest as reason:
        raise Failed(str(reason)) from None
    # At /forward-auth, Authorization has the user's token.
    headers = {"Authorization": f"Bearer {names['token']}"} if endpoint.match_subpaths else {}
    headers |= authorization(endpoint, credential)
    content = None
    if body is not None:
        headers["Content-Type"] = media(endpoint)
        content = encode(endpoint, body)
    return fixture.client.request(endpoint.method, path, content, headers, query, charged=charged)


def checks(endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> Iterator[Check]:
    """Yield the checks of each of these endpoints."""
    yield Check("The served routes match the endpoint table", ("TI1",), _known_routes)
    for endpoint in endpoints:
        name = named(endpoint)
        if (endpoint.method, endpoint.path) == REGISTRATION:
            yield Check(
                f"{name}: a registered e-mail address is rejected and its tenant unchanged", ("EN4",), _registration
            )
            continue
        harmless = endpoint.method == "GET"
        run = partial(_foreign_objects, endpoint)
        yield Check(f"{name}: another tenant's objects look like missing ones", ("TI1",), run, harmless)
        if endpoint.auth is Auth.TENANT:
            run = partial(_limited_key, endpoint)
            yield Check(f"{name}: an API key without the permission is rejected", ("TI1",), run, harmless)


def _foreign_objects(endpoint: Endpoint, fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    authenticated = endpoint.auth is Auth.TENANT
    foreign, missing = victim.names(), unowned_names()
    for kind, credential in (("its token", attacker.tenant.token), ("an API key", attacker.key)):
        answers = []
        for names in (foreign, missing):
            attacker.tenant.created.add(names["login"])
            charged = endpoint.auth in {Auth.NONE, Auth.TOKEN}
            response = attack(
                fixture, endpoint, names, f"Bearer {credential}" if authenticated else None, charged=charged
            )
            require(response.status < _SERVER_ERROR, f"With {kind} the response was {response}")
            text = f"{response.text}\n{response.headers}"
            for description, secret in victim.secrets().items():
                require(
                    mentions(endpoint, names, secret) or secret not in text,
                    f"With {kind} the response {response.status} contained the other tenant's {description}",
                )
            answers.append(_comparable(response, names, attacker.names()))
            attacker.clean_up()
        if fill_request(endpoint, foreign) != fill_request(endpoint, missing):
            _require_equal(kind, answers[0], answers[1])
        if not authenticated:
            break
    require_unharmed(fixture)


def _comparable(
    response: Response, names: Mapping[str, str], own_names: Mapping[str, str]
) -> tuple[str, list[tuple[str, str]], str]:
    # Only the service's own headers: proxies add some that differ in each response.
    headers = sorted(pair for pair in response.headers if pair[0] in _COMPARED_HEADERS or pair[0].startswith("x-auth-"))
    return str(response), headers, masked(response.text, names, own_names)


def _require_equal(
    kind: str, foreign: tuple[str, list[tuple[str, str]], str], missing: tuple[str, list[tuple[str, str]], str]
) -> None:
    require(
        foreign[0] == missing[0],
        f"With {kind}, the response was {foreign[0]} for another tenant's object and {missing[0]} for a missing one",
    )
    require(
        foreign == missing,
        f"With {kind}, the responses {foreign[0]} for another tenant's object and for a missing one differ",
    )


def require_unharmed(fixture: Fixture) -> None:
    """Require that the victim's objects are unchanged."""
    damage = fixture.victim.find_damage()
    require(not damage, f"The other tenant was changed: {damage}")


def _limited_key(endpoint: Endpoint, fixture: Fixture) -> None:
    attacker = fixture.attacker
    key = attacker.key
    if endpoint.permission is not None:
        other = Permission.VERIFY if endpoint.permission != Permission.VERIFY else Permission.USERS_READ
        key = attacker.limited_key[other]
    response = attack(fixture, endpoint, unowned_names(), f"Bearer {key}")
    wanted = "unauthorized_client" if endpoint.is_form else "permission_denied"
    require(response.code == wanted, f"The response was {response}")


def _known_routes(fixture: Fixture) -> None:
    response = fixture.client.request("GET", "/openapi.json")
    paths = response.json.get("paths") if isinstance(response.json, dict) else None
    if not isinstance(paths, dict):
        raise NotRun(f"The OpenAPI document is not served (DOCS): GET /openapi.json returned {response}.")
    served = {f"{method.upper()} {path}" for path, item in paths.items() for method in _METHODS & item.keys()}
    known = {named(endpoint) for endpoint in ENDPOINTS}
    require(
        served == known,
        f"The installation and this program differ in version: {', '.join(sorted(served ^ known))}. Run the self-test "
        f"of the installed version",
    )


def _registration(fixture: Fixture) -> None:
    response = fixture.client.request(
        "POST", "/tenant", {"email": fixture.victim.tenant.email, "password": "Mallorys-Own-1"}, charged=True
    )
    if response.code == "forbidden":
        raise NotRun("This address may not register tenants, so the service reveals no e-mail address to it.")
    require(response.code == "tenant_exists", f"The response was {response}")
    require_unharmed(fixture)
