"""What is over is over at once: sessions, API keys, codes, whoever is asked and at whichever door."""

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
"""Each may be another worker's."""

_YES = 300
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_NEW = "a new and longer password"


class Target(NamedTuple):
    """A user that is there to be shut out, with a session each on two devices."""

    login: str
    password: str
    token: str
    other: str
    session: str

    @classmethod
    def of(cls, attacker: Attacker) -> "Target":
        """Make one."""
        tenant, login, password = attacker.tenant, f"eve-{uuid4().hex}", f"eves-{uuid4().hex}"
        tenant.create(login, password)
        other = tenant.session(login, password, "phone")["accessToken"]
        token = tenant.session(login, password, "laptop")["accessToken"]
        sessions = tenant.require("GET", f"/user/{login}/sessions")["sessions"]
        [session] = [one["id"] for one in sessions if one["deviceId"] == "laptop"]
        return cls(login, password, token, other, session)


Revocation = Callable[[Attacker, Target], object]


def _must(method: str, path: str, body: object = None, **query: str) -> Revocation:
    """Return what ends something by one request; {login} and {session} in `path` are the mark's."""

    def end(attacker: Attacker, mark: Target) -> object:
        target = path.replace("{login}", mark.login).replace("{session}", mark.session)
        return attacker.tenant.require(method, target, body, query=query)

    return end


def _log_out(attacker: Attacker, mark: Target) -> None:
    attacker.tenant.require("POST", "/auth/logout", {"token": mark.token})
    again = attacker.tenant.request("POST", "/auth/logout", {"token": mark.token}, fresh=True)
    require(again.code == "invalid_token", f"A second logout was answered {again}")


def _revoke(attacker: Attacker, mark: Target) -> None:
    attacker.tenant.require("POST", "/oauth/revoke", f"token={mark.token}".encode(), headers=_FORM)


def _change_password(attacker: Attacker, mark: Target) -> None:
    path, body = f"/user/{mark.login}/password", {"current": mark.password, "password": _NEW}
    wrong = attacker.tenant.request("POST", path, {**body, "current": "wrong"})
    require(wrong.code == "incorrect_password", f"A change without the current password was answered {wrong}")
    attacker.tenant.require("POST", path, body)


def _reset(attacker: Attacker, mark: Target) -> None:
    code = attacker.tenant.require("POST", f"/user/{mark.login}/password/reset")["code"]
    attacker.tenant.require("POST", "/auth/reset", {"code": code, "password": _NEW})
    again = attacker.tenant.request("POST", "/auth/reset", {"code": code, "password": "another"}, fresh=True)
    require(again.code == "invalid_reset_code", f"A second use of a reset code was answered {again}")


def _create_again(attacker: Attacker, mark: Target) -> None:
    attacker.tenant.require("DELETE", f"/user/{mark.login}")
    attacker.tenant.create(mark.login, mark.password)


_ATTRIBUTES = {"email": "user@selftest.invalid", "sub": "selftest"}

_ALL_OF_THE_TENANT = _must("DELETE", "/tenant/sessions")

ONE: tuple[tuple[str, tuple[str, ...], Revocation], ...] = (
    ("a logout", ("TK13", "DU5"), _log_out),
    ("a revocation by RFC 7009", ("TK13", "DU5"), _revoke),
    ("the end of that session", ("TK14", "DU5"), _must("DELETE", "/user/{login}/sessions/{session}")),
    ("the end of that device", ("TK14", "DU5"), _must("DELETE", "/user/{login}/sessions", deviceId="laptop")),
)
"""What ends one session and leaves the other."""

ALL: tuple[tuple[str, tuple[str, ...], Revocation], ...] = (
    ("the end of all the user's sessions", ("TK14", "DU5"), _must("DELETE", "/user/{login}/sessions")),
    ("a change of the password", ("TK14", "PW9", "DU5"), _change_password),
    ("a reset of the password", ("PW9", "TK14", "DU5"), _reset),
    ("a new password by its tenant", ("TK14", "DU5"), _must("PATCH", "/user/{login}", {"password": _NEW})),
    ("a replacement", ("TK14", "DU5"), _must("PUT", "/user/{login}", {**_ATTRIBUTES, "password": _NEW})),
    ("disabling the user", ("TK14", "DU5"), _must("PATCH", "/user/{login}", {"disabled": True})),
    ("deleting the user", ("TK14", "DU5"), _must("DELETE", "/user/{login}")),
    ("deleting the user and creating it again", ("TK14", "DU5"), _create_again),
    ("the end of all the tenant's users' sessions", ("TK14", "DU5"), _ALL_OF_THE_TENANT),
)
"""What ends every session of a user."""


