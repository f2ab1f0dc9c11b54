"""`Fixture`: creates the two tenants of a self-test, removes them, and verifies that their credentials are dead."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from doorward.selftest.client import Client, RateLimited, Unreachable
from doorward.selftest.outcomes import Failed, NotRun, require
from doorward.selftest.tenants import Attacker, Tenant, Victim

_OK, _FORBIDDEN, _UNAUTHORISED, _FAULT = 200, 403, 401, 500
_REMOVAL_WAIT = 120.0

REGISTRATION_REFUSED = (
    "This address may not register tenants (TENANT_WHITE_LIST). Run the self-test on a machine that may, such as the "
    "service's own; or against the maintenance listener, with --cert and --key; or create two empty tenants "
    "(doorward tenant create) and pass them with --tenants."
)


class CannotRun(Exception):
    """The self-test cannot run. The message gives the reason and what to do."""


@dataclass
class Fixture:
    """The service and two of its tenants: `attacker` and `victim` are set once `build` has returned.

    Attributes:
        client: The client of the service.
        prepared: E-mail addresses and passwords of two tenants that the operator created; if empty, two are registered.
        doubtful: A harmless check failed, so the isolation of tenants is in doubt.
    """

    client: Client
    prepared: Sequence[tuple[str, str]] = ()
    doubtful: bool = False
    _tenants: list[Tenant] = field(default_factory=list)
    _attacker: Attacker | None = None
    _victim: Victim | None = None

    @property
    def attacker(self) -> Attacker:
        """The attacking tenant."""
        if self._attacker is None:
            raise NotRun("There is no tenant to attack with.")
        return self._attacker

    @property
    def victim(self) -> Victim:
        """The attacked tenant."""
        if self._victim is None:
            raise NotRun("There is no tenant to attack.")
        return self._victim

    @property
    def tenants(self) -> Sequence[Tenant]:
        """The tenants that are still to be removed."""
        return tuple(self._tenants)

    def protect_others(self) -> None:
        """Raise NotRun if tenants may not be isolated: an attack on a whole tenant might hit another one."""
        if self.doubtful:
            raise NotRun("The isolation of tenants is in doubt, so this check might change other tenants.")

    def build(self) -> None:
        """Create both tenants and their objects; CannotRun if that is not possible."""
        try:
            # Any response will do: this only checks that the service can be reached.
            self.client.request("GET", "/health/live", patient=False)
            first, second = self._log_in_prepared() if self.prepared else (self._register(), self._register())
            self._attacker = Attacker.of(first)
            self._victim = Victim.of(second)
        except Unreachable as reason:
            raise CannotRun(f"The service cannot be reached: {reason}.") from None
        except (Failed, RateLimited) as reason:
            raise CannotRun(f"The tenants could not be prepared: {reason}.") from None
        except (KeyError, TypeError, IndexError):
            raise CannotRun(
                "The server's responses are not those of Doorward; check the host, port and path in --url."
            ) from None

    def _register(self) -> Tenant:
        tenant = Tenant(self.client)
        # Listed before the request: if its response is lost, the tenant is removed all the same.
        self._tenants.append(tenant)
        response = self.client.request(
            "POST", "/tenant", {"email": tenant.email, "password": tenant.password}, charged=True
        )
        if response.status != _OK:
            if response.status < _FAULT:
                self._tenants.remove(tenant)
            if response.status == _FORBIDDEN and response.code == "forbidden":
                raise CannotRun(REGISTRATION_REFUSED)
            raise CannotRun(f"No tenant could be registered: POST /tenant returned {response}.")
        tenant.id, tenant.token = str(response.json["id"]), str(response.json["token"])
        return tenant

    def _log_in_prepared(self) -> tuple[Tenant, Tenant]:
        first, second = (Tenant(self.client, *pair) for pair in self.prepared)
        for tenant in (first, second):
            tenant.token = tenant.log_in()
            tenant.id = str(tenant.require("GET", "/tenant")["id"])
            if (
                tenant.require("GET", "/user", query={"limit": "1"})["users"]
                or tenant.require("GET", "/tenant/key")["keys"]
            ):
                raise CannotRun(
                    f"{tenant.email} has users or API keys, so it may be in use. The self-test removes its tenants "
                    f"with all that they own: pass two empty tenants."
                )
        if first.id == second.id:
            raise CannotRun("Both tenants are the same one: pass two tenants.")
        # Listed only now, since listed tenants are removed.
        self._tenants += [first, second]
        return first, second

    def remove(self) -> list[str]:
        """Remove both tenants in any case; return the e-mail addresses of those that could not be removed."""
        self.client.max_wait = max(self.client.max_wait, _REMOVAL_WAIT)
        return [tenant.email for tenant in self.tenants if not self._remove_tenant(tenant)]

    def _remove_tenant(self, tenant: Tenant) -> bool:
        try:
            removed = any(_remove(tenant, password) for password in dict.fromkeys([tenant.password, *tenant.passwords]))
        except (Unreachable, RateLimited):
            return False
        if removed:
            self._tenants.remove(tenant)
        return removed

    def verify_removed(self, tenants: Sequence[Tenant]) -> None:
        """Require that the token, the API keys and the password of removed tenants are rejected."""
        for tenant in tenants:
            credentials = {"email": tenant.email, "password": tenant.password}
            self._require_rejected("token of a removed tenant", tenant.token)
            response = self.client.request("POST", "/tenant/verify", {"token": tenant.token}, charged=True)
            require(response.code == "invalid_token", f"POST /tenant/verify of a removed tenant returned {response}")
            response = self.client.request("POST", "/tenant/login", credentials, charged=True)
            require(response.status == _UNAUTHORISED, f"POST /tenant/login of a removed tenant returned {response}")
        if self._attacker:
            self._require_rejected("API key of a removed tenant", self._attacker.key)
        if self._victim:
            self._require_rejected("API key of a removed tenant", self._victim.key["key"])

    def _require_rejected(self, credential_name: str, credential: str) -> None:
        response = self.client.request(
            "GET", "/user", headers={"Authorization": f"Bearer {credential}"}, charged=True, fresh=True
        )
        require(response.status == _UNAUTHORISED, f"GET /user with the {credential_name} returned {response}")


def _remove(tenant: Tenant, password: str) -> bool:
    """Remove a tenant with a password that may be outdated; return whether the tenant does not exist any more."""
    response = tenant.request("DELETE", "/tenant", {"password": password}, charged=True)
    if response.status == _UNAUTHORISED:
        credentials = {"email": tenant.email, "password": password}
        again = tenant.client.request("POST", "/tenant/login", credentials, charged=True)
        if again.status == _UNAUTHORISED:
            # No tenant has this e-mail address and password: it was never created, or was removed.
            return not tenant.passwords
        tenant.token = str(again.json.get("token"))
        response = tenant.request("DELETE", "/tenant", {"password": password})
    return response.status == _OK
