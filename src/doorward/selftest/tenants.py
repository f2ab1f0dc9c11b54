"""`Tenant`, and its two roles in the self-test: `Attacker` with every kind of credential, `Victim` with objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote
from uuid import uuid4

from doorward.core.model import Permission
from doorward.selftest.client import Client, Response, plain
from doorward.selftest.outcomes import Failed

PASSWORD = "Correct-Horse-9"  # noqa: S105 - a random suffix is added
_SUCCESS_BELOW = 300
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Tenant:
    """A tenant of the service, which sends requests with its own credential.

    Attributes:
        client: The client of the service.
        email: The e-mail address.
        password: The current password, as far as is known.
        id: The id of the tenant.
        token: The tenant token.
        passwords: Other passwords that may be current, if a response was lost.
        created: Logins of users that it may have created.
    """

    client: Client
    email: str = field(default_factory=lambda: f"selftest-{uuid4().hex}@selftest.invalid")
    password: str = field(default_factory=lambda: f"{PASSWORD}-{uuid4().hex}")
    id: str = ""
    token: str = ""
    passwords: list[str] = field(default_factory=list)
    created: set[str] = field(default_factory=set)

    @property
    def bearer(self) -> dict[str, str]:
        """The header that authenticates the tenant."""
        return {"Authorization": f"Bearer {self.token}"}

    def request(self, method: str, path: str, body: Any = None, **how: Any) -> Response:
        """Send a request as this tenant, with its own token unless `headers` has another one."""
        return self.client.request(method, path, body, {**self.bearer, **how.pop("headers", {})}, **how)

    def require(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """Send a request that has to succeed, and return the JSON of the response; Failed if it does not succeed."""
        response = self.request(method, path, body, **how)
        if response.status >= _SUCCESS_BELOW:
            raise Failed(f"{method} {plain(path)} by its own tenant returned {response}")
        return response.json

    def log_in(self) -> str:
        """Open another session of the tenant itself, and return its token."""
        response = self.client.request(
            "POST", "/tenant/login", {"email": self.email, "password": self.password}, charged=True
        )
        if response.status >= _SUCCESS_BELOW:
            raise Failed(f"POST /tenant/login with the right password returned {response}")
        return str(response.json.get("token"))

    def create(self, login: str, password: str, **more: Any) -> Mapping[str, Any]:
        """Create a user."""
        self.created.add(login)
        body = {"login": login, "email": "user@selftest.invalid", "password": password, "sub": "selftest", **more}
        created: Mapping[str, Any] = self.require("POST", "/user", body)
        return created

    def session(self, login: str, password: str, device: str = "laptop", **more: Any) -> Mapping[str, Any]:
        """Log a user in, and return the response with its tokens."""
        body = {"login": login, "password": password, "deviceId": device, **more}
        tokens: Mapping[str, Any] = self.require("POST", "/auth", body)
        return tokens

    def logins(self) -> list[str]:
        """Return the logins of all users; a temporary tenant's fit on one page."""
        return [
            str(user.get("login")) for user in self.require("GET", "/user", query={"limit": "500"}).get("users", [])
        ]

    def key(self, name: str, *permissions: str) -> Mapping[str, Any]:
        """Create an API key."""
        body = {"name": name, "permissions": list(permissions)}
        created: Mapping[str, Any] = self.require("POST", "/tenant/key", body)
        return created

    def introspect(self, token: str) -> bool:
        """Return whether a token is active for this tenant (RFC 7662)."""
        response = self.require("POST", "/oauth/introspect", f"token={token}".encode(), headers=_FORM)
        return bool(response.get("active"))


@dataclass
class Victim:
    """The attacked tenant, with a user, a session and one of each credential."""

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
        """Create the objects of a victim."""
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
        """Return the values that no other tenant may see, by their descriptions."""
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
        """Return everything as its owner sees it, without times of last use.

        Failed logins as the tenant itself are left out of the audit log: an attack may have caused them.
        """
        tenant = self.tenant
        events = tenant.require("GET", "/tenant/audit", query={"limit": "500"})["events"]
        return {
            "users": [{**user, "lastActivity": 0} for user in tenant.require("GET", "/user")["users"]],
            "sessions": [
                {**session, "lastActivity": 0}
                for session in tenant.require("GET", f"/user/{self.login}/sessions")["sessions"]
            ],
            "settings": tenant.require("GET", "/tenant"),
            "API keys": [{**key, "lastUsed": 0} for key in tenant.require("GET", "/tenant/key")["keys"]],
            "audit log": [
                event for event in events if (event["action"], event["outcome"]) != ("tenant.login", "failure")
            ],
            "user's token": tenant.request("POST", "/auth/verify", {"token": self.token}).status,
            "refresh token": tenant.introspect(self.refresh_token),
            "API key": self._with_key(),
        }

    def _with_key(self) -> int:
        return self.tenant.client.request(
            "GET", "/user", headers={"Authorization": f"Bearer {self.key['key']}"}, query={"limit": "1"}
        ).status

    def find_damage(self) -> str:
        """Return the names of the parts that have changed since the last call, or ""."""
        now = self.state()
        changed = [name for name, value in now.items() if value != self.known[name]]
        self.known = now
        return ", ".join(changed)


@dataclass
class Attacker:
    """The attacking tenant, with every kind of credential."""

    tenant: Tenant
    password: str
    token: str
    revoked_token: str
    key: str
    limited_key: Mapping[str, str]
    revoked_key: str
    refresh_token: str
    LOGIN: ClassVar[str] = "mallory"

    @classmethod
    def of(cls, tenant: Tenant) -> "Attacker":
        """Create every kind of credential of an attacker, revoked ones included."""
        password = f"mallorys-own-{uuid4().hex}"
        tenant.create(cls.LOGIN, password)
        revoked_token = tenant.log_in()
        tenant.client.request("POST", "/tenant/logout", {"token": revoked_token})
        revoked_key = tenant.key("revoked", *Permission)
        tenant.require("DELETE", f"/tenant/key/{revoked_key['id']}")
        full_key = tenant.key("all", *Permission)
        limited_keys = {
            str(permission): tenant.key(permission, permission)
            for permission in (Permission.VERIFY, Permission.USERS_READ)
        }
        return cls(
            tenant,
            password,
            tenant.session(cls.LOGIN, password)["accessToken"],
            revoked_token,
            full_key["key"],
            {permission: key["key"] for permission, key in limited_keys.items()},
            revoked_key["key"],
            tenant.session(cls.LOGIN, password, "phone", refresh=True)["refreshToken"],
        )

    def names(self) -> dict[str, str]:
        """Return its own values, by their placeholders (see `requests.masked`)."""
        return {"caller": self.tenant.id, "caller's email": self.tenant.email}

    def clean_up(self) -> None:
        """Remove the users that an attack created, and log in again if it revoked the session.

        Other users are never removed: if isolation fails, the list may have users of other tenants.
        """
        tenant = self.tenant
        for login in set(tenant.logins()) & tenant.created:
            if login != self.LOGIN:
                tenant.request("DELETE", f"/user/{quote(login, safe='')}")
        if not tenant.introspect(self.token):
            self.token = tenant.session(self.LOGIN, self.password)["accessToken"]
