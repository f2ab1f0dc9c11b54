"""Standard clients accept Doorward's tokens with the configurations of docs/oauth-resource-servers.md."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from certificates import Authority
from harness import Tenant, serving
from oauth.resource_servers import KINDS, PAGE, Place, ResourceServer, resource_server
from servers import free_port

pytestmark = [pytest.mark.slow]


@dataclass
class Doorward:
    """A Doorward over TLS, two of its tenants, and what the first one's resource server needs to know."""

    tenant: Tenant
    other: Tenant
    place: Place


@pytest.fixture(scope="module")
def doorward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorward]:
    folder = tmp_path_factory.mktemp("doorward")
    authority = Authority(folder)
    server = authority.issue("localhost")
    port = free_port()
    issuer = f"https://localhost:{port}"
    environment = {
        "HTTPS_SERVER": "on",
        "HTTPS_PORT": str(port),
        "HTTPS_CERT": server.certificate,
        "HTTPS_KEY": server.key,
        "PUBLIC_URL": issuer,
    }
    with serving(folder, environment) as process, httpx.Client(base_url=process.url, trust_env=False) as http:
        tenant, other = (Tenant.register(http, f"{name}@example.org") for name in ("shop", "other"))
        key = tenant.post("/tenant/key", {"name": "orders API", "permissions": ["verify"]}).json()
        tenant.create("alice", scope=["orders:read", "orders:write"])
        tenant.create("bob", scope=["orders:write"])
        other.create("alice", scope=["orders:read"])
        yield Doorward(tenant, other, Place(issuer, authority.file, key["id"], key["key"]))


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, doorward: Doorward) -> Iterator[ResourceServer]:
    name: str = request.param
    with resource_server(name, doorward.place) as made:
        # The address that the page's API has, where a library compares `aud` with it.
        audience = [made.url] if name == "django-oauth-toolkit" else None
        settings = {"settings": {"introspectionAudience": audience}}
        assert doorward.tenant.http.patch("/tenant", json=settings, headers=doorward.tenant.headers).status_code == 200
        yield made


def ask(server: ResourceServer, token: str | None) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{server.url}/orders", headers=headers, trust_env=False, verify=ssl.create_default_context())


def test_C5_C7_C8_a_live_token_is_accepted_and_the_user_is_known(server: ResourceServer, doorward: Doorward) -> None:
    answer = ask(server, doorward.tenant.session("alice"))
    assert answer.status_code == 200, server.log()
    assert "alice" in (answer.headers.get("x-user") or answer.json()["user"])


def test_C5_a_revoked_token_is_refused_by_the_next_request(server: ResourceServer, doorward: Doorward) -> None:
    token = doorward.tenant.session("alice")
    for _ in range(2):
        assert ask(server, token).status_code == 200, server.log()
    doorward.tenant.logout(token)
    assert ask(server, token).status_code == 401, server.log()


def test_C6_a_token_without_the_scope_is_refused(server: ResourceServer, doorward: Doorward) -> None:
    assert ask(server, doorward.tenant.session("bob")).status_code in {401, 403}, server.log()


def test_C5_foreign_and_missing_tokens_are_refused(server: ResourceServer, doorward: Doorward) -> None:
    for token in (None, doorward.other.session("alice"), doorward.tenant.token, doorward.place.key, "x"):
        assert ask(server, token).status_code == 401, server.log()


def test_C5_a_refresh_token_is_no_access_token(server: ResourceServer, doorward: Doorward) -> None:
    given = {"login": "alice", "password": "pw", "deviceId": "d", "refresh": True}
    pair = doorward.tenant.post("/auth", given).json()
    assert ask(server, pair["accessToken"]).status_code == 200, server.log()
    assert ask(server, pair["refreshToken"]).status_code == 401, server.log()


def test_C5_every_configuration_on_the_page_is_tested() -> None:
    headings = [line.removeprefix("### ") for line in PAGE.read_text().splitlines() if line.startswith("### ")]
    assert sorted(headings) == sorted(kind.heading for kind in KINDS.values())
