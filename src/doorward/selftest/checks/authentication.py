"""Nobody gets in without a live tenant's credential: every endpoint, and every way to bend a token."""

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

_DOORS = {("GET", "/user"), ("POST", "/auth/verify"), ("GET", "/forward-auth")}
"""One on the router's way, and two on the express lane: what is done to a token is tried here in full."""


def checks(endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> Iterator[Check]:
    """Yield a check for every endpoint that asks for a credential, and the full table for three of them."""
    for endpoint in endpoints:
        if endpoint.auth is Auth.TENANT:
            run = partial(_unproven, endpoint)
            yield Check(
                f"{named(endpoint)}: refused without a live credential", ("TI1", "TK6"), run, endpoint.method == "GET"
            )
    for endpoint in endpoints:
        if (endpoint.method, endpoint.path) in _DOORS:
            run = partial(_bent, endpoint)
            yield Check(
                f"{named(endpoint)}: refused with every forged, dead or foreign credential", ("TK5", "TI1"), run
            )


def _unproven(endpoint: Endpoint, fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    _, altered = next(forgeries.alterations(attacker.tenant.token, victim.tenant.token))
    for kind, credential in (
        ("no credential", None),
        ("another's signature", f"Bearer {altered}"),
        ("another's user's token", f"Bearer {victim.token}"),
    ):
        _refuse(fixture, endpoint, kind, credential)
    damage = victim.find_damage()
    require(not damage, f"The other tenant was changed: {damage}")


def _bent(endpoint: Endpoint, fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    others = {
        "garbage": "Bearer garbage",
        "an empty bearer": "Bearer",
        "another scheme": f"Basic {attacker.tenant.token}",
        "a user's token": f"Bearer {attacker.token}",
        "a dead tenant token": f"Bearer {attacker.dead_token}",
        "a refresh token": f"Bearer {attacker.refresh_token}",
        "another's refresh token": f"Bearer {victim.refresh_token}",
        "a revoked API key": f"Bearer {attacker.revoked_key}",
        "a cut API key": f"Bearer {attacker.key[:-1]}",
        "another's API key with a foreign end": f"Bearer {victim.key['key'][:-20]}{attacker.key[-20:]}",
        "the id of another's API key": f"Bearer {victim.key['id']}",
    }
    bent = dict(forgeries.bearers(attacker.tenant.token, victim.tenant.token))
    for kind, credential in {**others, **{f"a token {how}": f"Bearer {it}" for how, it in bent.items()}}.items():
        _refuse(fixture, endpoint, kind, credential)
    response = attack(fixture, endpoint, {**victim.names(), "token": attacker.token}, f"Bearer {attacker.tenant.token}")
    require(response.status not in {401, 403}, f"Also the right credential was answered {response}")


def _refuse(fixture: Fixture, endpoint: Endpoint, kind: str, credential: str | None) -> None:
    response = attack(fixture, endpoint, fixture.victim.names(), credential, charged=True)
    wanted = "invalid_client" if endpoint.is_form else "not_authorized"
    require((response.status, response.code) == (401, wanted), f"With {kind} it was answered {response}")
    require(response.header("www-authenticate"), f"With {kind} the answer does not say how to authenticate")
