"""How requests are filled with the names of somebody else's objects, for every endpoint that there is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import msgspec
import pytest
from contract import UUID, call, fresh, log_in, named

from doorward.http.endpoints import Endpoint
from harness import Service, Tenant

NEUTRAL: Mapping[str, Any] = {
    "password": "Wrong-Horse-9",
    "sub": "sub-x",
    "company": "Company",
    "scope": {"a": 1},
    "deviceId": "laptop",
    "limit": "10",
    "cursor": "0",
    "users": [{"login": "eve", "email": "eve@example.org", "sub": "sub-e"}],
    "dryRun": "true",
    "hashes": "false",
}
"""Fields that name nobody: the same for both arms of a comparison."""

_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_MILLISECONDS = re.compile(r"\b1[0-9]{12}\b")


@dataclass(frozen=True)
class World:
    """A tenant that minds its own business, and all that it could lose."""

    tenant: Tenant
    login: str
    user: Mapping[str, Any]
    token: str
    cursor: str

    @classmethod
    def of(cls, tenant: Tenant) -> "World":
        login = f"bob-{uuid4().hex}"
        user = tenant.create(login, "bobs-own", email="bob@example.org", sub="bobs-sub").json()
        tenant.create(f"{login}-2", "other")
        cursor = tenant.get("/user", limit=1).json()["nextCursor"]
        return cls(tenant, login, user, tenant.session(login, "bobs-own"), cursor)

    def names(self) -> dict[str, str]:
        """Return this world's value for every field that names an object."""
        return {"login": self.login, "token": self.token, "email": self.tenant.email, "q": self.login}

    def secrets(self) -> tuple[str, ...]:
        """Return what nobody else may be told."""
        return self.tenant.id, str(self.user["id"]), "bobs-sub", "bob@example.org", self.token, self.tenant.token

    def assert_untouched(self) -> None:
        """Look at everything through the owner's eyes: list, sessions, passwords, the tenant itself."""
        tenant = self.tenant
        users = [{**user, "lastActivity": 0} for user in tenant.get("/user").json()["users"]]
        assert [user["login"] for user in users] == [self.login, f"{self.login}-2"]
        assert users[0] == {**self.user, "lastActivity": 0}
        assert tenant.verify(self.token).json()["decoded"]["id"] == self.user["id"]
        assert tenant.login(self.login, "bobs-own").status_code == 200
        assert tenant.http.post("/tenant/verify", json={"token": tenant.token}).status_code == 200
        assert log_in(tenant)


def nobodys() -> dict[str, str]:
    """Return values of the same kind that name nothing anywhere."""
    login = f"bob-{uuid4().hex}"
    return {"login": login, "token": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "email": f"{uuid4().hex}@example.org", "q": login}


def aim(endpoint: Endpoint, names: Mapping[str, str]) -> tuple[str, dict[str, Any] | None, dict[str, str]]:
    """Return path, body and query of a request to `endpoint` for the objects that `names` names."""
    fill = {**NEUTRAL, **names}

    def value(kind: str, name: str) -> Any:
        if name not in fill:
            pytest.fail(
                f"{named(endpoint)} takes the {kind} {name!r}, which the isolation tests cannot fill: in "
                f"tests/http/isolation.py, add it to World.names and nobodys if it names an object, else to NEUTRAL."
            )
        return fill[name]

    path = re.sub(r"\{(\w+)[^}]*\}", lambda match: quote(value("path segment", match[1]), safe=""), endpoint.path)
    if endpoint.method in {"POST", "PUT", "PATCH"} and endpoint.takes is None:
        pytest.fail(f"{named(endpoint)} does not say what it takes: give it `takes` in ENDPOINTS.")
    body = None
    if endpoint.takes is not None:
        fields = msgspec.structs.fields(endpoint.takes)
        body = {field.encode_name: value("field", field.encode_name) for field in fields}
    return path, body, {name: value("query parameter", name) for name in endpoint.query}


def strike(http: httpx.Client, endpoint: Endpoint, names: Mapping[str, str], credential: str | None) -> httpx.Response:
    path, body, query = aim(endpoint, names)
    return call(http, endpoint, path=path, body=body, query=query, credential=credential)


def masked(
    answer: httpx.Response, names: Mapping[str, str], attacker: Tenant
) -> tuple[int, list[tuple[str, str]], str]:
    """Return an answer without what differs between two requests anyway: ids, times, the caller's own words."""
    text = answer.text
    for name, value in names.items():
        text = text.replace(value, f"<{name}>")
    text = _TOKEN.sub("<jwt>", text.replace(attacker.id, "<caller>").replace(attacker.email, "<caller's email>"))
    text = _MILLISECONDS.sub("<ms>", UUID.sub("<uuid>", text))
    skipped = {"date", "x-request-id", "content-length"}
    return answer.status_code, sorted(pair for pair in answer.headers.items() if pair[0] not in skipped), text


@dataclass(frozen=True)
class Attacker:
    """Another tenant of the service, with every kind of credential that somebody could try."""

    tenant: Tenant
    user_token: str
    dead_token: str

    @classmethod
    def of(cls, service: Service) -> "Attacker":
        tenant = fresh(service)
        tenant.create("mallory", "pw")
        dead = log_in(tenant)
        tenant.http.post("/tenant/logout", json={"token": dead})
        return cls(tenant, tenant.session("mallory", "pw"), dead)

    def names(self) -> dict[str, str]:
        """Return the attacker's own value for every field that names an object."""
        return {"login": "mallory", "token": self.user_token, "email": self.tenant.email, "q": "mallory"}

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
        }
