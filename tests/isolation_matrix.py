"""Victim and attacker tenants for isolation tests, at every endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from api_contract import call, fresh, log_in
from doorward.core.model import Permission
from doorward.http.api.endpoint import Endpoint
from doorward.selftest import requests
from doorward.selftest.requests import fill_request, unowned_names
from harness import Service, Tenant


@dataclass(frozen=True)
class World:
    """A tenant that minds its own business, and all that it could lose."""

    tenant: Tenant
    login: str
    user: Mapping[str, Any]
    token: str
    cursor: str
    refresh_token: str
    code: str
    key: Mapping[str, Any]
    session: Mapping[str, Any]
    settings: Mapping[str, Any]
    events: list[Mapping[str, Any]]

    @classmethod
    def of(cls, tenant: Tenant) -> "World":
        login = f"bob-{uuid4().hex}"
        user = tenant.create(login, "bobs-own", email="bob@example.org", sub="bobs-sub").json()
        tenant.create(f"{login}-2", "other")
        cursor = tenant.get("/user", limit=1).json()["nextCursor"]
        body = {"login": login, "password": "bobs-own", "deviceId": "bobs-device"}
        where = {"ip": "192.0.2.77", "userAgent": "bobs-browser"}
        pair = tenant.post("/auth", {**body, **where, "refresh": True}).json()
        chosen = {"sessionIdle": 86_400, "sessionsPerUser": 50}
        tenant.http.patch("/tenant", json={"settings": chosen}, headers=tenant.headers)
        return cls(
            tenant,
            login,
            user,
            tenant.session(login, "bobs-own"),
            cursor,
            pair["refreshToken"],
            tenant.post(f"/user/{login}-2/password/reset", {}).json()["code"],
            tenant.post("/tenant/key", {"name": "bobs-key", "permissions": list(Permission)}).json(),
            tenant.get(f"/user/{login}/sessions").json()["sessions"][-1],
            tenant.get("/tenant").json(),
            tenant.get("/tenant/audit").json()["events"],
        )

    def names(self) -> dict[str, str]:
        """Return this world's value for every field that names an object."""
        return {
            "login": self.login,
            "userId": str(self.user["id"]),
            "token": self.token,
            "email": self.tenant.email,
            "q": self.login,
            "refreshToken": self.refresh_token,
            "code": self.code,
            "key id": self.key["id"],
            "session id": self.session["id"],
        }

    def secrets(self) -> tuple[str, ...]:
        """Return the values that no other tenant may see."""
        return (
            self.tenant.id,
            str(self.user["id"]),
            "bobs-sub",
            "bobs-device",
            "bobs-browser",
            "bobs-key",
            "192.0.2.77",
            "bob@example.org",
            self.token,
            self.tenant.token,
            self.refresh_token,
            self.code,
            self.key["key"],
            self.key["id"],
            self.session["id"],
        )

    def assert_untouched(self) -> None:
        """Assert that the owner sees its objects unchanged, and only its own events in the audit log.

        Failed logins as the tenant itself are left out: they may have been recorded.
        """
        tenant = self.tenant
        events = tenant.get("/tenant/audit", limit=500).json()["events"]
        recorded = [event for event in events if (event["action"], event["outcome"]) != ("tenant.login", "failure")]
        assert recorded == self.events
        users = [{**user, "lastActivity": 0} for user in tenant.get("/user").json()["users"]]
        assert [user["login"] for user in users] == [self.login, f"{self.login}-2"]
        assert users[0] == {**self.user, "lastActivity": 0}
        assert tenant.get("/tenant").json() == self.settings
        assert tenant.verify(self.token).json()["decoded"]["id"] == self.user["id"]
        sessions = tenant.get(f"/user/{self.login}/sessions").json()["sessions"]
        assert {**sessions[-1], "lastActivity": 0} == {**self.session, "lastActivity": 0}
        renewable = {"Content-Type": "application/x-www-form-urlencoded", **tenant.headers}
        asked = tenant.http.post("/oauth/introspect", data={"token": self.refresh_token}, headers=renewable)
        assert asked.json()["active"] is True
        [key] = tenant.get("/tenant/key").json()["keys"]
        assert {**key, "lastUsed": None} == {name: value for name, value in self.key.items() if name != "key"}
        assert tenant.http.get("/user", headers={"Authorization": f"Bearer {self.key['key']}"}).status_code == 200
        assert tenant.login(self.login, "bobs-own").status_code == 200
        assert tenant.http.post("/tenant/verify", json={"token": tenant.token}).status_code == 200
        assert log_in(tenant)
        events = tenant.get("/tenant/audit", limit=500).json()["events"]
        self.events[:] = [event for event in events if event["outcome"] == "success"]

    def assert_code_is_good(self) -> None:
        """Use up the reset code: no other tenant may have used it."""
        assert self.tenant.post("/auth/reset", {"code": self.code, "password": "new"}).status_code == 200


