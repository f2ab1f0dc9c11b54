"""The throw-away tenants: one that attacks, one that has something to lose."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote
from uuid import uuid4

from doorward.core.model import Permission
from doorward.selftest.client import Client, Response, plain
from doorward.selftest.outcomes import Failed

PASSWORD = "Correct-Horse-9"  # noqa: S105 - what follows it is random
_GOOD = 300
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Tenant:
    """A tenant of the service, and the way to ask as it.

    `password` is the one that counts as far as is known; `passwords` may count as well, where an answer was lost.
    `made` are the logins that it may have created.
    """

    client: Client
    email: str = field(default_factory=lambda: f"selftest-{uuid4().hex}@selftest.invalid")
    password: str = field(default_factory=lambda: f"{PASSWORD}-{uuid4().hex}")
    id: str = ""
    token: str = ""
    passwords: list[str] = field(default_factory=list)
    made: set[str] = field(default_factory=set)

    @property
    def bearer(self) -> dict[str, str]:
        """The header that proves it."""
        return {"Authorization": f"Bearer {self.token}"}

    def request(self, method: str, path: str, body: Any = None, **how: Any) -> Response:
        """Ask as this tenant, with its own token unless `headers` say otherwise."""
        return self.client.request(method, path, body, {**self.bearer, **how.pop("headers", {})}, **how)

    def require(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """Ask for what has to be granted, and return the JSON of it; Failed where it is not."""
        response = self.request(method, path, body, **how)
        if response.status >= _GOOD:
            raise Failed(f"{method} {plain(path)} by its own tenant was answered {response}")
        return response.json

    def log_in(self) -> str:
        """Open one more session of the tenant itself, and return its token."""
        response = self.client.request(
            "POST", "/tenant/login", {"email": self.email, "password": self.password}, charged=True
        )
        if response.status >= _GOOD:
            raise Failed(f"POST /tenant/login with the right password was answered {response}")
        return str(response.json.get("token"))

    def create(self, login: str, password: str, **more: Any) -> Mapping[str, Any]:
        """Create a user."""
        self.made.add(login)
        body = {"login": login, "email": "user@selftest.invalid", "password": password, "sub": "selftest", **more}
        created: Mapping[str, Any] = self.require("POST", "/user", body)
        return created

    def session(self, login: str, password: str, device: str = "laptop", **more: Any) -> Mapping[str, Any]:
        """Log a user in, and return what was handed out."""
        body = {"login": login, "password": password, "deviceId": device, **more}
        given: Mapping[str, Any] = self.require("POST", "/auth", body)
        return given

    def logins(self) -> list[str]:
        """Return the logins of all users, of which a throw-away tenant has few."""
        return [
            str(user.get("login")) for user in self.require("GET", "/user", query={"limit": "500"}).get("users", [])
        ]

    def key(self, name: str, *permissions: str) -> Mapping[str, Any]:
        """Make an API key."""
        made: Mapping[str, Any] = self.require("POST", "/tenant/key", {"name": name, "permissions": list(permissions)})
        return made

    def introspect(self, token: str) -> bool:
        """Tell whether a token is active for this tenant, as RFC 7662 says it."""
        response = self.require("POST", "/oauth/introspect", f"token={token}".encode(), headers=_FORM)
        return bool(response.get("active"))


@dataclass
class Victim:
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
    known: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, tenant: Tenant) -> "Victim":
        """Give a tenant something to lose."""
        login = f"bob-{uuid4().hex}"
        password = f"bobs-own-{uuid4().hex}"
        device, sub = f"bobs-device-{uuid4().hex}", f"bobs-sub-{uuid4().hex}"
        user = tenant.create(login, password, email=f"bob-{uuid4().hex}@selftest.invalid", sub=sub)
        tenant.create(f"{login}-2", password)
        cursor = tenant.require("GET", "/user", query={"limit": "1"})["nextCursor"]
        pair = tenant.session(login, password, device, refresh=True, userAgent=f"bobs-browser-{uuid4().hex}")
        victim = cls(
            tenant,
            login,
            user,
            tenant.session(login, password)["accessToken"],
            cursor,
            pair["refreshToken"],
            tenant.require("POST", f"/user/{login}-2/password/reset")["code"],
            tenant.key(f"bobs-key-{uuid4().hex}", *Permission),
            tenant.require("GET", f"/user/{login}/sessions")["sessions"][-1],
        )
        victim.known = victim.state()
        return victim

    def names(self) -> dict[str, str]:
        """Return this tenant's value for every field that names an object."""
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

    def secrets(self) -> dict[str, str]:
        """Return what nobody else may be told, by what it is called."""
        return {
            "tenant id": self.tenant.id,
            "tenant token": self.tenant.token,
            "user's id": str(self.user["id"]),
            "user's e-mail address": str(self.user["email"]),
            "user's sub": str(self.user["sub"]),
            "user's token": self.token,
            "device": str(self.session["deviceId"]),
            "browser": str(self.session["userAgent"]),
            "refresh token": self.refresh_token,
            "reset code": self.code,
            "API key": self.key["key"],
            "API key's id": self.key["id"],
            "API key's name": self.key["name"],
            "session's id": self.session["id"],
        }

    def state(self) -> dict[str, Any]:
        """Return everything as its owner sees it, but for when things were used.

        Who fails to log in as the tenant itself is the tenant's business, so that may have been written down.
        """
        tenant = self.tenant
        events = tenant.require("GET", "/tenant/audit", query={"limit": "500"})["events"]
        return {
            "users": [{**user, "lastActivity": 0} for user in tenant.require("GET", "/user")["users"]],
            "sessions": [
                {**one, "lastActivity": 0} for one in tenant.require("GET", f"/user/{self.login}/sessions")["sessions"]
            ],
            "settings": tenant.require("GET", "/tenant"),
            "API keys": [{**key, "lastUsed": 0} for key in tenant.require("GET", "/tenant/key")["keys"]],
            "audit trail": [one for one in events if (one["action"], one["outcome"]) != ("tenant.login", "failure")],
            "user's token": tenant.request("POST", "/auth/verify", {"token": self.token}).status,
            "refresh token": tenant.introspect(self.refresh_token),
            "API key": self._with_key(),
        }

    def _with_key(self) -> int:
        return self.tenant.client.request(
            "GET", "/user", headers={"Authorization": f"Bearer {self.key['key']}"}, query={"limit": "1"}
        ).status

    def find_damage(self) -> str:
        """Say in a few words what is other than it was when this was last asked; "" where nothing is."""
        now = self.state()
        changed = [name for name, value in now.items() if value != self.known[name]]
        self.known = now
        return ", ".join(changed)


