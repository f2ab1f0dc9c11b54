"""Browsers without a session are redirected to a login page by the shipped configurations."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from gateways.gateways import KINDS, LOGIN_PAGE, Application, Gateway, Place, application, free_port, gateway, prepare
from harness import Tenant, serving

pytestmark = [pytest.mark.slow, pytest.mark.long]

PAGE = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


class Shop(NamedTuple):
    """A gateway before an application and a login page, and a tenant with one user who is logged in."""

    gateway: Gateway
    http: httpx.Client
    app: Application
    login: Application
    tenant: Tenant
    token: str


@pytest.fixture(scope="module", params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp(request.param)
    with (
        serving(folder, {"FORWARD_AUTH_COOKIE": "sid", "TENANT_WHITE_LIST": "*"}) as doorward,
        httpx.Client(base_url=doorward.url, timeout=15, trust_env=False) as http,
        application() as app,
        application() as login,
    ):
        tenant = Tenant.register(http, "shop@example.org")
        tenant.create("alice")
        key = tenant.post("/tenant/key", {"name": "gateway", "permissions": ["verify"]}).json()["key"]
        place = Place(doorward.port, app.port, key, login.port)
        with (
            gateway(request.param, folder / "gateway", place) as front,
            httpx.Client(base_url=f"http://127.0.0.1:{front.port}", timeout=15, trust_env=False) as client,
        ):
            yield Shop(front, client, app, login, tenant, tenant.session("alice"))


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.check])
def test_N12_the_configuration_with_a_login_page_satisfies_the_gateways_own_check(name: str, tmp_path: Path) -> None:
    made = prepare(name, tmp_path / "gateway", Place(free_port(), free_port(), "dw_x", free_port()))
    check = KINDS[name].check
    assert check
    done = subprocess.run(
        check(made.program, made.folder), cwd=made.folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "[warn" not in done.stderr.lower()


def test_N12_a_browser_without_a_session_goes_to_the_login_page(shop: Shop) -> None:
    shop.app.seen.clear()
    path = "/orders/7?page=2&sort=a%20b"
    for cookie in ({}, {"Cookie": "sid=dead"}):
        answer = shop.http.get(path, headers={**PAGE, **cookie})
        if shop.gateway.name == "traefik":
            # It shows the page in place, and tells it the address, encoded.
            assert answer.status_code == 401
            assert shop.login.seen[-1].path.startswith("/?return_to=http%3A%2F%2F127.0.0.1")
            assert shop.login.seen[-1].path.endswith("%2Forders%2F7%3Fpage%3D2%26sort%3Da%2520b")
        else:
            assert answer.status_code == 302, shop.gateway.says()
            assert answer.headers["location"] == f"{LOGIN_PAGE}?return_to=http://127.0.0.1:{shop.gateway.port}{path}"
            assert answer.headers["cache-control"] == "no-store"
    assert shop.app.seen == []


def test_N12_other_clients_get_the_401(shop: Shop) -> None:
    shop.app.seen.clear()
    for method, headers in (
        ("GET", {"Accept": "application/json"}),
        ("GET", {"Accept": "*/*"}),
        ("POST", PAGE),
        ("DELETE", {}),
    ):
        answer = shop.http.request(method, "/orders", headers=headers)
        assert (answer.status_code, "location" in answer.headers) == (401, False), method
        assert answer.headers.get_list("www-authenticate") == ["Bearer"] or shop.gateway.name == "traefik"
    assert shop.app.seen == []


def test_N12_with_the_cookie_of_the_login_the_page_is_shown(shop: Shop) -> None:
    assert shop.http.get("/orders", headers={**PAGE, "Cookie": f"sid={shop.token}"}).status_code == 200
    assert shop.app.seen[-1].headers["x-auth-sub"] == "sub-1"
    # A second tab, whose session another one has ended.
    other = shop.tenant.session("alice", device="phone")
    shop.tenant.logout(other)
    ended = shop.http.get("/orders", headers={**PAGE, "Cookie": f"sid={other}"})
    assert ended.status_code == (401 if shop.gateway.name == "traefik" else 302)
