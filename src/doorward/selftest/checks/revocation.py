"""Checks of revocation: revoked sessions, API keys and codes are rejected at once, at every endpoint."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple
from uuid import uuid4

from doorward.core.model import Permission
from doorward.selftest.findings import Check
from doorward.selftest.fixture import Fixture
from doorward.selftest.outcomes import require
from doorward.selftest.tenants import Attacker

_CONNECTIONS = 4
"""New connections per check, since each may be accepted by another worker."""

_SUCCESS_BELOW = 300
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_NEW = "a new and longer password"


class Target(NamedTuple):
    """A user whose sessions are revoked, with one session on each of two devices."""

    login: str
    password: str
    token: str
    other: str
    session: str

    @classmethod
    def of(cls, attacker: Attacker) -> "Target":
        """Create the user and its sessions."""
        tenant, login, password = attacker.tenant, f"eve-{uuid4().hex}", f"eves-{uuid4().hex}"
        tenant.create(login, password)
        other = tenant.session(login, password, "phone")["accessToken"]
        token = tenant.session(login, password, "laptop")["accessToken"]
        sessions = tenant.require("GET", f"/user/{login}/sessions")["sessions"]
        [session] = [session["id"] for session in sessions if session["deviceId"] == "laptop"]
        return cls(login, password, token, other, session)


Revocation = Callable[[Attacker, Target], object]


def _must(method: str, path: str, body: object = None, **query: str) -> Revocation:
    """Return a revocation by one request; {login} and {session} in `path` are the target's."""

    def revoke(attacker: Attacker, target: Target) -> object:
        filled = path.replace("{login}", target.login).replace("{session}", target.session)
        return attacker.tenant.require(method, filled, body, query=query)

    return revoke


def _log_out(attacker: Attacker, target: Target) -> None:
    attacker.tenant.require("POST", "/auth/logout", {"token": target.token})
    again = attacker.tenant.request("POST", "/auth/logout", {"token": target.token}, fresh=True)
    require(again.code == "invalid_token", f"A second logout returned {again}")


def _revoke(attacker: Attacker, target: Target) -> None:
    attacker.tenant.require("POST", "/oauth/revoke", f"token={target.token}".encode(), headers=_FORM)


def _change_password(attacker: Attacker, target: Target) -> None:
    path, body = f"/user/{target.login}/password", {"current": target.password, "password": _NEW}
    wrong = attacker.tenant.request("POST", path, {**body, "current": "wrong"})
    require(wrong.code == "incorrect_password", f"A change without the current password returned {wrong}")
    attacker.tenant.require("POST", path, body)


def _reset(attacker: Attacker, target: Target) -> None:
    code = attacker.tenant.require("POST", f"/user/{target.login}/password/reset")["code"]
    attacker.tenant.require("POST", "/auth/reset", {"code": code, "password": _NEW})
    again = attacker.tenant.request("POST", "/auth/reset", {"code": code, "password": "another"}, fresh=True)
    require(again.code == "invalid_reset_code", f"A second use of a reset code returned {again}")


def _create_again(attacker: Attacker, target: Target) -> None:
    attacker.tenant.require("DELETE", f"/user/{target.login}")
    attacker.tenant.create(target.login, target.password)


_ATTRIBUTES = {"email": "user@selftest.invalid", "sub": "selftest"}

_ALL_OF_THE_TENANT = _must("DELETE", "/tenant/sessions")

ONE: tuple[tuple[str, tuple[str, ...], Revocation], ...] = (
    ("a logout", ("TK13", "DU5"), _log_out),
    ("a revocation by RFC 7009", ("TK13", "DU5"), _revoke),
    ("revoking that session", ("TK14", "DU5"), _must("DELETE", "/user/{login}/sessions/{session}")),
    ("revoking that device's sessions", ("TK14", "DU5"), _must("DELETE", "/user/{login}/sessions", deviceId="laptop")),
)
"""Revocations of one session that leave the other."""

ALL: tuple[tuple[str, tuple[str, ...], Revocation], ...] = (
    ("revoking all of the user's sessions", ("TK14", "DU5"), _must("DELETE", "/user/{login}/sessions")),
    ("a change of the password", ("TK14", "PW9", "DU5"), _change_password),
    ("a reset of the password", ("PW9", "TK14", "DU5"), _reset),
    ("a new password set by the tenant", ("TK14", "DU5"), _must("PATCH", "/user/{login}", {"password": _NEW})),
    ("replacing the user", ("TK14", "DU5"), _must("PUT", "/user/{login}", {**_ATTRIBUTES, "password": _NEW})),
    ("disabling the user", ("TK14", "DU5"), _must("PATCH", "/user/{login}", {"disabled": True})),
    ("deleting the user", ("TK14", "DU5"), _must("DELETE", "/user/{login}")),
    ("deleting the user and creating it again", ("TK14", "DU5"), _create_again),
    ("revoking the sessions of all users", ("TK14", "DU5"), _ALL_OF_THE_TENANT),
)
"""Revocations of every session of a user."""


