"""Tenants are none of each other's business: what no single endpoint shows."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from doorward.core.users.service import SearchField
from doorward.selftest.checks.matrix import require_unharmed
from doorward.selftest.findings import Check
from doorward.selftest.fixture import Fixture
from doorward.selftest.outcomes import require


def checks() -> Iterator[Check]:
    """Yield what stands beside the matrix of endpoints."""
    yield Check("Another's user is neither recognised nor logged out, at any door", ("TI2", "TI1"), _foreign_session)
    yield Check("A user of the same login is another user", ("TI3",), _same_login)
    yield Check("Names made like patterns and keys reach nobody else", ("TI4",), _hostile_names)
    yield Check("A tenant named in headers, query, body or cookie counts for nothing", ("TI5",), _named_elsewhere)
    yield Check("No path leads into another tenant", ("TI5",), _paths)
    yield Check("Fields that are not published change nothing", ("TI6",), _mass_assignment)
    yield Check("Another's cursor opens a page of one's own list", ("TI9",), _cursor)
    yield Check("Another's ids are no names here", ("TI9",), _ids)
    yield Check("A search by any field finds one's own users only", ("TI1",), _found)


def _foreign_session(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    ask, token = attacker.tenant.request, victim.token
    for path in ("/auth/verify", "/auth/logout"):
        response = ask("POST", path, {"token": token}, fresh=True)
        require(response.code == "invalid_token", f"POST {path} was answered {response}")
    [found] = attacker.tenant.require("POST", "/auth/verify/batch", {"tokens": [token]})["results"]
    require(found == {"active": False}, "POST /auth/verify/batch called another's token active")
    for one in (token, victim.refresh_token):
        require(not attacker.tenant.introspect(one), "POST /oauth/introspect called another's token active")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        ask("POST", "/oauth/revoke", f"token={one}".encode(), headers=form)
    response = ask("POST", "/auth/refresh", {"refreshToken": victim.refresh_token})
    require(response.code == "invalid_refresh_token", f"POST /auth/refresh was answered {response}")
    at_gateway = {"Authorization": f"Bearer {token}", "X-Doorward-Key": attacker.key}
    response = fixture.client.request("GET", "/forward-auth", headers=at_gateway)
    require(response.code == "not_authenticated", f"GET /forward-auth was answered {response}")
    require(victim.tenant.introspect(token), "Its own tenant does not recognise the user either")
    require_unharmed(fixture)


def _same_login(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    own = f"mallorys-{uuid4().hex}"
    same = {"email": victim.user["email"], "sub": victim.user["sub"]}
    try:
        made = attacker.tenant.create(victim.login, own, **same)
        require(made.get("id") != victim.user["id"], "Both users have one id")
        token = attacker.tenant.session(victim.login, own, str(victim.session["deviceId"]))["accessToken"]
        response = victim.tenant.request("POST", "/auth/verify", {"token": token})
        require(response.code == "invalid_token", f"The other tenant's POST /auth/verify was answered {response}")
        attacker.tenant.require("PATCH", f"/user/{victim.login}", {"disabled": True, "scope": "all"})
        attacker.tenant.require("DELETE", f"/user/{victim.login}/sessions")
        require_unharmed(fixture)
    finally:
        attacker.clean_up()
    require_unharmed(fixture)


def _hostile_names(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    # Were they patterns, they would mean the victim, and nobody who is not in this play.
    for name in (
        f"{victim.login}*",
        f"{victim.login[:-1]}?",
        f"{victim.login}%",
        f"{victim.login[:-1]}_",
        f"x' OR login='{victim.login}",
        f"x/{victim.login}",
        f"{victim.tenant.id}:{victim.login}",
        str(victim.user["id"]),
    ):
        try:
            attacker.tenant.create(name, "a-password", sub=name)
            found = attacker.tenant.logins()
            require(sorted(found) == sorted([attacker.LOGIN, name]), "A list held other users than one's own")
        finally:
            attacker.clean_up()
        require(attacker.tenant.logins() == [attacker.LOGIN], "Such a user could not be deleted")
    for pattern in ("%%%", "___", "***"):
        users = attacker.tenant.require("GET", "/user", query={"q": pattern})["users"]
        require(users == [], "A search for a pattern found users")
    require_unharmed(fixture)


def _named_elsewhere(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
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
    found = attacker.tenant.require("GET", "/user", headers=headers)["users"]
    require([user["login"] for user in found] == [attacker.LOGIN], "A list held other users than one's own")
    for name in ("tenant", "tenantId", "tenant_id"):
        response = attacker.tenant.request("GET", "/user", query={name: them}, headers=headers)
        require(response.code == "validation_error", f"GET /user with a tenant in the query was answered {response}")
    body = {"token": victim.token, "tenant": them, "tenantId": them}
    response = attacker.tenant.request("POST", "/auth/verify", body, headers=headers)
    require(response.code == "invalid_token", f"POST /auth/verify was answered {response}")
    require_unharmed(fixture)


def _paths(fixture: Fixture) -> None:
    attacker, them = fixture.attacker, fixture.victim.tenant.id
    for path in ("/ghost/user", f"/{them}/user", f"/tenant/{them}/user", f"/tenant/{them}", "/users"):
        for method in ("GET", "POST"):
            response = attacker.tenant.request(method, path)
            require(response.code in {"not_found", "method_not_allowed"}, f"{method} was answered {response}")
    require_unharmed(fixture)


def _mass_assignment(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
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
        require(made.get("id") != extra["id"], "A user chose its own id")
        require(made.get("tenant") == attacker.tenant.id, "A user was put into another tenant")
        require(made.get("registrationDate") != 1, "A user chose when it was registered")
        require(not {"isTenant", "role"} & made.keys(), "A user got fields that are not published")
        token = attacker.tenant.session(login, "a-password", **extra)["accessToken"]
        said = attacker.tenant.require("POST", "/auth/verify", {"token": token})["decoded"]
        require(said.get("id") == made.get("id"), "A login chose whose token it got")
        require(said.get("tenant") == attacker.tenant.id, "A login chose the tenant of its token")
    finally:
        attacker.clean_up()
    require_unharmed(fixture)


def _cursor(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    try:
        attacker.tenant.create("zoe", "a-password")
        response = attacker.tenant.request("GET", "/user", query={"cursor": victim.cursor, "limit": "10"})
        found = {str(user.get("login")) for user in response.json.get("users", [])}
        require(found <= {attacker.LOGIN, "zoe"}, "The page held other users than one's own")
    finally:
        attacker.clean_up()


def _ids(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    for name in (str(victim.user["id"]), victim.tenant.id, victim.tenant.email, f"tenant:{victim.tenant.email}"):
        response = attacker.tenant.request("GET", f"/user/{name}")
        require(response.code == "login_not_found", f"GET /user/{{login}} was answered {response}")
        response = attacker.tenant.request("DELETE", f"/user/{name}")
        require(response.code == "login_not_found", f"DELETE /user/{{login}} was answered {response}")
    require_unharmed(fixture)


def _found(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    for field in SearchField:
        text = victim.login if field is SearchField.PART else str(victim.user[field])
        users = attacker.tenant.require("GET", "/user", query={field: text})["users"]
        require(users == [], f"GET /user?{field}= found another's user")
        [user] = victim.tenant.require("GET", "/user", query={field: text, "limit": "1"})["users"]
        require(user["id"] == victim.user["id"], f"GET /user?{field}= did not find one's own user")
