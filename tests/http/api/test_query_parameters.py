"""Unknown names in queries and `PATCH` bodies are rejected (N6)."""

import pytest

from api_contract import assert_unauthorised, call, credential_for, example, faults, named, place
from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.routes import ENDPOINTS
from harness import Service, Tenant

pytestmark = pytest.mark.one_setup

UNKNOWN_FIELD = "an unknown field is not allowed; allowed: "


def unknown_parameter(*allowed: str) -> list[str]:
    names = "allowed: " + ", ".join(f'"{name}"' for name in allowed) if allowed else "none is allowed here"
    return [f"an unknown query parameter is not allowed; {names}"]


STRICT = [it for it in ENDPOINTS if it.auth is not Auth.FREE and not it.is_form and not it.match_subpaths]
LENIENT = [it for it in ENDPOINTS if it not in STRICT]


@pytest.mark.parametrize("endpoint", STRICT, ids=named)
def test_N6_an_unknown_query_parameter_is_refused(tenant: Tenant, endpoint: Endpoint) -> None:
    body = example(endpoint) if endpoint.request_body else None
    credential = credential_for(endpoint, tenant)
    for name in ("dryrun", "Limit", "e-mail", ""):
        answer = call(
            tenant.http, endpoint, body=body, credential=credential, path=place(endpoint.path), query={name: "secret"}
        )
        assert faults(answer) == unknown_parameter(*endpoint.query)
        assert "secret" not in answer.text
    assert tenant.get("/user").json()["users"] == []


@pytest.mark.parametrize("endpoint", [it for it in STRICT if it.auth is Auth.TENANT], ids=named)
def test_N6_an_unauthenticated_client_learns_nothing_about_query_parameters(
    shared: Service, endpoint: Endpoint
) -> None:
    assert_unauthorised(call(shared.client(), endpoint, path=place(endpoint.path), query={"dryrun": "true"}))


@pytest.mark.parametrize("endpoint", LENIENT, ids=named)
def test_N6_standards_and_operations_ignore_unknown_query_parameters(tenant: Tenant, endpoint: Endpoint) -> None:
    tenant.create()
    body = {"token": tenant.session()} if endpoint.is_form else None
    credential = f"Bearer {tenant.token}"
    more = {"Authorization": f"Bearer {tenant.session()}"} if endpoint.match_subpaths else {}
    for query in ({}, {"dryrun": "true"}):
        answer = call(tenant.http, endpoint, body=body, credential=credential, query=query, **more)
        assert answer.status_code == 200


def test_N6_a_misspelled_dry_run_imports_nobody(tenant: Tenant) -> None:
    rows = {"users": [{"login": "dora", "email": "dora@example.org", "sub": "s"}]}
    assert faults(tenant.post("/users/import?dryrun=true", rows)) == unknown_parameter("dryRun", "unconfirmed")
    assert tenant.post("/users/import?dryRun=true", rows).json()["created"] == 1
    assert tenant.get("/user").json()["users"] == []


@pytest.mark.parametrize("name", ["Disabled", "logIn", "id", "tenant", "registrationDate", "__proto__", ""])
def test_N6_an_unknown_field_of_a_patch_is_refused_and_nothing_changed(tenant: Tenant, name: str) -> None:
    before = tenant.create("alice").json()
    answer = tenant.http.patch("/user/alice", json={"sub": "other", name: True}, headers=tenant.headers)
    [fault] = faults(answer)
    assert fault.startswith(UNKNOWN_FIELD + '"login", "email", ')
    assert tenant.get("/user/alice").json() == before
    settings = tenant.get("/tenant").json()
    answer = tenant.http.patch("/tenant", json={"settings": {"sessionIdle": 60}, name: True}, headers=tenant.headers)
    assert faults(answer) == [UNKNOWN_FIELD + '"settings"']
    assert tenant.get("/tenant").json() == settings


def test_N6_unknown_fields_of_other_bodies_are_ignored_as_before(tenant: Tenant) -> None:
    assert tenant.create("alice", surname="Liddell").status_code == 200