def checks() -> Iterator[Check]:
    """Yield a check for each way in which something ends."""
    for how, promises, revoke in ONE:
        run = partial(_check_revocation, revoke, spared=True)
        yield Check(
            f"After {how} the token is rejected at every endpoint, and the other device's is not", promises, run
        )
    for how, promises, revoke in ALL:
        run = partial(_check_revocation, revoke, spared=False)
        yield Check(f"After {how} every token is rejected at every endpoint", promises, run)
    yield Check("Reuse of a refresh token revokes its session", ("TK18", "DU5"), _replayed)
    yield Check("A revoked API key is rejected at once", ("DU5", "TK14"), _revoked_key)
    yield Check("A tenant's token is rejected after its logout", ("TK13", "DU5"), _tenant_logout)
    yield Check("A tenant's password change revokes its other sessions", ("TK14", "PW9", "DU5"), _tenant_password)
    yield Check("Password guessing is slowed down for the guessed user only", ("BF5", "TI3"), _guessing)


def _check_revocation(revoke: Revocation, fixture: Fixture, *, spared: bool) -> None:
    attacker = fixture.attacker
    if revoke is _ALL_OF_THE_TENANT:
        fixture.protect_others()
    target = Target.of(attacker)
    try:
        for token in (target.token, target.other):
            # At every endpoint, so that a proxy or worker that caches responses has one cached.
            _require_active(fixture, token, "Before")
        revoke(attacker, target)
        _require_revoked(fixture, target.token)
        if not spared:
            _require_revoked(fixture, target.other)
            return
        _require_active(fixture, target.other, "Afterwards, for the other device's token,")
    finally:
        attacker.clean_up()


def _require_active(fixture: Fixture, token: str, when: str) -> None:
    """Require that every endpoint that verifies user tokens accepts the token."""
    attacker = fixture.attacker
    tenant = attacker.tenant
    for _ in range(_CONNECTIONS):
        response = tenant.request("POST", "/auth/verify", {"token": token}, fresh=True)
        require(response.status < _SUCCESS_BELOW, f"{when} POST /auth/verify returned {response}")
    [result] = tenant.require("POST", "/auth/verify/batch", {"tokens": [token]})["results"]
    require(result.get("active") is True, f"{when} POST /auth/verify/batch did not call it active")
    require(tenant.introspect(token), f"{when} POST /oauth/introspect did not call it active")
    response = fixture.client.request("GET", "/forward-auth", headers=_at_gateway(attacker, token))
    require(response.status < _SUCCESS_BELOW, f"{when} GET /forward-auth returned {response}")


def _at_gateway(attacker: Attacker, token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "X-Doorward-Key": attacker.key}


def _require_revoked(fixture: Fixture, token: str) -> None:
    """Require that every endpoint that verifies user tokens rejects the token, also on new connections."""
    attacker = fixture.attacker
    tenant = attacker.tenant
    for _ in range(_CONNECTIONS):
        response = tenant.request("POST", "/auth/verify", {"token": token}, fresh=True)
        require(response.code == "invalid_token", f"Afterwards POST /auth/verify returned {response}")
    [result] = tenant.require("POST", "/auth/verify/batch", {"tokens": [token]})["results"]
    require(result == {"active": False}, "Afterwards POST /auth/verify/batch called it active")
    require(not tenant.introspect(token), "Afterwards POST /oauth/introspect called it active")
    response = fixture.client.request("GET", "/forward-auth", headers=_at_gateway(attacker, token))
    require(response.code == "not_authenticated", f"Afterwards GET /forward-auth returned {response}")


