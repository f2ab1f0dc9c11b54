"""Where the attack takes place: two tenants that are made for it, and are gone afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from doorward.selftest.client import Client, RateLimited, Unreachable
from doorward.selftest.outcomes import Failed, NotRun, require
from doorward.selftest.tenants import Attacker, Tenant, Victim

_OK, _FORBIDDEN, _UNAUTHORISED, _FAULT = 200, 403, 401, 500
_LONG = 120.0

REGISTRATION_REFUSED = (
    "This address may not register tenants (TENANT_WHITE_LIST). Run the self test on a machine that may, such as the "
    "service's own; or at the maintenance listener, with --cert and --key; or make two tenants that are good for "
    "nothing else (doorward tenant create) and name them with --tenants."
)


class CannotRun(Exception):
    """There is nothing to run on. The message says why, and what to do."""


@dataclass
class Fixture:
    """The service, and two tenants of it: `attacker` and `victim` are there once `build` has returned.

    `prepared` are the e-mail addresses and passwords of two tenants that somebody made beforehand. `doubtful`: tenants
    were found not to be apart.
    """

    client: Client
    prepared: Sequence[tuple[str, str]] = ()
    doubtful: bool = False
    _ours: list[Tenant] = field(default_factory=list)
    _attacker: Attacker | None = None
    _victim: Victim | None = None

    @property
    def attacker(self) -> Attacker:
        """The tenant that attacks."""
        if self._attacker is None:
            raise NotRun("There is no tenant to attack with.")
        return self._attacker

    @property
    def victim(self) -> Victim:
        """The tenant that is attacked."""
        if self._victim is None:
            raise NotRun("There is no tenant to attack.")
        return self._victim

    @property
    def tenants(self) -> Sequence[Tenant]:
        """The tenants that are still to be removed."""
        return tuple(self._ours)

    def protect_others(self) -> None:
        """Go on only where what happens to a whole tenant happens to one of ours; NotTried where that is in doubt."""
        if self.doubtful:
            raise NotRun("Tenants were found not to be apart, so this might happen to somebody else's.")

    def build(self) -> None:
        """Make both tenants, and give them what they need; CannotRun where that is not possible."""
        try:
            # Whatever the answer: with none, there is nobody to make tenants at.
            self.client.request("GET", "/health/live", patient=False)
            first, second = self._known() if self.prepared else (self._new(), self._new())
            self._attacker = Attacker.of(first)
            self._victim = Victim.of(second)
        except Unreachable as reason:
            raise CannotRun(f"The service cannot be asked: {reason}.") from None
        except (Failed, RateLimited) as reason:
            raise CannotRun(f"The tenants could not be made ready: {reason}.") from None
        except (KeyError, TypeError, IndexError):
            raise CannotRun(
                "What answers there does not answer as Doorward does; look at the host, port and path in --url."
            ) from None

    def _new(self) -> Tenant:
        tenant = Tenant(self.client)
        # Before anybody knows whether it exists: a lost answer must not leave a tenant behind.
        self._ours.append(tenant)
        response = self.client.request(
            "POST", "/tenant", {"email": tenant.email, "password": tenant.password}, charged=True
        )
        if response.status != _OK:
            if response.status < _FAULT:
                self._ours.remove(tenant)
            if response.status == _FORBIDDEN and response.code == "forbidden":
                raise CannotRun(REGISTRATION_REFUSED)
            raise CannotRun(f"No tenant could be registered: POST /tenant was answered {response}.")
        tenant.id, tenant.token = str(response.json["id"]), str(response.json["token"])
        return tenant

    def _known(self) -> tuple[Tenant, Tenant]:
        first, second = (Tenant(self.client, *one) for one in self.prepared)
        for tenant in (first, second):
            tenant.token = tenant.log_in()
            tenant.id = str(tenant.require("GET", "/tenant")["id"])
            if (
                tenant.require("GET", "/user", query={"limit": "1"})["users"]
                or tenant.require("GET", "/tenant/key")["keys"]
            ):
                raise CannotRun(
                    f"{tenant.email} has users or API keys, so it may be somebody's. The self test removes its tenants "
                    f"with all they own: give it two that are empty."
                )
        if first.id == second.id:
            raise CannotRun("Both tenants are one and the same: give the self test two.")
        # Only now, since what is ours is removed.
        self._ours += [first, second]
        return first, second

    def remove(self) -> list[str]:
        """Remove both tenants, whatever they went through; return the e-mail addresses of those that are left."""
        self.client.max_wait = max(self.client.max_wait, _LONG)
        return [tenant.email for tenant in self.tenants if not self._gone(tenant)]

    def _gone(self, tenant: Tenant) -> bool:
        try:
            gone = any(_removed(tenant, password) for password in dict.fromkeys([tenant.password, *tenant.passwords]))
        except (Unreachable, RateLimited):
            return False
        if gone:
            self._ours.remove(tenant)
        return gone

    def verify_removed(self, tenants: Sequence[Tenant]) -> None:
        """Demand that nothing of removed tenants is alive: neither token nor API key nor password."""
        for tenant in tenants:
            credentials = {"email": tenant.email, "password": tenant.password}
            self._refused("token of a removed tenant", tenant.token)
            asked = self.client.request("POST", "/tenant/verify", {"token": tenant.token}, charged=True)
            require(asked.code == "invalid_token", f"POST /tenant/verify of a removed tenant was answered {asked}")
            asked = self.client.request("POST", "/tenant/login", credentials, charged=True)
            require(asked.status == _UNAUTHORISED, f"A removed tenant's login was answered {asked}")
        if self._attacker:
            self._refused("API key of a removed tenant", self._attacker.key)
        if self._victim:
            self._refused("API key of a removed tenant", self._victim.key["key"])

    def _refused(self, what: str, credential: str) -> None:
        asked = self.client.request(
            "GET", "/user", headers={"Authorization": f"Bearer {credential}"}, charged=True, fresh=True
        )
        require(asked.status == _UNAUTHORISED, f"GET /user with the {what} was answered {asked}")


def _removed(tenant: Tenant, password: str) -> bool:
    """Remove a tenant that may have this password, and tell whether it is gone."""
    response = tenant.request("DELETE", "/tenant", {"password": password}, charged=True)
    if response.status == _UNAUTHORISED:
        credentials = {"email": tenant.email, "password": password}
        again = tenant.client.request("POST", "/tenant/login", credentials, charged=True)
        if again.status == _UNAUTHORISED:
            # Nobody of this name and password: it was never made, or is gone.
            return not tenant.passwords
        tenant.token = str(again.json.get("token"))
        response = tenant.request("DELETE", "/tenant", {"password": password})
    return response.status == _OK
