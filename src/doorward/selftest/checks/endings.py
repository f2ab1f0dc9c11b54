"""What is over is over at once: sessions, API keys, codes, whoever is asked and at whichever door."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple
from uuid import uuid4

from doorward.core.model import Permission
from doorward.selftest.findings import Check
from doorward.selftest.stand import Stand
from doorward.selftest.tenants import Attacker
from doorward.selftest.verdicts import demand

_CONNECTIONS = 4
"""Each may be another worker's."""

_YES = 300
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_NEW = "a new and longer password"


class Mark(NamedTuple):
    """A user that is there to be shut out, with a session each on two devices."""

    login: str
    password: str
    token: str
    other: str
    session: str

    @classmethod
    def of(cls, attacker: Attacker) -> "Mark":
        """Make one."""
        tenant, login, password = attacker.tenant, f"eve-{uuid4().hex}", f"eves-{uuid4().hex}"
        tenant.create(login, password)
        other = tenant.session(login, password, "phone")["accessToken"]
        token = tenant.session(login, password, "laptop")["accessToken"]
        sessions = tenant.must("GET", f"/user/{login}/sessions")["sessions"]
        [session] = [one["id"] for one in sessions if one["deviceId"] == "laptop"]
        return cls(login, password, token, other, session)


End = Callable[[Attacker, Mark], object]


def _must(method: str, path: str, body: object = None, **query: str) -> End:
    """Return what ends something by one request; {login} and {session} in `path` are the mark's."""

    def end(attacker: Attacker, mark: Mark) -> object:
        target = path.replace("{login}", mark.login).replace("{session}", mark.session)
        return attacker.tenant.must(method, target, body, query=query)

    return end


def _log_out(attacker: Attacker, mark: Mark) -> None:
    attacker.tenant.must("POST", "/auth/logout", {"token": mark.token})
    again = attacker.tenant.ask("POST", "/auth/logout", {"token": mark.token}, fresh=True)
    demand(again.code == "invalid_token", f"A second logout was answered {again}")


def _revoke(attacker: Attacker, mark: Mark) -> None:
    attacker.tenant.must("POST", "/oauth/revoke", f"token={mark.token}".encode(), headers=_FORM)


def _change_password(attacker: Attacker, mark: Mark) -> None:
    path, body = f"/user/{mark.login}/password", {"current": mark.password, "password": _NEW}
    wrong = attacker.tenant.ask("POST", path, {**body, "current": "wrong"})
    demand(wrong.code == "incorrect_password", f"A change without the current password was answered {wrong}")
    attacker.tenant.must("POST", path, body)


def _reset(attacker: Attacker, mark: Mark) -> None:
    code = attacker.tenant.must("POST", f"/user/{mark.login}/password/reset")["code"]
    attacker.tenant.must("POST", "/auth/reset", {"code": code, "password": _NEW})
    again = attacker.tenant.ask("POST", "/auth/reset", {"code": code, "password": "another"}, fresh=True)
    demand(again.code == "invalid_reset_code", f"A second use of a reset code was answered {again}")


def _create_again(attacker: Attacker, mark: Mark) -> None:
    attacker.tenant.must("DELETE", f"/user/{mark.login}")
    attacker.tenant.create(mark.login, mark.password)


_ATTRIBUTES = {"email": "user@selftest.invalid", "sub": "selftest"}

_ALL_OF_THE_TENANT = _must("DELETE", "/tenant/sessions")

ONE: tuple[tuple[str, tuple[str, ...], End], ...] = (
    ("a logout", ("TK13", "DU5"), _log_out),
    ("a revocation by RFC 7009", ("TK13", "DU5"), _revoke),
    ("the end of that session", ("TK14", "DU5"), _must("DELETE", "/user/{login}/sessions/{session}")),
    ("the end of that device", ("TK14", "DU5"), _must("DELETE", "/user/{login}/sessions", deviceId="laptop")),
)
"""What ends one session and leaves the other."""

