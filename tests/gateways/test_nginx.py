"""nginx: one connection to Doorward carries a thousand verifications."""

from pathlib import Path

import httpx
import pytest

from gateways.gateways import Place, application, gateway
from harness import Tenant, serving

pytestmark = pytest.mark.slow


def test_a_thousand_requests_over_one_connection_are_each_asked_about(tmp_path: Path) -> None:
    with (
        serving(tmp_path) as doorward,
        httpx.Client(base_url=doorward.url, timeout=15, trust_env=False) as http,
        application() as app,
    ):
        tenant = Tenant.register(http, "shop@example.org")
        key = tenant.post("/tenant/key", {"name": "gateway", "permissions": ["verify"]}).json()["key"]
        users = ["alice", "bob", "carol"]
        tokens = {name: tenant.create(name).json()["id"] and tenant.session(name) for name in users}
        with (
            gateway("nginx", tmp_path / "gateway", Place(doorward.port, app.port, key)) as front,
            httpx.Client(base_url=f"http://127.0.0.1:{front.port}", timeout=15, trust_env=False) as client,
        ):
            app.seen.clear()
            for number in range(1000):
                name = users[number % 3]
                answer = client.get("/", headers={"Authorization": f"Bearer {tokens[name]}"})
                assert answer.status_code == 200, number
                assert app.seen[-1].headers["x-auth-login"] == name
            assert len(app.seen) == 1000
            tenant.logout(tokens["alice"])
            assert client.get("/", headers={"Authorization": f"Bearer {tokens['alice']}"}).status_code == 401
            assert client.get("/", headers={"Authorization": f"Bearer {tokens['bob']}"}).status_code == 200