def checks() -> Iterator[Check]:
    """Yield a check for each way in which something ends."""
    for how, promises, end in ONE:
        run = partial(_check_revocation, end, spared=True)
        yield Check(f"After {how} the token is dead at every door, and the other device's lives", promises, run)
    for how, promises, end in ALL:
        run = partial(_check_revocation, end, spared=False)
        yield Check(f"After {how} every token is dead at every door", promises, run)
    yield Check("A refresh token that is used twice ends its session", ("TK18", "DU5"), _replayed)
    yield Check("A revoked API key is worth nothing at once", ("DU5", "TK14"), _revoked_key)
    yield Check("A tenant that logged out is out", ("TK13", "DU5"), _tenant_logout)
    yield Check("A tenant's new password ends its other sessions", ("TK14", "PW9", "DU5"), _tenant_password)
    yield Check("Guessing a user's password slows down, and no other tenant's user", ("BF5", "TI3"), _guessing)


def _check_revocation(end: Revocation, fixture: Fixture, *, spared: bool) -> None:
    attacker = fixture.attacker
    if end is _ALL_OF_THE_TENANT:
        fixture.protect_others()
    mark = Target.of(attacker)
    try:
        for token in (mark.token, mark.other):
            # At every door, so that whoever remembers answers has one to remember.
            _require_active(fixture, token, "Before")
        end(attacker, mark)
        _require_revoked(fixture, mark.token)
        if not spared:
            _require_revoked(fixture, mark.other)
            return
        _require_active(fixture, mark.other, "Afterwards, of the other device's token,")
    finally:
        attacker.clean_up()


def _require_active(fixture: Fixture, token: str, when: str) -> None:
    """Demand that every door that knows users' tokens says yes."""
    attacker = fixture.attacker
    tenant = attacker.tenant
    for _ in range(_CONNECTIONS):
        response = tenant.request("POST", "/auth/verify", {"token": token}, fresh=True)
        require(response.status < _YES, f"{when} POST /auth/verify was answered {response}")
    [found] = tenant.require("POST", "/auth/verify/batch", {"tokens": [token]})["results"]
    require(found.get("active") is True, f"{when} POST /auth/verify/batch did not call it active")
    require(tenant.introspect(token), f"{when} POST /oauth/introspect did not call it active")
    response = fixture.client.request("GET", "/forward-auth", headers=_at_gateway(attacker, token))
    require(response.status < _YES, f"{when} GET /forward-auth was answered {response}")


def _at_gateway(attacker: Attacker, token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "X-Doorward-Key": attacker.key}


def _require_revoked(fixture: Fixture, token: str) -> None:
    """Demand that a token is dead at every door that knows users' tokens, and on connections of their own."""
    attacker = fixture.attacker
    tenant = attacker.tenant
    for _ in range(_CONNECTIONS):
        response = tenant.request("POST", "/auth/verify", {"token": token}, fresh=True)
        require(response.code == "invalid_token", f"Afterwards POST /auth/verify was answered {response}")
    [found] = tenant.require("POST", "/auth/verify/batch", {"tokens": [token]})["results"]
    require(found == {"active": False}, "Afterwards POST /auth/verify/batch called it active")
    require(not tenant.introspect(token), "Afterwards POST /oauth/introspect called it active")
    response = fixture.client.request("GET", "/forward-auth", headers=_at_gateway(attacker, token))
    require(response.code == "not_authenticated", f"Afterwards GET /forward-auth was answered {response}")


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
        require(len({pair["refreshToken"] for pair in pairs}) == len(pairs), "A refresh token was handed out twice")
        for generation in (0, -1):
            body = {"refreshToken": pairs[generation]["refreshToken"]}
            response = tenant.request("POST", "/auth/refresh", body, fresh=True)
            require(response.code == "invalid_refresh_token", f"A refresh token used again was answered {response}")
        _require_revoked(fixture, pairs[-1]["accessToken"])
    finally:
        attacker.clean_up()