ALL: tuple[tuple[str, tuple[str, ...], End], ...] = (
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
        run = partial(_ended, end, spared=True)
        yield Check(f"After {how} the token is dead at every door, and the other device's lives", promises, run)
    for how, promises, end in ALL:
        run = partial(_ended, end, spared=False)
        yield Check(f"After {how} every token is dead at every door", promises, run)
    yield Check("A refresh token that is used twice ends its session", ("TK18", "DU5"), _replayed)
    yield Check("A revoked API key is worth nothing at once", ("DU5", "TK14"), _revoked_key)
    yield Check("A tenant that logged out is out", ("TK13", "DU5"), _tenant_logout)
    yield Check("A tenant's new password ends its other sessions", ("TK14", "PW9", "DU5"), _tenant_password)
    yield Check("Guessing a user's password slows down, and no other tenant's user", ("BF5", "TI3"), _guessing)


def _ended(end: End, stand: Stand, *, spared: bool) -> None:
    attacker = stand.attacker
    if end is _ALL_OF_THE_TENANT:
        stand.mind_others()
    mark = Mark.of(attacker)
    try:
        for token in (mark.token, mark.other):
            # At every door, so that whoever remembers answers has one to remember.
            _alive(stand, token, "Before")
        end(attacker, mark)
        _dead(stand, mark.token)
        if not spared:
            _dead(stand, mark.other)
            return
        _alive(stand, mark.other, "Afterwards, of the other device's token,")
    finally:
        attacker.tidy()


def _alive(stand: Stand, token: str, when: str) -> None:
    """Demand that every door that knows users' tokens says yes."""
    attacker = stand.attacker
    tenant = attacker.tenant
    for _ in range(_CONNECTIONS):
        answer = tenant.ask("POST", "/auth/verify", {"token": token}, fresh=True)
        demand(answer.status < _YES, f"{when} POST /auth/verify was answered {answer}")
    [found] = tenant.must("POST", "/auth/verify/batch", {"tokens": [token]})["results"]
    demand(found.get("active") is True, f"{when} POST /auth/verify/batch did not call it active")
    demand(tenant.introspect(token), f"{when} POST /oauth/introspect did not call it active")
    answer = stand.client.ask("GET", "/forward-auth", headers=_at_gateway(attacker, token))
    demand(answer.status < _YES, f"{when} GET /forward-auth was answered {answer}")


def _at_gateway(attacker: Attacker, token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "X-Doorward-Key": attacker.key}


def _dead(stand: Stand, token: str) -> None:
    """Demand that a token is dead at every door that knows users' tokens, and on connections of their own."""
    attacker = stand.attacker
    tenant = attacker.tenant
    for _ in range(_CONNECTIONS):
        answer = tenant.ask("POST", "/auth/verify", {"token": token}, fresh=True)
        demand(answer.code == "invalid_token", f"Afterwards POST /auth/verify was answered {answer}")
    [found] = tenant.must("POST", "/auth/verify/batch", {"tokens": [token]})["results"]
    demand(found == {"active": False}, "Afterwards POST /auth/verify/batch called it active")
    demand(not tenant.introspect(token), "Afterwards POST /oauth/introspect called it active")
    answer = stand.client.ask("GET", "/forward-auth", headers=_at_gateway(attacker, token))
    demand(answer.code == "not_authenticated", f"Afterwards GET /forward-auth was answered {answer}")


def _replayed(stand: Stand) -> None:
    attacker = stand.attacker
    tenant, login, password = attacker.tenant, f"eve-{uuid4().hex}", f"eves-{uuid4().hex}"
    try:
        tenant.create(login, password)
        pairs = [tenant.session(login, password, refresh=True)]
        for _ in range(2):
            body = {"refreshToken": pairs[-1]["refreshToken"]}
            pairs.append(tenant.must("POST", "/auth/refresh", body))
        _alive(stand, pairs[-1]["accessToken"], "Before")
        demand(len({pair["refreshToken"] for pair in pairs}) == len(pairs), "A refresh token was handed out twice")
        for generation in (0, -1):
            body = {"refreshToken": pairs[generation]["refreshToken"]}
            answer = tenant.ask("POST", "/auth/refresh", body, fresh=True)
            demand(answer.code == "invalid_refresh_token", f"A refresh token used again was answered {answer}")
        _dead(stand, pairs[-1]["accessToken"])
    finally:
        attacker.tidy()


def _revoked_key(stand: Stand) -> None:
    tenant = stand.attacker.tenant
    key = tenant.key("short-lived", *Permission)
    bearer = {"Authorization": f"Bearer {key['key']}"}
    answer = stand.client.ask("GET", "/user", headers=bearer)
    demand(answer.status < _YES, f"Before, GET /user was answered {answer}")
    tenant.must("DELETE", f"/tenant/key/{key['id']}")
    for _ in range(_CONNECTIONS):
        answer = stand.client.ask("GET", "/user", headers=bearer, charged=True, fresh=True)
        demand(answer.code == "not_authorized", f"Afterwards GET /user was answered {answer}")


def _tenant_logout(stand: Stand) -> None:
    tenant = stand.attacker.tenant
    token = tenant.log_in()
    _tenant_alive(stand, token)
    answer = stand.client.ask("POST", "/tenant/logout", {"token": token})
    demand(answer.status < _YES, f"POST /tenant/logout was answered {answer}")
    _tenant_dead(stand, token)
    again = stand.client.ask("POST", "/tenant/logout", {"token": token}, charged=True)
    demand(again.code == "invalid_token", f"A second logout was answered {again}")


def _tenant_alive(stand: Stand, token: str) -> None:
    answer = stand.client.ask("POST", "/tenant/verify", {"token": token})
    demand(answer.status < _YES, f"Before, POST /tenant/verify was answered {answer}")
    answer = stand.client.ask("GET", "/user", headers={"Authorization": f"Bearer {token}"})
    demand(answer.status < _YES, f"Before, GET /user was answered {answer}")


def _tenant_dead(stand: Stand, token: str) -> None:
    for _ in range(_CONNECTIONS):
        answer = stand.client.ask("POST", "/tenant/verify", {"token": token}, charged=True, fresh=True)
        demand(answer.code == "invalid_token", f"Afterwards POST /tenant/verify was answered {answer}")
    bearer = {"Authorization": f"Bearer {token}"}
    answer = stand.client.ask("GET", "/user", headers=bearer, charged=True)
    demand(answer.code == "not_authorized", f"Afterwards GET /user was answered {answer}")


def _tenant_password(stand: Stand) -> None:
    tenant = stand.attacker.tenant
    token, old, new = tenant.log_in(), tenant.password, f"Battery-Staple-7-{uuid4().hex}"
    _tenant_alive(stand, token)
    # Known before it is asked for: whoever tidies up has to be let in, whatever becomes of the answer.
    tenant.passwords.append(new)
    tenant.must("POST", "/tenant/password", {"current": old, "password": new})
    tenant.password = new
    _tenant_dead(stand, token)
    answer = tenant.ask("GET", "/tenant")
    demand(answer.status < _YES, f"The session that changed it was answered {answer}")
    credentials = {"email": tenant.email, "password": old}
    answer = stand.client.ask("POST", "/tenant/login", credentials, charged=True)
    demand(answer.code == "incorrect_credentials", f"A login with the old password was answered {answer}")


def _guessing(stand: Stand) -> None:
    attacker, victim = stand.attacker, stand.victim
    password = f"mallorys-{uuid4().hex}"
    guess = {"login": victim.login, "password": "wrong", "deviceId": "laptop"}
    try:
        attacker.tenant.create(victim.login, password)
        codes = [attacker.tenant.ask("POST", "/auth", guess, patient=False).code for _ in range(6)]
        demand("too_many_attempts" in codes, "Six wrong passwords in a row were not slowed down")
        answer = attacker.tenant.ask("POST", "/auth", {**guess, "password": password}, patient=False)
        demand(answer.code == "too_many_attempts", f"The right password then was answered {answer}")
        answer = victim.tenant.ask("POST", "/auth", guess, patient=False)
        demand(answer.status in {401, 403}, f"A guess at the other tenant's user was answered {answer}")
    finally:
        attacker.tidy()
        victim.damage()
