"""Checks of authentication: every endpoint rejects missing, forged, revoked and foreign credentials."""

from collections.abc import Iterator
from functools import partial

from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.routes import ENDPOINTS
from doorward.selftest import forgeries
from doorward.selftest.checks.matrix import attack
from doorward.selftest.findings import Check
from doorward.selftest.fixture import Fixture
from doorward.selftest.outcomes import require
from doorward.selftest.requests import named

_FULLY_TESTED = {("GET", "/user"), ("POST", "/auth/verify"), ("GET", "/forward-auth")}
"""Endpoints tested with every forged token: one behind the router, two on the fast path."""


def checks(endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> Iterator[Check]:
    """Yield a check for every endpoint that requires a tenant credential, and every forgery for three of them."""
    for endpoint in endpoints:
        if endpoint.auth is Auth.TENANT:
            run = partial(_check_unauthenticated, endpoint)
            yield Check(
                f"{named(endpoint)}: rejected without a valid credential", ("TI1", "TK6"), run, endpoint.method == "GET"
            )
    for endpoint in endpoints:
        if (endpoint.method, endpoint.path) in _FULLY_TESTED:
            run = partial(_check_forged, endpoint)
            yield Check(
                f"{named(endpoint)}: rejected with forged, revoked and foreign credentials", ("TK5", "TI1"), run
            )


def _check_unauthenticated(endpoint: Endpoint, fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    _, altered = next(forgeries.alterations(attacker.tenant.token, victim.tenant.token))
    for kind, credential in (
        ("no credential", None),
        ("another's signature", f"Bearer {altered}"),
        ("another's user's token", f"Bearer {victim.token}"),
    ):
        _require_rejected(fixture, endpoint, kind, credential)
    damage = victim.find_damage()
    require(not damage, f"The other tenant was changed: {damage}")


def _check_forged(endpoint: Endpoint, fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    others = {
        "garbage": "Bearer garbage",
        "an empty bearer": "Bearer",
        "another scheme": f"Basic {attacker.tenant.token}",
        "a user's token": f"Bearer {attacker.token}",
        "a revoked tenant token": f"Bearer {attacker.revoked_token}",
        "a refresh token": f"Bearer {attacker.refresh_token}",
        "another's refresh token": f"Bearer {victim.refresh_token}",
        "a revoked API key": f"Bearer {attacker.revoked_key}",
        "a truncated API key": f"Bearer {attacker.key[:-1]}",
        "another's API key with a wrong end": f"Bearer {victim.key['key'][:-20]}{attacker.key[-20:]}",
        "the id of another's API key": f"Bearer {victim.key['id']}",
    }
    forged = dict(forgeries.bearers(attacker.tenant.token, victim.tenant.token))
    tokens = {f"a token {change}": f"Bearer {token}" for change, token in forged.items()}
    for kind, credential in {**others, **tokens}.items():
        _require_rejected(fixture, endpoint, kind, credential)
    response = attack(fixture, endpoint, {**victim.names(), "token": attacker.token}, f"Bearer {attacker.tenant.token}")
    require(response.status not in {401, 403}, f"With a valid credential the response was {response}")


def _require_rejected(fixture: Fixture, endpoint: Endpoint, kind: str, credential: str | None) -> None:
    response = attack(fixture, endpoint, fixture.victim.names(), credential, charged=True)
    wanted = "invalid_client" if endpoint.is_form else "not_authorized"
    require((response.status, response.code) == (401, wanted), f"With {kind} the response was {response}")
    require(response.header("www-authenticate"), f"With {kind} the response has no WWW-Authenticate header")