def _revoked_key(fixture: Fixture) -> None:
    tenant = fixture.attacker.tenant
    key = tenant.key("short-lived", *Permission)
    bearer = {"Authorization": f"Bearer {key['key']}"}
    response = fixture.client.request("GET", "/user", headers=bearer)
    require(response.status < _YES, f"Before, GET /user was answered {response}")
    tenant.require("DELETE", f"/tenant/key/{key['id']}")
    for _ in range(_CONNECTIONS):
        response = fixture.client.request("GET", "/user", headers=bearer, charged=True, fresh=True)
        require(response.code == "not_authorized", f"Afterwards GET /user was answered {response}")


def _tenant_logout(fixture: Fixture) -> None:
    tenant = fixture.attacker.tenant
    token = tenant.log_in()
    _tenant_alive(fixture, token)
    response = fixture.client.request("POST", "/tenant/logout", {"token": token})
    require(response.status < _YES, f"POST /tenant/logout was answered {response}")
    _tenant_dead(fixture, token)
    again = fixture.client.request("POST", "/tenant/logout", {"token": token}, charged=True)
    require(again.code == "invalid_token", f"A second logout was answered {again}")


def _tenant_alive(fixture: Fixture, token: str) -> None:
    response = fixture.client.request("POST", "/tenant/verify", {"token": token})
    require(response.status < _YES, f"Before, POST /tenant/verify was answered {response}")
    response = fixture.client.request("GET", "/user", headers={"Authorization": f"Bearer {token}"})
    require(response.status < _YES, f"Before, GET /user was answered {response}")


def _tenant_dead(fixture: Fixture, token: str) -> None:
    for _ in range(_CONNECTIONS):
        response = fixture.client.request("POST", "/tenant/verify", {"token": token}, charged=True, fresh=True)
        require(response.code == "invalid_token", f"Afterwards POST /tenant/verify was answered {response}")
    bearer = {"Authorization": f"Bearer {token}"}
    response = fixture.client.request("GET", "/user", headers=bearer, charged=True)
    require(response.code == "not_authorized", f"Afterwards GET /user was answered {response}")


def _tenant_password(fixture: Fixture) -> None:
    tenant = fixture.attacker.tenant
    token, old, new = tenant.log_in(), tenant.password, f"Battery-Staple-7-{uuid4().hex}"
    _tenant_alive(fixture, token)
    # Known before it is asked for: whoever tidies up has to be let in, whatever becomes of the answer.
    tenant.passwords.append(new)
    tenant.require("POST", "/tenant/password", {"current": old, "password": new})
    tenant.password = new
    _tenant_dead(fixture, token)
    response = tenant.request("GET", "/tenant")
    require(response.status < _YES, f"The session that changed it was answered {response}")
    credentials = {"email": tenant.email, "password": old}
    response = fixture.client.request("POST", "/tenant/login", credentials, charged=True)
    require(response.code == "incorrect_credentials", f"A login with the old password was answered {response}")


def _guessing(fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    password = f"mallorys-{uuid4().hex}"
    guess = {"login": victim.login, "password": "wrong", "deviceId": "laptop"}
    try:
        attacker.tenant.create(victim.login, password)
        codes = [attacker.tenant.request("POST", "/auth", guess, patient=False).code for _ in range(6)]
        require("too_many_attempts" in codes, "Six wrong passwords in a row were not slowed down")
        response = attacker.tenant.request("POST", "/auth", {**guess, "password": password}, patient=False)
        require(response.code == "too_many_attempts", f"The right password then was answered {response}")
        response = victim.tenant.request("POST", "/auth", guess, patient=False)
        require(response.status in {401, 403}, f"A guess at the other tenant's user was answered {response}")
    finally:
        attacker.clean_up()
        victim.find_damage()
