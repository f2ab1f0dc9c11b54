"""Tenants are none of each other's business: the matrix of every endpoint, and what it cannot say."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from doorward.core.model import Permission
from doorward.http.endpoints import Endpoint, Proof
from doorward.http.routes import ENDPOINTS
from doorward.selftest.client import Answer
from doorward.selftest.findings import Check
from doorward.selftest.stand import Stand
from doorward.selftest.targets import CannotAim, aim, encode, masked, media, named, nobodys, proof, spares_others
from doorward.selftest.verdicts import Failed, NotTried, demand

REGISTRATION = ("POST", "/tenant")
"""The one place that says whether an address is taken: to whom the operator lets register tenants."""

_FAULT = 500
_METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
_OURS = {"content-type", "www-authenticate", "allow", "location", "set-cookie"}


def strike(
    stand: Stand, endpoint: Endpoint, names: Mapping[str, str], credential: str | None, *, charged: bool = False
) -> Answer:
    """Send the request of an endpoint for the objects that `names` names.

    Failed where nobody knows how; NotTried where it might happen to somebody else.
    """
    try:
        path, body, query = aim(endpoint, names)
        if not spares_others(endpoint):
            stand.mind_others()
    except CannotAim as reason:
        raise Failed(str(reason)) from None
    # What asks for a gateway has the user's token where others have the tenant's.
    headers = {"Authorization": f"Bearer {names['token']}"} if endpoint.everywhere else {}
    headers |= proof(endpoint, credential)
    content = None
    if body is not None:
        headers["Content-Type"] = media(endpoint)
        content = encode(endpoint, body)
    return stand.client.ask(endpoint.method, path, content, headers, query, charged=charged)


def checks(endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> Iterator[Check]:
    """Yield the matrix of these endpoints, and what stands beside it."""
    yield Check("Every route that is served is one that this self test knows", ("TI1",), _known_routes)
    for endpoint in endpoints:
        name = named(endpoint)
        if (endpoint.method, endpoint.path) == REGISTRATION:
            yield Check(f"{name}: a taken address is refused, and nothing taken over", ("EN4",), _registration)
            continue
        harmless = endpoint.method == "GET"
        run = partial(_another, endpoint)
        yield Check(f"{name}: another tenant's objects are answered like none", ("TI1",), run, harmless)
        if endpoint.proof is Proof.TENANT:
            run = partial(_lesser, endpoint)
            yield Check(f"{name}: an API key without the permission is refused", ("TI1",), run, harmless)
    yield Check("Another's user is neither recognised nor logged out, at any door", ("TI2", "TI1"), _foreign_session)
    yield Check("A user of the same login is another user", ("TI3",), _same_login)
    yield Check("Names made like patterns and keys reach nobody else", ("TI4",), _hostile_names)
    yield Check("A tenant named in headers, query, body or cookie counts for nothing", ("TI5",), _named_elsewhere)
    yield Check("No path leads into another tenant", ("TI5",), _paths)
    yield Check("Fields that are not published change nothing", ("TI6",), _mass_assignment)
    yield Check("Another's cursor opens a page of one's own list", ("TI9",), _cursor)
    yield Check("Another's ids are no names here", ("TI9",), _ids)


def _another(endpoint: Endpoint, stand: Stand) -> None:
    attacker, victim = stand.attacker, stand.victim
    proven = endpoint.proof is Proof.TENANT
    wanted, unwanted = victim.names(), nobodys()
    for kind, credential in (("its token", attacker.tenant.token), ("an API key", attacker.key)):
        told = []
        for names in (wanted, unwanted):
            attacker.tenant.made.add(names["login"])
            charged = endpoint.proof in {Proof.NONE, Proof.TOKEN}
            answer = strike(stand, endpoint, names, f"Bearer {credential}" if proven else None, charged=charged)
            demand(answer.status < _FAULT, f"With {kind} it was answered {answer}")
            spoken = f"{answer.text}\n{answer.headers}"
            for what, secret in victim.secrets().items():
                demand(
                    secret in names.values() or secret not in spoken,
                    f"With {kind} it was answered {answer.status} with the other tenant's {what}",
                )
            told.append(_essence(answer, names, attacker.names()))
            attacker.tidy()
        if aim(endpoint, wanted) != aim(endpoint, unwanted):
            _demand_alike(kind, told[0], told[1])
        if not proven:
            break
    _demand_unharmed(stand)


def _essence(
    answer: Answer, names: Mapping[str, str], own: Mapping[str, str]
) -> tuple[str, list[tuple[str, str]], str]:
    # Proxies add what differs with each answer; what the service says is among these.
    headers = sorted(pair for pair in answer.headers if pair[0] in _OURS or pair[0].startswith("x-auth-"))
    return str(answer), headers, masked(answer.text, names, own)


def _demand_alike(
    kind: str, theirs: tuple[str, list[tuple[str, str]], str], nobodys_own: tuple[str, list[tuple[str, str]], str]
) -> None:
    demand(
        theirs[0] == nobodys_own[0],
        f"With {kind}, another's object was answered {theirs[0]} and one that nobody has {nobodys_own[0]}",
    )
    demand(
        theirs == nobodys_own, f"With {kind}, another's object and nobody's were answered {theirs[0]} in other words"
    )


def _demand_unharmed(stand: Stand) -> None:
    damage = stand.victim.damage()
    demand(not damage, f"The other tenant was changed: {damage}")


def _lesser(endpoint: Endpoint, stand: Stand) -> None:
    attacker = stand.attacker
    key = attacker.key
    if endpoint.permission is not None:
        other = Permission.VERIFY if endpoint.permission != Permission.VERIFY else Permission.USERS_READ
        key = attacker.lesser[other]
    answer = strike(stand, endpoint, nobodys(), f"Bearer {key}")
    wanted = "unauthorized_client" if endpoint.form else "permission_denied"
    demand(answer.code == wanted, f"It was answered {answer}")


def _known_routes(stand: Stand) -> None:
    answer = stand.client.ask("GET", "/openapi.json")
    paths = answer.json.get("paths") if isinstance(answer.json, dict) else None
    if not isinstance(paths, dict):
        raise NotTried(f"The installation does not describe itself (DOCS): GET /openapi.json was answered {answer}.")
    served = {f"{method.upper()} {path}" for path, what in paths.items() for method in _METHODS & what.keys()}
    known = {named(endpoint) for endpoint in ENDPOINTS}
    demand(
        served == known,
        f"The installation and this program are not of one version: {', '.join(sorted(served ^ known))}. Run the self "
        f"test of the version that is installed",
    )


def _registration(stand: Stand) -> None:
    answer = stand.client.ask(
        "POST", "/tenant", {"email": stand.victim.tenant.email, "password": "Mallorys-Own-1"}, charged=True
    )
    if answer.code == "forbidden":
        raise NotTried("This address may not register tenants, so nothing is told to it.")
    demand(answer.code == "tenant_exists", f"It was answered {answer}")
    _demand_unharmed(stand)


def _foreign_session(stand: Stand) -> None:
    attacker, victim = stand.attacker, stand.victim
    ask, token = attacker.tenant.ask, victim.token
    for path in ("/auth/verify", "/auth/logout"):
        answer = ask("POST", path, {"token": token}, fresh=True)
        demand(answer.code == "invalid_token", f"POST {path} was answered {answer}")
    [found] = attacker.tenant.must("POST", "/auth/verify/batch", {"tokens": [token]})["results"]
    demand(found == {"active": False}, "POST /auth/verify/batch called another's token active")
    for one in (token, victim.refresh_token):
        demand(not attacker.tenant.introspect(one), "POST /oauth/introspect called another's token active")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        ask("POST", "/oauth/revoke", f"token={one}".encode(), headers=form)
    answer = ask("POST", "/auth/refresh", {"refreshToken": victim.refresh_token})
    demand(answer.code == "invalid_refresh_token", f"POST /auth/refresh was answered {answer}")
    at_gateway = {"Authorization": f"Bearer {token}", "X-Doorward-Key": attacker.key}
    answer = stand.client.ask("GET", "/forward-auth", headers=at_gateway)
    demand(answer.code == "not_authenticated", f"GET /forward-auth was answered {answer}")
    demand(victim.tenant.introspect(token), "Its own tenant does not recognise the user either")
    _demand_unharmed(stand)


def _same_login(stand: Stand) -> None:
    attacker, victim = stand.attacker, stand.victim
    own = f"mallorys-{uuid4().hex}"
    same = {"email": victim.user["email"], "sub": victim.user["sub"]}
    try:
        made = attacker.tenant.create(victim.login, own, **same)
        demand(made.get("id") != victim.user["id"], "Both users have one id")
        token = attacker.tenant.session(victim.login, own, str(victim.session["deviceId"]))["accessToken"]
        answer = victim.tenant.ask("POST", "/auth/verify", {"token": token})
        demand(answer.code == "invalid_token", f"The other tenant's POST /auth/verify was answered {answer}")
        attacker.tenant.must("PATCH", f"/user/{victim.login}", {"disabled": True, "scope": "all"})
        attacker.tenant.must("DELETE", f"/user/{victim.login}/sessions")
        _demand_unharmed(stand)
    finally:
        attacker.tidy()
    _demand_unharmed(stand)


def _hostile_names(stand: Stand) -> None:
    attacker, victim = stand.attacker, stand.victim
    # Were they patterns, they would mean the victim, and nobody who is not in this play.
    for name in (
        f"{victim.login}*",
        f"{victim.login[:-1]}?",
        f"{victim.login}%",
        f"{victim.login[:-1]}_",
        f"x' OR login='{victim.login}",
        f"../{victim.login}",
        f"{victim.tenant.id}:{victim.login}",
        str(victim.user["id"]),
    ):
        try:
            attacker.tenant.create(name, "a-password", sub=name)
            found = attacker.tenant.logins()
            demand(sorted(found) == sorted([attacker.LOGIN, name]), "A list held other users than one's own")
        finally:
            attacker.tidy()
        demand(attacker.tenant.logins() == [attacker.LOGIN], "Such a user could not be deleted")
    for pattern in ("%%%", "___", "***"):
        users = attacker.tenant.must("GET", "/user", query={"q": pattern})["users"]
        demand(users == [], "A search for a pattern found users")
    _demand_unharmed(stand)


def _named_elsewhere(stand: Stand) -> None:
    attacker, victim = stand.attacker, stand.victim
    them, theirs = victim.tenant.id, f"Bearer {victim.tenant.token}"
    headers = {
        "X-Tenant-ID": them,
        "X-Tenant": them,
        "Tenant": them,
        "X-Original-URL": f"/tenant/{them}/user",
        "X-HTTP-Method-Override": "DELETE",
        "Cookie": f"tenant={them}; token={victim.tenant.token}",
        "X-Authorization": theirs,
    }
    for query in ({}, {"tenant": them}, {"tenantId": them}, {"tenant_id": them}):
        found = attacker.tenant.must("GET", "/user", query=query, headers=headers)["users"]
        demand([user["login"] for user in found] == [attacker.LOGIN], "A list held other users than one's own")
    body = {"token": victim.token, "tenant": them, "tenantId": them}
    answer = attacker.tenant.ask("POST", "/auth/verify", body, headers=headers)
    demand(answer.code == "invalid_token", f"POST /auth/verify was answered {answer}")
    _demand_unharmed(stand)


def _paths(stand: Stand) -> None:
    attacker, them = stand.attacker, stand.victim.tenant.id
    for path in ("/ghost/user", f"/{them}/user", f"/tenant/{them}/user", f"/tenant/{them}", "/users"):
        for method in ("GET", "POST"):
            answer = attacker.tenant.ask(method, path)
            demand(answer.code in {"not_found", "method_not_allowed"}, f"{method} was answered {answer}")
    _demand_unharmed(stand)


def _mass_assignment(stand: Stand) -> None:
    attacker, victim = stand.attacker, stand.victim
    extra: dict[str, Any] = {
        "id": str(uuid4()),
        "tenant": victim.tenant.id,
        "tenantId": victim.tenant.id,
        "isTenant": True,
        "role": "admin",
        "registrationDate": 1,
        "lastActivity": 1,
    }
    login = f"eve-{uuid4().hex}"
    try:
        made = attacker.tenant.create(login, "a-password", **extra)
        demand(made.get("id") != extra["id"], "A user chose its own id")
        demand(made.get("tenant") == attacker.tenant.id, "A user was put into another tenant")
        demand(made.get("registrationDate") != 1, "A user chose when it was registered")
        demand(not {"isTenant", "role"} & made.keys(), "A user got fields that are not published")
        token = attacker.tenant.session(login, "a-password", **extra)["accessToken"]
        said = attacker.tenant.must("POST", "/auth/verify", {"token": token})["decoded"]
        demand(said.get("id") == made.get("id"), "A login chose whose token it got")
        demand(said.get("tenant") == attacker.tenant.id, "A login chose the tenant of its token")
    finally:
        attacker.tidy()
    _demand_unharmed(stand)


def _cursor(stand: Stand) -> None:
    attacker, victim = stand.attacker, stand.victim
    try:
        attacker.tenant.create("zoe", "a-password")
        answer = attacker.tenant.ask("GET", "/user", query={"cursor": victim.cursor, "limit": "10"})
        found = {str(user.get("login")) for user in answer.json.get("users", [])}
        demand(found <= {attacker.LOGIN, "zoe"}, "The page held other users than one's own")
    finally:
        attacker.tidy()


def _ids(stand: Stand) -> None:
    attacker, victim = stand.attacker, stand.victim
    for name in (str(victim.user["id"]), victim.tenant.id, victim.tenant.email, f"tenant:{victim.tenant.email}"):
        answer = attacker.tenant.ask("GET", f"/user/{name}")
        demand(answer.code == "login_not_found", f"GET /user/{{login}} was answered {answer}")
        answer = attacker.tenant.ask("DELETE", f"/user/{name}")
        demand(answer.code == "login_not_found", f"DELETE /user/{{login}} was answered {answer}")
    _demand_unharmed(stand)