def _replayed(fixture: Fixture) -> None:
    attacker = fixture.attacker
    tenant, login, password = attacker.tenant, f"eve-{uuid4().hex}", f"eves-{uuid4().hex}"
    try:
        tenant.create(login, password)
        pairs = [tenant.session(login, password, refresh=True)]
        for _ in range(2):
            body = {"refreshToken": pairs[-1]["refreshToken"]}
            pairs.append(tenant.require("POST", "/auth/refresh", body))
        _require_active(fixture, pairs[-1]["accessToken"], "Before")
        require(len({pair["refreshToken"] for pair in pairs}) == len(pairs), "A refresh token was issued twice")
        for generation in (0, -1):
            body = {"refreshToken": pairs[generation]["refreshToken"]}
            response = tenant.request("POST", "/auth/refresh", body, fresh=True)
            require(response.code == "invalid_refresh_token", f"For a reused refresh token the response was {response}")
        _require_revoked(fixture, pairs[-1]["accessToken"])
    finally:
        attacker.clean_up()


def _revoked_key(fixture: Fixture) -> None:
    tenant = fixture.attacker.tenant
    key = tenant.key("short-lived", *Permission)
    bearer = {"Authorization": f"Bearer {key['key']}"}
    response = fixture.client.request("GET", "/user", headers=bearer)
    require(response.status < _SUCCESS_BELOW, f"Before, GET /user returned {response}")
    tenant.require("DELETE", f"/tenant/key/{key['id']}")
    for _ in range(_CONNECTIONS):
        response = fixture.client.request("GET", "/user", headers=bearer, charged=True, fresh=True)
        require(response.code == "not_authorized", f"Afterwards GET /user returned {response}")


def _tenant_logout(fixture: Fixture) -> None:
    tenant = fixture.attacker.tenant
    token = tenant.log_in()
    _require_tenant_active(fixture, token)
    response = fixture.client.request("POST", "/tenant/logout", {"token": token})
    require(response.status < _SUCCESS_BELOW, f"POST /tenant/logout returned {response}")
    _require_tenant_revoked(fixture, token)
    again = fixture.client.request("POST", "/tenant/logout", {"token": token}, charged=True)
    require(again.code == "invalid_token", f"A second logout returned {again}")


def _require_tenant_active(fixture: Fixture, token: str) -> None:
    response = fixture.client.request("POST", "/tenant/verify", {"token": token})
    require(response.status < _SUCCESS_BELOW, f"Before, POST /tenant/verify returned {response}")
    response = fixture.client.request("GET", "/user", headers={"Authorization": f"Bearer {token}"})
    require(response.status < _SUCCESS_BELOW, f"Before, GET /user returned {response}")


def _require_tenant_revoked(fixture: Fixture, token: str) -> None:
    for _ in range(_CONNECTIONS):
        response = fixture.client.request("POST", "/tenant/verify", {"token": token}, charged=True, fresh=True)
        require(response.code == "invalid_token", f"Afterwards POST /tenant/verify returned {response}")
    bearer = {"Authorization": f"Bearer {token}"}
    response = fixture.client.request("GET", "/user", headers=bearer, charged=True)
    require(response.code == "not_authorized", f"Afterwards GET /user returned {response}")


def _tenant_password(fixture: Fixture) -> None:
    tenant = fixture.attacker.tenant
    token, old, new = tenant.log_in(), tenant.password, f"Battery-Staple-7-{uuid4().hex}"
    _require_tenant_active(fixture, token)
    # Listed before the request: if its response is lost, the clean-up tries both passwords.
    tenant.passwords.append(new)
    tenant.require("POST", "/tenant/password", {"current": old, "password": new})
    tenant.password = new
    _require_tenant_revoked(fixture, token)
    response = tenant.request("GET", "/tenant")
    require(
        response.status < _SUCCESS_BELOW, f"GET /tenant with the session that changed the password returned {response}"
    )
    credentials = {"email": tenant.email, "password": old}
    response = fixture.client.request("POST", "/tenant/login", credentials, charged=True)
    require(response.code == "incorrect_credentials", f"A login with the old password returned {response}")


def _guessing(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    password = f"mallorys-{uuid4().hex}"
    guess = {"login": victim.login, "password": "wrong", "deviceId": "laptop"}
    try:
        attacker.tenant.create(victim.login, password)
        codes = [attacker.tenant.request("POST", "/auth", guess, patient=False).code for _ in range(6)]
        require("too_many_attempts" in codes, "Six wrong passwords in a row were not slowed down")
        response = attacker.tenant.request("POST", "/auth", {**guess, "password": password}, patient=False)
        require(response.code == "too_many_attempts", f"A login with the right password then returned {response}")
        response = victim.tenant.request("POST", "/auth", guess, patient=False)
        require(response.status in {401, 403}, f"A guess at the other tenant's user returned {response}")
    finally:
        attacker.clean_up()
        victim.find_damage()
