"""A token is true in one spelling, of one kind, for one owner, or it is refused."""

from collections.abc import Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial

from doorward.selftest import forgeries
from doorward.selftest.findings import Check
from doorward.selftest.stand import Fixture
from doorward.selftest.verdicts import Failed, require

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


def _users(bend: Bend, stand: Fixture) -> None:
    attacker, victim = stand.attacker, stand.victim
    tenant = attacker.tenant
    bent = dict(bend(attacker.token, victim.token))
    for how, token in bent.items():
        answer = tenant.request("POST", "/auth/verify", {"token": token})
        require(answer.code == "invalid_token", f"POST /auth/verify of a token {how} was answered {answer}")
        at_gateway = {"Authorization": f"Bearer {token}".strip(), "X-Doorward-Key": attacker.key}
        if token == token.strip():
            answer = stand.client.request("GET", "/forward-auth", headers=at_gateway)
            require(answer.code == "not_authenticated", f"GET /forward-auth with a token {how} was answered {answer}")
    results = tenant.require("POST", "/auth/verify/batch", {"tokens": list(bent.values())})["results"]
    for how, found in zip(bent, results, strict=True):
        require(found == {"active": False}, f"POST /auth/verify/batch called a token {how} active")
    answer = tenant.request("POST", "/auth/verify", {"token": attacker.token})
    require(answer.status < 300, f"The token as it was given was answered {answer}")  # noqa: PLR2004 - every yes


def _tenants(bend: Bend, stand: Fixture) -> None:
    attacker, victim = stand.attacker, stand.victim
    for how, token in bend(attacker.tenant.token, victim.tenant.token):
        answer = stand.client.request("POST", "/tenant/verify", {"token": token}, charged=True)
        require(answer.code == "invalid_token", f"POST /tenant/verify of a token {how} was answered {answer}")
    answer = stand.client.request("POST", "/tenant/verify", {"token": attacker.tenant.token})
    require(answer.status < 300, f"The token as it was given was answered {answer}")  # noqa: PLR2004 - every yes


def _kinds(stand: Fixture) -> None:
    attacker = stand.attacker
    tenant = attacker.tenant
    for kind, token in (
        ("a tenant's token", tenant.token),
        ("a refresh token", attacker.refresh_token),
        ("an API key", attacker.key),
    ):
        answer = tenant.request("POST", "/auth/verify", {"token": token})
        require(answer.code == "invalid_token", f"POST /auth/verify of {kind} was answered {answer}")
    for kind, token in (
        ("a user's token", attacker.token),
        ("a refresh token", attacker.refresh_token),
        ("an API key", attacker.key),
    ):
        answer = stand.client.request("POST", "/tenant/verify", {"token": token}, charged=True)
        require(answer.code == "invalid_token", f"POST /tenant/verify of {kind} was answered {answer}")
    answer = tenant.request("POST", "/auth/refresh", {"refreshToken": attacker.token})
    require(answer.code == "invalid_refresh_token", f"POST /auth/refresh of an access token was answered {answer}")


def _times(stand: Fixture) -> None:
    attacker = stand.attacker
    given = attacker.tenant.session(attacker.LOGIN, attacker.password, "watch")
    answer = attacker.tenant.request("POST", "/auth/verify", {"token": given["accessToken"]})
    said = answer.json.get("decoded", {})
    require(said == forgeries.claims(given["accessToken"]), "What was decoded is not what the token says")
    iat, exp = said.get("iat"), said.get("exp")
    if not isinstance(iat, int) or not isinstance(exp, int):
        raise Failed("The times of a token are not whole seconds")
    require(exp - iat == given["expiresIn"] > 0, "The token does not live as long as the login said")
    try:
        now = parsedate_to_datetime(str(answer.header("date"))).timestamp()
    except ValueError:
        raise Failed("The answer has no date") from None
    require(abs(now - iat) < _SECONDS_APART, "The token was not given at the time that it says")


def _long(stand: Fixture) -> None:
    tenant = stand.attacker.tenant
    header, payload, signature = stand.attacker.token.split(".")
    token = f"{header}.{payload}{'A' * _LONGEST}.{signature}"
    answer = tenant.request("POST", "/auth/verify", {"token": token})
    require(answer.code == "invalid_token", f"POST /auth/verify was answered {answer}")


def _in_url(stand: Fixture) -> None:
    attacker = stand.attacker
    for name in ("token", "access_token"):
        answer = attacker.tenant.request("GET", "/user", query={name: attacker.token})
        require(answer.code == "token_in_url", f"With ?{name}= it was answered {answer}")
