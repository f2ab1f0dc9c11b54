"""Checks of token verification: forged, re-encoded, oversized and misplaced tokens are rejected."""

from collections.abc import Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial

from doorward.selftest import forgeries
from doorward.selftest.findings import Check
from doorward.selftest.fixture import Fixture
from doorward.selftest.outcomes import Failed, require

Forge = Callable[[str, str], Iterable[tuple[str, str]]]

_CLOCK_TOLERANCE = 30
_MAX_TOKEN_BYTES = 8192


def checks() -> Iterator[Check]:
    """Yield the checks of user tokens and tenant tokens."""
    forgers: tuple[tuple[str, str, Forge], ...] = (
        ("TK1", "names another algorithm, or none", lambda token, _: forgeries.algorithms(token)),
        ("TK3", "names or contains a key, or was signed with a guessable one", lambda token, _: _keys(token)),
        ("TK4", "is encoded differently", lambda token, _: _spellings(token)),
        ("TK5", "has altered claims or another token's signature", forgeries.alterations),
    )
    for promise, fault, forge in forgers:
        yield Check(f"A user token is rejected if it {fault}", (promise,), partial(_check_user_token, forge))
        yield Check(f"A tenant token is rejected if it {fault}", (promise,), partial(_check_tenant_token, forge))
    yield Check("A token of one kind is rejected where another is required", ("TK6",), _kinds)
    yield Check("Issue and expiry times of a token are correct", ("TK7",), _times)
    yield Check("An oversized token is rejected", ("TK9",), _long)
    yield Check("A token in a URL is rejected", ("TR11",), _in_url)


def _keys(token: str) -> Iterable[tuple[str, str]]:
    return forgeries.keys(token)


def _spellings(token: str) -> Iterable[tuple[str, str]]:
    yield from forgeries.spellings(token)
    yield "with a space before it", f" {token}"
    yield "with a line feed after it", f"{token}\n"


def _check_user_token(forge: Forge, fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    tenant = attacker.tenant
    forged = dict(forge(attacker.token, victim.token))
    for change, token in forged.items():
        response = tenant.request("POST", "/auth/verify", {"token": token})
        require(response.code == "invalid_token", f"POST /auth/verify of a token {change} returned {response}")
        at_gateway = {"Authorization": f"Bearer {token}".strip(), "X-Doorward-Key": attacker.key}
        if token == token.strip():
            response = fixture.client.request("GET", "/forward-auth", headers=at_gateway)
            require(
                response.code == "not_authenticated", f"GET /forward-auth with a token {change} returned {response}"
            )
    results = tenant.require("POST", "/auth/verify/batch", {"tokens": list(forged.values())})["results"]
    for change, result in zip(forged, results, strict=True):
        require(result == {"active": False}, f"POST /auth/verify/batch called a token {change} active")
    response = tenant.request("POST", "/auth/verify", {"token": attacker.token})
    require(response.status < 300, f"The unaltered token was rejected: {response}")  # noqa: PLR2004 - 2xx


def _check_tenant_token(forge: Forge, fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    for change, token in forge(attacker.tenant.token, victim.tenant.token):
        response = fixture.client.request("POST", "/tenant/verify", {"token": token}, charged=True)
        require(response.code == "invalid_token", f"POST /tenant/verify of a token {change} returned {response}")
    response = fixture.client.request("POST", "/tenant/verify", {"token": attacker.tenant.token})
    require(response.status < 300, f"The unaltered token was rejected: {response}")  # noqa: PLR2004 - 2xx


def _kinds(fixture: Fixture) -> None:
    attacker = fixture.attacker
    tenant = attacker.tenant
    for kind, token in (
        ("a tenant's token", tenant.token),
        ("a refresh token", attacker.refresh_token),
        ("an API key", attacker.key),
    ):
        response = tenant.request("POST", "/auth/verify", {"token": token})
        require(response.code == "invalid_token", f"POST /auth/verify of {kind} returned {response}")
    for kind, token in (
        ("a user's token", attacker.token),
        ("a refresh token", attacker.refresh_token),
        ("an API key", attacker.key),
    ):
        response = fixture.client.request("POST", "/tenant/verify", {"token": token}, charged=True)
        require(response.code == "invalid_token", f"POST /tenant/verify of {kind} returned {response}")
    response = tenant.request("POST", "/auth/refresh", {"refreshToken": attacker.token})
    require(response.code == "invalid_refresh_token", f"POST /auth/refresh of an access token returned {response}")


def _times(fixture: Fixture) -> None:
    attacker = fixture.attacker
    issued = attacker.tenant.session(attacker.LOGIN, attacker.password, "watch")
    response = attacker.tenant.request("POST", "/auth/verify", {"token": issued["accessToken"]})
    claims = response.json.get("decoded", {})
    require(claims == forgeries.claims(issued["accessToken"]), "The decoded claims are not those of the token")
    iat, exp = claims.get("iat"), claims.get("exp")
    if not isinstance(iat, int) or not isinstance(exp, int):
        raise Failed("The times of a token are not whole seconds")
    require(exp - iat == issued["expiresIn"] > 0, "The token's lifetime is not the expiresIn of the login")
    try:
        now = parsedate_to_datetime(str(response.header("date"))).timestamp()
    except ValueError:
        raise Failed("The response has no Date header") from None
    require(abs(now - iat) < _CLOCK_TOLERANCE, "The token's iat is not the time of the login")


def _long(fixture: Fixture) -> None:
    tenant = fixture.attacker.tenant
    header, payload, signature = fixture.attacker.token.split(".")
    token = f"{header}.{payload}{'A' * _MAX_TOKEN_BYTES}.{signature}"
    response = tenant.request("POST", "/auth/verify", {"token": token})
    require(response.code == "invalid_token", f"POST /auth/verify returned {response}")


def _in_url(fixture: Fixture) -> None:
    attacker = fixture.attacker
    for name in ("token", "access_token"):
        response = attacker.tenant.request("GET", "/user", query={name: attacker.token})
        require(response.code == "token_in_url", f"With ?{name}= the response was {response}")
