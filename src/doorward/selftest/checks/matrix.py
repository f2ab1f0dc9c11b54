"""Tenants are none of each other's business, at every endpoint: the matrix, and whether the table is whole."""

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
"""The one place that says whether an address is taken: to whom the operator lets register tenants."""

_FAULT = 500
_METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
_OURS = {"content-type", "www-authenticate", "allow", "location", "set-cookie"}


def attack(
    fixture: Fixture, endpoint: Endpoint, names: Mapping[str, str], credential: str | None, *, charged: bool = False
) -> Response:
    """Send the request of an endpoint for the objects that `names` names.

    Failed where nobody knows how; NotTried where it might happen to somebody else.
    """
    try:
        path, body, query = fill_request(endpoint, names)
        if not is_safe_for_others(endpoint):
            fixture.protect_others()
    except CannotFillRequest as reason:
        raise Failed(str(reason)) from None
    # What asks for a gateway has the user's token where others have the tenant's.
    headers = {"Authorization": f"Bearer {names['token']}"} if endpoint.match_subpaths else {}
    headers |= authorization(endpoint, credential)
    content = None
    if body is not None:
        headers["Content-Type"] = media(endpoint)
        content = encode(endpoint, body)
    return fixture.client.request(endpoint.method, path, content, headers, query, charged=charged)


def checks(endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> Iterator[Check]:
    """Yield the matrix of these endpoints."""
    yield Check("Every route that is served is one that this self test knows", ("TI1",), _known_routes)
    for endpoint in endpoints:
        name = named(endpoint)
        if (endpoint.method, endpoint.path) == REGISTRATION:
            yield Check(f"{name}: a taken address is refused, and nothing taken over", ("EN4",), _registration)
            continue
        harmless = endpoint.method == "GET"
        run = partial(_another, endpoint)
        yield Check(f"{name}: another tenant's objects are answered like none", ("TI1",), run, harmless)
        if endpoint.auth is Auth.TENANT:
            run = partial(_limited_key, endpoint)
            yield Check(f"{name}: an API key without the permission is refused", ("TI1",), run, harmless)


def _another(endpoint: Endpoint, fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    proven = endpoint.auth is Auth.TENANT
    wanted, unwanted = victim.names(), unowned_names()
    for kind, credential in (("its token", attacker.tenant.token), ("an API key", attacker.key)):
        told = []
        for names in (wanted, unwanted):
            attacker.tenant.made.add(names["login"])
            charged = endpoint.auth in {Auth.NONE, Auth.TOKEN}
            response = attack(fixture, endpoint, names, f"Bearer {credential}" if proven else None, charged=charged)
            require(response.status < _FAULT, f"With {kind} it was answered {response}")
            spoken = f"{response.text}\n{response.headers}"
            for what, secret in victim.secrets().items():
                require(
                    mentions(endpoint, names, secret) or secret not in spoken,
                    f"With {kind} it was answered {response.status} with the other tenant's {what}",
                )
            told.append(_comparable(response, names, attacker.names()))
            attacker.clean_up()
        if fill_request(endpoint, wanted) != fill_request(endpoint, unwanted):
            _require_equal(kind, told[0], told[1])
        if not proven:
            break
    require_unharmed(fixture)


def _comparable(
    response: Response, names: Mapping[str, str], own: Mapping[str, str]
) -> tuple[str, list[tuple[str, str]], str]:
    # Proxies add what differs with each answer; what the service says is among these.
    headers = sorted(pair for pair in response.headers if pair[0] in _OURS or pair[0].startswith("x-auth-"))
    return str(response), headers, masked(response.text, names, own)


def _require_equal(
    kind: str, theirs: tuple[str, list[tuple[str, str]], str], nobodys_own: tuple[str, list[tuple[str, str]], str]
) -> None:
    require(
        theirs[0] == nobodys_own[0],
        f"With {kind}, another's object was answered {theirs[0]} and one that nobody has {nobodys_own[0]}",
    )
    require(
        theirs == nobodys_own, f"With {kind}, another's object and nobody's were answered {theirs[0]} in other words"
    )


def require_unharmed(fixture: Fixture) -> None:
    """Demand that the other tenant is as it was, as far as it can see."""
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
    require(response.code == wanted, f"It was answered {response}")


def _known_routes(fixture: Fixture) -> None:
    response = fixture.client.request("GET", "/openapi.json")
    paths = response.json.get("paths") if isinstance(response.json, dict) else None
    if not isinstance(paths, dict):
        raise NotRun(f"The installation does not describe itself (DOCS): GET /openapi.json was answered {response}.")
    served = {f"{method.upper()} {path}" for path, what in paths.items() for method in _METHODS & what.keys()}
    known = {named(endpoint) for endpoint in ENDPOINTS}
    require(
        served == known,
        f"The installation and this program are not of one version: {', '.join(sorted(served ^ known))}. Run the self "
        f"test of the version that is installed",
    )


def _registration(fixture: Fixture) -> None:
    response = fixture.client.request(
        "POST", "/tenant", {"email": fixture.victim.tenant.email, "password": "Mallorys-Own-1"}, charged=True
    )
    if response.code == "forbidden":
        raise NotRun("This address may not register tenants, so nothing is told to it.")
    require(response.code == "tenant_exists", f"It was answered {response}")
    require_unharmed(fixture)