@dataclass
class Attacker:
    """Another tenant of the service, with every kind of credential that somebody could try."""

    tenant: Tenant
    password: str
    token: str
    dead_token: str
    key: str
    limited_key: Mapping[str, str]
    revoked_key: str
    refresh_token: str
    LOGIN: ClassVar[str] = "mallory"

    @classmethod
    def of(cls, tenant: Tenant) -> "Attacker":
        """Give a tenant every kind of credential, also some that are worth nothing any more."""
        password = f"mallorys-own-{uuid4().hex}"
        tenant.create(cls.LOGIN, password)
        dead = tenant.log_in()
        tenant.client.request("POST", "/tenant/logout", {"token": dead})
        gone = tenant.key("gone", *Permission)
        tenant.require("DELETE", f"/tenant/key/{gone['id']}")
        whole = tenant.key("all", *Permission)
        lesser = {str(one): tenant.key(one, one) for one in (Permission.VERIFY, Permission.USERS_READ)}
        return cls(
            tenant,
            password,
            tenant.session(cls.LOGIN, password)["accessToken"],
            dead,
            whole["key"],
            {name: made["key"] for name, made in lesser.items()},
            gone["key"],
            tenant.session(cls.LOGIN, password, "phone", refresh=True)["refreshToken"],
        )

    def names(self) -> dict[str, str]:
        """Return what stands for itself, by what it is called."""
        return {"caller": self.tenant.id, "caller's email": self.tenant.email}

    def clean_up(self) -> None:
        """Remove the users that an attack made, and log in again where it ended something.

        Only those: where tenants are not apart, what is listed may be somebody's, and must not be removed.
        """
        tenant = self.tenant
        for login in set(tenant.logins()) & tenant.made:
            if login != self.LOGIN:
                tenant.request("DELETE", f"/user/{quote(login, safe='')}")
        if not tenant.introspect(self.token):
            self.token = tenant.session(self.LOGIN, self.password)["accessToken"]
