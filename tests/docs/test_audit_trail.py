"""The audit log matches its page: the subject of each entry, without names in clear."""

from typing import Any

import httpx

from harness import PASSWORD, Service

ACTOR = {"tenant", "anybody"}


def trail(http: httpx.Client, headers: dict[str, str]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = http.get("/tenant/audit", params={"limit": 500}, headers=headers).json()["events"]
    return entries


def test_every_entry_about_somebody_says_about_whom_and_none_gives_a_name_or_secret_away(shared: Service) -> None:
    http = shared.client()
    tenant = shared.tenant("trail@example.org")

    def ask(method: str, path: str, status: int = 200, **body: Any) -> Any:
        answer = http.request(method, path, headers=tenant.headers, json=body or None)
        assert answer.status_code == status, answer.text
        return answer.json()

    user: dict[str, Any] = {"email": "alice-mail@example.org", "password": "first-secret", "sub": "customer-17"}
    login: dict[str, Any] = {"login": "alice-login", "password": "first-secret", "deviceId": "laptop"}
    alice = ask("PUT", "/user/alice-login", 201, **user)["id"]
    ask("PUT", "/user/alice-login", **(user | {"sub": "customer-18"}))
    ask("PUT", "/user/alice-login", **(user | {"password": "other-secret"}))
    ask("POST", "/auth", 403, **login)
    ask("POST", "/auth", 404, **(login | {"login": "nobody-login"}))
    ask("PATCH", "/user/alice-login", password="first-secret")
    ask("POST", "/auth", **login)
    token = ask("POST", "/auth", **login)["accessToken"]
    ask("POST", "/auth/logout", token=token)
    ask("DELETE", "/user/alice-login/sessions?deviceId=laptop")
    ask("DELETE", "/user/alice-login/sessions")
    ask("PATCH", "/user/alice-login", disabled=True)
    ask("POST", "/auth", 403, **login)
    ask("PATCH", "/user/alice-login", disabled=False)
    code = ask("POST", "/user/alice-login/password/reset")["code"]
    ask("POST", "/auth/reset", code=code, password="third-secret")
    key = ask("POST", "/tenant/key", 201, name="gateway", permissions=["verify"])
    ask("DELETE", f"/tenant/key/{key['id']}")
    ask("PATCH", "/tenant", settings={"sessionIdle": 60})
    ask("DELETE", "/tenant/sessions")
    ask("DELETE", "/user/alice-login")

    entries = trail(http, tenant.headers)
    about = {"user": alice, "session": alice, "key": key["id"]}
    for entry in entries:
        assert entry["actor"] in ACTOR
        noun = entry["action"].partition(".")[0]
        if noun != "tenant" and entry.get("reason") != "password":
            assert entry.get("subject") == about[noun], entry
    assert {entry["action"] for entry in entries} >= {
        "user.create", "user.replace", "user.change", "user.password", "user.login", "user.logout", "user.disable",
        "user.enable", "user.reset_offer", "user.delete", "session.revoke", "session.revoke_all", "key.create",
        "key.revoke", "tenant.create", "tenant.settings", "tenant.revoke_all",
    }  # fmt: skip
    assert {entry["reason"] for entry in entries if "reason" in entry} == {"password", "disabled"}
    failed = [entry["subject"] for entry in entries if entry.get("reason") == "password"]
    assert len(set(failed)) == 2
    assert alice in failed
    text = str(entries)
    for secret in ("alice-login", "nobody-login", "alice-mail", "-secret", PASSWORD, token, code, key["key"], "trail@"):
        assert secret not in text
