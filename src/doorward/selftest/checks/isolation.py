"""Checks of tenant isolation that involve several endpoints."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from doorward.core.users.model import SearchField
from doorward.selftest.checks.matrix import require_unharmed
from doorward.selftest.findings import Check
from doorward.selftest.fixture import Fixture
from doorward.selftest.outcomes import require


def checks() -> Iterator[Check]:
    """Yield the checks that complement the matrix of endpoints."""
    yield Check("Another tenant's user is neither verified nor logged out", ("TI2", "TI1"), _foreign_session)
    yield Check("Users of two tenants with the same login are separate", ("TI3",), _same_login)
    yield Check("Logins that look like patterns or keys match no other users", ("TI4",), _hostile_names)
    yield Check("A tenant named in headers, query, body or cookie is ignored", ("TI5",), _named_elsewhere)
    yield Check("No path leads into another tenant", ("TI5",), _paths)
    yield Check("Undocumented fields of a request are ignored", ("TI6",), _mass_assignment)
    yield Check("Another tenant's cursor returns the caller's own users only", ("TI9",), _cursor)
    yield Check("Another tenant's ids are not found", ("TI9",), _ids)
    yield Check("A search by any field finds the caller's own users only", ("TI1",), _search)


def _foreign_session(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    request, token = attacker.tenant.request, victim.token
    for path in ("/auth/verify", "/auth/logout"):
        response = request("POST", path, {"token": token}, fresh=True)
        require(response.code == "invalid_token", f"POST {path} returned {response}")
    [result] = attacker.tenant.require("POST", "/auth/verify/batch", {"tokens": [token]})["results"]
    require(result == {"active": False}, "POST /auth/verify/batch called another's token active")
    for foreign in (token, victim.refresh_token):
        require(not attacker.tenant.introspect(foreign), "POST /oauth/introspect called another's token active")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        request("POST", "/oauth/revoke", f"token={foreign}".encode(), headers=form)
    response = request("POST", "/auth/refresh", {"refreshToken": victim.refresh_token})
    require(response.code == "invalid_refresh_token", f"POST /auth/refresh returned {response}")
    at_gateway = {"Authorization": f"Bearer {token}", "X-Doorward-Key": attacker.key}
    response = fixture.client.request("GET", "/forward-auth", headers=at_gateway)
    require(response.code == "not_authenticated", f"GET /forward-auth returned {response}")
    require(victim.tenant.introspect(token), "The user's own tenant does not verify the token either")
    require_unharmed(fixture)


def _same_login(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    password = f"mallorys-{uuid4().hex}"
    same = {"email": victim.user["email"], "sub": victim.user["sub"]}
    try:
        created = attacker.tenant.create(victim.login, password, **same)
        require(created.get("id") != victim.user["id"], "Both users have one id")
        token = attacker.tenant.session(victim.login, password, str(victim.session["deviceId"]))["accessToken"]
        response = victim.tenant.request("POST", "/auth/verify", {"token": token})
        require(response.code == "invalid_token", f"The other tenant's POST /auth/verify returned {response}")
        attacker.tenant.require("PATCH", f"/user/{victim.login}", {"disabled": True, "scope": "all"})
        attacker.tenant.require("DELETE", f"/user/{victim.login}/sessions")
        require_unharmed(fixture)
    finally:
        attacker.clean_up()
    require_unharmed(fixture)


def _hostile_names(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    # As patterns they would match the victim, and no tenant outside the self-test.
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
            logins = attacker.tenant.logins()
            require(sorted(logins) == sorted([attacker.LOGIN, name]), "A list contained another tenant's users")
        finally:
            attacker.clean_up()
        require(attacker.tenant.logins() == [attacker.LOGIN], "A user with such a login could not be deleted")
    for pattern in ("%%%", "___", "***"):
        users = attacker.tenant.require("GET", "/user", query={"q": pattern})["users"]
        require(users == [], "A search for a pattern found users")
    require_unharmed(fixture)


def _named_elsewhere(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    foreign_id, foreign_credential = victim.tenant.id, f"Bearer {victim.tenant.token}"
    headers = {
        "X-Tenant-ID": foreign_id,
        "X-Tenant": foreign_id,
        "Tenant": foreign_id,
        "X-Original-URL": f"/tenant/{foreign_id}/user",
        "X-HTTP-Method-Override": "DELETE",
        "Cookie": f"tenant={foreign_id}; token={victim.tenant.token}",
        "X-Authorization": foreign_credential,
    }
    users = attacker.tenant.require("GET", "/user", headers=headers)["users"]
    require([user["login"] for user in users] == [attacker.LOGIN], "A list contained another tenant's users")
    for name in ("tenant", "tenantId", "tenant_id"):
        response = attacker.tenant.request("GET", "/user", query={name: foreign_id}, headers=headers)
        require(response.code == "validation_error", f"GET /user with a tenant in the query returned {response}")
    body = {"token": victim.token, "tenant": foreign_id, "tenantId": foreign_id}
    response = attacker.tenant.request("POST", "/auth/verify", body, headers=headers)
    require(response.code == "invalid_token", f"POST /auth/verify returned {response}")
    require_unharmed(fixture)


def _paths(fixture: Fixture) -> None:
    attacker, foreign_id = fixture.attacker, fixture.victim.tenant.id
    for path in ("/ghost/user", f"/{foreign_id}/user", f"/tenant/{foreign_id}/user", f"/tenant/{foreign_id}", "/users"):
        for method in ("GET", "POST"):
            response = attacker.tenant.request(method, path)
            require(response.code in {"not_found", "method_not_allowed"}, f"{method} returned {response}")
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
        created = attacker.tenant.create(login, "a-password", **extra)
        require(created.get("id") != extra["id"], "A request set the id of a user")
        require(created.get("tenant") == attacker.tenant.id, "A user was created in another tenant")
        require(created.get("registrationDate") != 1, "A request set the registration date")
        require(not {"isTenant", "role"} & created.keys(), "A user has undocumented fields")
        token = attacker.tenant.session(login, "a-password", **extra)["accessToken"]
        claims = attacker.tenant.require("POST", "/auth/verify", {"token": token})["decoded"]
        require(claims.get("id") == created.get("id"), "A login set the user of its token")
        require(claims.get("tenant") == attacker.tenant.id, "A login set the tenant of its token")
    finally:
        attacker.clean_up()
    require_unharmed(fixture)


def _cursor(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    try:
        attacker.tenant.create("zoe", "a-password")
        response = attacker.tenant.request("GET", "/user", query={"cursor": victim.cursor, "limit": "10"})
        logins = {str(user.get("login")) for user in response.json.get("users", [])}
        require(logins <= {attacker.LOGIN, "zoe"}, "The page contained another tenant's users")
    finally:
        attacker.clean_up()


def _ids(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    for name in (str(victim.user["id"]), victim.tenant.id, victim.tenant.email, f"tenant:{victim.tenant.email}"):
        response = attacker.tenant.request("GET", f"/user/{name}")
        require(response.code == "login_not_found", f"GET /user/{{login}} returned {response}")
        response = attacker.tenant.request("DELETE", f"/user/{name}")
        require(response.code == "login_not_found", f"DELETE /user/{{login}} returned {response}")
    require_unharmed(fixture)


def _search(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    for field in SearchField:
        text = victim.login if field is SearchField.PART else str(victim.user[field])
        users = attacker.tenant.require("GET", "/user", query={field: text})["users"]
        require(users == [], f"GET /user?{field}= found another's user")
        [user] = victim.tenant.require("GET", "/user", query={field: text, "limit": "1"})["users"]
        require(user["id"] == victim.user["id"], f"GET /user?{field}= did not find the tenant's own user")
