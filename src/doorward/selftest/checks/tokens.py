"""A token is true in one spelling, of one kind, for one owner, or it is refused."""

from collections.abc import Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial

from doorward.selftest import forgeries
from doorward.selftest.findings import Check
from doorward.selftest.fixture import Fixture
from doorward.selftest.outcomes import Failed, require

Bend = Callable[[str, str], Iterable[tuple[str, str]]]

_SECONDS_APART = 30
_LONGEST = 8192


def checks() -> Iterator[Check]:
    """Yield what is asked about a user's token, and about a tenant's."""
    bends: tuple[tuple[str, str, Bend], ...] = (
        ("TK1", "asks for another algorithm, or none", lambda token, _: forgeries.algorithms(token)),
        ("TK3", "names or carries a key, or was signed with one that can be guessed", lambda token, _: _keys(token)),
        ("TK4", "is spelled otherwise", lambda token, _: _spellings(token)),
        ("TK5", "says something else, or was signed by somebody else", forgeries.alterations),
    )
    for promise, says, bend in bends:
        yield Check(f"A user's token is refused where it {says}", (promise,), partial(_users, bend))
        yield Check(f"A tenant's token is refused where it {says}", (promise,), partial(_tenants, bend))
    yield Check("A token of one kind is refused where another is asked for", ("TK6",), _kinds)
    yield Check("A token says truly when it was given and when it ends", ("TK7",), _times)
    yield Check("A token that is too long is refused", ("TK9",), _long)
    yield Check("A token in a URL is refused", ("TR11",), _in_url)


def _keys(token: str) -> Iterable[tuple[str, str]]:
    return forgeries.keys(token)


def _spellings(token: str) -> Iterable[tuple[str, str]]:
    yield from forgeries.spellings(token)
    yield "with a space before it", f" {token}"
    yield "with a line feed after it", f"{token}\n"


def _users(bend: Bend, fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    tenant = attacker.tenant
    bent = dict(bend(attacker.token, victim.token))
    for how, token in bent.items():
        response = tenant.request("POST", "/auth/verify", {"token": token})
        require(response.code == "invalid_token", f"POST /auth/verify of a token {how} was answered {response}")
        at_gateway = {"Authorization": f"Bearer {token}".strip(), "X-Doorward-Key": attacker.key}
        if token == token.strip():
            response = fixture.client.request("GET", "/forward-auth", headers=at_gateway)
            require(
                response.code == "not_authenticated", f"GET /forward-auth with a token {how} was answered {response}"
            )
    results = tenant.require("POST", "/auth/verify/batch", {"tokens": list(bent.values())})["results"]
    for how, found in zip(bent, results, strict=True):
        require(found == {"active": False}, f"POST /auth/verify/batch called a token {how} active")
    response = tenant.request("POST", "/auth/verify", {"token": attacker.token})
    require(response.status < 300, f"The token as it was given was answered {response}")  # noqa: PLR2004 - every yes


def _tenants(bend: Bend, fixture: Fixture) -> None:
    attacker, victim = fixture.attacker, fixture.victim
    for how, token in bend(attacker.tenant.token, victim.tenant.token):
        response = fixture.client.request("POST", "/tenant/verify", {"token": token}, charged=True)
        require(response.code == "invalid_token", f"POST /tenant/verify of a token {how} was answered {response}")
    response = fixture.client.request("POST", "/tenant/verify", {"token": attacker.tenant.token})
    require(response.status < 300, f"The token as it was given was answered {response}")  # noqa: PLR2004 - every yes


def _kinds(fixture: Fixture) -> None:
    attacker = fixture.attacker
    tenant = attacker.tenant
    for kind, token in (
        ("a tenant's token", tenant.token),
        ("a refresh token", attacker.refresh_token),
        ("an API key", attacker.key),
    ):
        response = tenant.request("POST", "/auth/verify", {"token": token})
        require(response.code == "invalid_token", f"POST /auth/verify of {kind} was answered {response}")
    for kind, token in (
        ("a user's token", attacker.token),
        ("a refresh token", attacker.refresh_token),
        ("an API key", attacker.key),
    ):
        response = fixture.client.request("POST", "/tenant/verify", {"token": token}, charged=True)
        require(response.code == "invalid_token", f"POST /tenant/verify of {kind} was answered {response}")
    response = tenant.request("POST", "/auth/refresh", {"refreshToken": attacker.token})
    require(response.code == "invalid_refresh_token", f"POST /auth/refresh of an access token was answered {response}")


def _times(fixture: Fixture) -> None:
    attacker = fixture.attacker
    given = attacker.tenant.session(attacker.LOGIN, attacker.password, "watch")
    response = attacker.tenant.request("POST", "/auth/verify", {"token": given["accessToken"]})
    said = response.json.get("decoded", {})
    require(said == forgeries.claims(given["accessToken"]), "What was decoded is not what the token says")
    iat, exp = said.get("iat"), said.get("exp")
    if not isinstance(iat, int) or not isinstance(exp, int):
        raise Failed("The times of a token are not whole seconds")
    require(exp - iat == given["expiresIn"] > 0, "The token does not live as long as the login said")
    try:
        now = parsedate_to_datetime(str(response.header("date"))).timestamp()
    except ValueError:
        raise Failed("The answer has no date") from None
    require(abs(now - iat) < _SECONDS_APART, "The token was not given at the time that it says")


def _long(fixture: Fixture) -> None:
    tenant = fixture.attacker.tenant
    header, payload, signature = fixture.attacker.token.split(".")
    token = f"{header}.{payload}{'A' * _LONGEST}.{signature}"
    response = tenant.request("POST", "/auth/verify", {"token": token})
    require(response.code == "invalid_token", f"POST /auth/verify was answered {response}")


def _in_url(fixture: Fixture) -> None:
    attacker = fixture.attacker
    for name in ("token", "access_token"):
        response = attacker.tenant.request("GET", "/user", query={name: attacker.token})
        require(response.code == "token_in_url", f"With ?{name}= it was answered {response}")
