"""A fresh service has no accounts and reveals nothing about itself (docs/security/promises.md)."""

import pytest

import doorward
from harness import Service
from raw_store import Rows
from servers import Servers

ACCOUNTS = [
    ("admin@localhost", "admin"),
    ("admin@example.org", "password"),
    ("root@localhost", "root"),
    ("doorward@localhost", "doorward"),
    ("test@example.org", "Test-1234"),
    ("admin@admin.com", "changeme"),
]


def test_CF6_a_fresh_service_knows_nobody(service: Service, servers: Servers) -> None:
    rows = Rows(service.settings, servers)
    for table in ("tenants", "users"):
        assert rows.run(f"SELECT count(*) FROM {table}")[0][0] == 0
    http = service.client()
    assert http.get("/user").status_code == 401
    for email, password in ACCOUNTS:
        assert http.post("/tenant/login", json={"email": email, "password": password}).status_code == 401


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/nothing-here", "/user", "/auth/verify"])
def test_CF7_no_answer_tells_a_stranger_of_versions_addresses_or_numbers(shared: Service, path: str) -> None:
    tenant = shared.tenant(f"inside-{path.strip('/').replace('/', '-')}@example.org")
    answer = shared.client().get(path)
    said = answer.text + str(dict(answer.headers))
    assert "server" not in answer.headers
    assert "x-powered-by" not in answer.headers
    for inside in (doorward.__version__, "uvicorn", "starlette", "python", str(shared.settings.data_dir), tenant.id):
        assert inside.lower() not in said.lower(), inside


def test_CF7_health_says_of_each_store_that_it_answers_and_no_more(shared: Service) -> None:
    said = shared.client().get("/health/ready").json()
    assert set(said) == {"status", "stores"}
    assert set(said["stores"].values()) == {"ok"}
