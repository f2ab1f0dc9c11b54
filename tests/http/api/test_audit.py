"""`GET /tenant/audit`: events of the calling tenant and of no other."""

from typing import Any

from harness import Service, Tenant


def events(tenant: Tenant, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tenant.get("/tenant/audit", **query).json()["events"]
    return found


def test_AU1_everything_that_matters_is_told_newest_first(service: Service) -> None:
    tenant = service.tenant()
    assert service.clock
    user = tenant.create("alice").json()["id"]
    tenant.login("alice", "wrong")
    tenant.login("nobody", "wrong")
    token = tenant.session("alice")
    tenant.logout(token)
    tenant.http.patch("/user/alice", json={"disabled": True}, headers=tenant.headers)
    tenant.login("alice")
    key = tenant.post("/tenant/key", {"name": "k", "permissions": ["users:write"]}).json()
    tenant.http.delete("/user/alice", headers={"Authorization": f"Bearer {key['key']}"})
    told = events(tenant)
    assert [(event["action"], event["outcome"], event.get("reason")) for event in reversed(told)] == [
        ("tenant.create", "success", None),
        ("user.create", "success", None),
        ("user.login", "failure", "password"),
        ("user.login", "failure", "password"),
        ("user.login", "success", None),
        ("user.logout", "success", None),
        ("user.disable", "success", None),
        ("user.login", "failure", "disabled"),
        ("key.create", "success", None),
        ("user.delete", "success", None),
    ]
    deleted, made, *_ = told
    assert deleted["actor"] == f"key:{key['id']}"
    assert deleted["subject"] == user
    assert made["subject"] == key["id"]
    for event in told:
        assert event["at"] == service.clock.now
        assert event["ip"] == "127.0.0.1"
        assert event["requestId"]
    attempts = [event for event in told if event.get("reason") == "password"]
    assert attempts[1]["subject"] == user
    assert attempts[0]["subject"] != "nobody"


def test_AU1_whoever_guesses_at_a_current_password_with_a_stolen_token_is_told_of(tenant: Tenant) -> None:
    user = tenant.create("alice").json()["id"]
    guess = {"current": "Wrong-Horse-9", "password": "New-Horse-9"}
    assert tenant.post("/user/alice/password", guess).status_code == 403
    assert tenant.post("/tenant/password", guess).status_code == 403
    gone = tenant.http.request("DELETE", "/tenant", json={"password": "Wrong-Horse-9"}, headers=tenant.headers)
    assert gone.status_code == 403
    attempts = [event for event in events(tenant) if event["outcome"] == "failure"]
    assert [(event["action"], event["reason"], event.get("subject")) for event in reversed(attempts)] == [
        ("user.password", "password", user),
        ("tenant.password", "password", None),
        ("tenant.delete", "password", None),
    ]


def test_AU5_PR1_no_event_holds_a_name_or_a_secret(service: Service) -> None:
    tenant = service.tenant()
    tenant.create("canary-login", "canary-password", email="canary@example.org")
    token = tenant.session("canary-login", "canary-password", "canary-device")
    tenant.login("canary-unknown", "canary-password")
    tenant.post("/user/canary-login/password", {"current": "canary-password", "password": "canary-new"})
    tenant.logout(token)
    text = tenant.get("/tenant/audit").text
    assert "canary" not in text
    assert token[:20] not in text
    assert "$argon2" not in text


def test_AU6_TI9_a_tenant_reads_its_own_events_page_by_page(tenant: Tenant, other: Tenant) -> None:
    for number in range(7):
        tenant.create(f"user {number}")
    everything = events(tenant)
    assert len(everything) == 8
    cursor, found = "0", []
    while True:
        page = tenant.get("/tenant/audit", limit=3, cursor=cursor).json()
        assert len(page["events"]) <= 3
        found += page["events"]
        cursor = page["nextCursor"]
        if cursor == "0":
            break
    assert found == everything
    assert [event["action"] for event in events(other)] == ["tenant.create"]
    assert all(event not in everything for event in events(other, cursor="5"))
    for cursor in ("-1", "x", "1e9", "00", "9" * 30):
        assert tenant.get("/tenant/audit", cursor=cursor).status_code == 422


def test_a_request_id_leads_from_an_answer_to_its_event(tenant: Tenant) -> None:
    answer = tenant.create("alice")
    assert events(tenant)[0]["requestId"] == answer.headers["x-request-id"]


def test_what_was_refused_by_the_rules_of_an_api_is_no_event(tenant: Tenant) -> None:
    tenant.create("alice")
    before = events(tenant)
    tenant.create("alice")
    tenant.delete("nobody")
    tenant.post("/user", {})
    tenant.verify("garbage")
    assert events(tenant) == before