def strike(http: httpx.Client, endpoint: Endpoint, names: Mapping[str, str], credential: str | None) -> httpx.Response:
    path, body, query = fill_request(endpoint, names)
    # What asks for a gateway has the user's token where others have the tenant's.
    more = {"Authorization": f"Bearer {names['token']}"} if endpoint.match_subpaths else {}
    return call(http, endpoint, path=path, body=body, query=query, credential=credential, **more)


def masked(
    answer: httpx.Response, names: Mapping[str, str], attacker: Tenant
) -> tuple[int, list[tuple[str, str]], str]:
    """Return an answer without what differs between two requests anyway: ids, times, the caller's own words."""
    own = {"caller": attacker.id, "caller's email": attacker.email}
    text = requests.masked(answer.text, names, own)
    skipped = {"date", "x-request-id", "content-length"}
    return answer.status_code, sorted(pair for pair in answer.headers.items() if pair[0] not in skipped), text


@dataclass(frozen=True)
class Attacker:
    """Another tenant of the service, with every kind of credential."""

    tenant: Tenant
    user_id: str
    user_token: str
    dead_token: str
    refresh_token: str
    key: str
    lesser: Mapping[str, str]
    revoked_key: str

    @classmethod
    def of(cls, service: Service) -> "Attacker":
        tenant = fresh(service)
        user_id = tenant.create("mallory", "pw").json()["id"]
        dead = log_in(tenant)
        tenant.http.post("/tenant/logout", json={"token": dead})
        body = {"login": "mallory", "password": "pw", "deviceId": "laptop", "refresh": True}
        refresh_token = tenant.post("/auth", body).json()["refreshToken"]
        keys = {
            str(name): tenant.post("/tenant/key", {"name": name, "permissions": [name]}).json() for name in Permission
        }
        gone = tenant.post("/tenant/key", {"name": "gone", "permissions": list(Permission)}).json()
        assert tenant.http.delete(f"/tenant/key/{gone['id']}", headers=tenant.headers).status_code == 200
        whole = tenant.post("/tenant/key", {"name": "all", "permissions": list(Permission)}).json()["key"]
        lesser = {name: made["key"] for name, made in keys.items()}
        token = tenant.session("mallory", "pw")
        return cls(tenant, user_id, token, dead, refresh_token, whole, lesser, gone["key"])

    def names(self) -> dict[str, str]:
        """Return the attacker's own value for every field that names an object."""
        return {
            **unowned_names(),
            "login": "mallory",
            "userId": self.user_id,
            "token": self.user_token,
            "email": self.tenant.email,
            "q": "mallory",
            "refreshToken": self.refresh_token,
        }

    def credentials(self, victim: World) -> dict[str, str | None]:
        """Return what proves nothing, by name."""
        return {
            "no credential": None,
            "garbage": "Bearer garbage",
            "an empty bearer": "Bearer",
            "another scheme": f"Basic {self.tenant.token}",
            "a user's token": f"Bearer {self.user_token}",
            "a dead tenant token": f"Bearer {self.dead_token}",
            "a cut tenant token": f"Bearer {self.tenant.token[:-1]}",
            "the victim's user's token": f"Bearer {victim.token}",
            "a refresh token": f"Bearer {self.refresh_token}",
            "the victim's refresh token": f"Bearer {victim.refresh_token}",
            "a revoked key": f"Bearer {self.revoked_key}",
            "a cut key": f"Bearer {self.key[:-1]}",
            "a key with a foreign secret": f"Bearer {victim.key['key'][:-20]}{self.key[-20:]}",
            "the id of the victim's key": f"Bearer {victim.key['id']}",
        }
