"""What core needs from the outside. The docstrings are the promise that every store keeps (`tests/contracts`).

Every method of a store may raise `StoreUnavailable`: then nothing is known, and whether a write happened is not known
either. All times are milliseconds since the Unix epoch, by the caller's clock, never the store's.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from doorward.core.model import Session, Tenant, User


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> int:
        """Return milliseconds since the Unix epoch."""
        ...


class Accounts(Protocol):
    """Tenants and users; durable. A write that returned survives a crash of every process."""

    async def add_tenant(self, tenant: Tenant) -> bool:
        """Keep a new tenant; False, and nothing kept, where the canonical e-mail address is taken."""
        ...

    async def tenant_by_email(self, email: str) -> Tenant | None:
        """Return the tenant of this address, in any spelling of the same canonical form."""
        ...

    async def tenant_by_id(self, tenant_id: str) -> Tenant | None:
        """Return the tenant of this id."""
        ...

    async def set_tenant_hash(self, tenant: Tenant, password_hash: str) -> bool:
        """Replace the stored hash of an unchanged password; False where the password has changed meanwhile."""
        ...

    async def add_user(self, user: User) -> bool:
        """Keep a new user; False, and nothing kept, where its canonical login is taken in its tenant."""
        ...

    async def put_user(self, user: User) -> User:
        """Keep a user; one that has its canonical login keeps id and registration date and takes over the rest.

        Returns what is kept now. `credentials` is one more than before.
        """
        ...

    async def user_by_login(self, tenant_id: str, login: str) -> User | None:
        """Return the tenant's user of this login, in any spelling of the same canonical form."""
        ...

    async def user_by_id(self, tenant_id: str, user_id: str) -> User | None:
        """Return the tenant's user of this id."""
        ...

    async def list_users(self, tenant_id: str, *, part: str, after: str, limit: int) -> list[User]:
        """Return up to `limit` users of the tenant by canonical login, those after `after` (a canonical login).

        `part`, unless empty, is a canonical piece of text that the canonical login has to contain, literally.
        """
        ...

    async def set_user_hash(self, user: User, password_hash: str) -> bool:
        """Replace the stored hash of an unchanged password; False where the password has changed meanwhile."""
        ...

    async def delete_user(self, tenant_id: str, user_id: str) -> bool:
        """Remove the tenant's user for good; False where there was none."""
        ...

    async def touch_users(self, seen: Mapping[str, int]) -> None:
        """Move `last_activity` of these user ids forward, never back. Who is gone stays gone."""
        ...


class Claimed(NamedTuple):
    """What a token says of its session before anything is believed: the session's id and its owner's.

    The owner is only where a store may look first. A session found is the one of this id, whoever owns it, or none.
    """

    session_id: str
    owner_id: str


class Sessions(Protocol):
    """Sessions; the truth of revocation. What `open` returned is found; what was ended is never found again.

    Ending every session of an owner costs the same however many there are.
    """

    async def open(self, session: Session, *, cap: int | None) -> None:
        """Keep a session. Of its owner's sessions at most `cap` stay, the oldest go, whatever runs in parallel."""
        ...

    async def find(self, tenant: Claimed) -> Session | None:
        """Return a tenant's session if it was opened and not ended. Expiry is the caller's to judge."""
        ...

    async def find_pair(self, tenant: Claimed, user: Claimed) -> tuple[Session | None, Session | None]:
        """Return a tenant's session and that of one of its users, in one trip to the store."""
        ...

    async def close(self, session: Session) -> bool:
        """End one session; False where it had ended already. Of two callers at once, one gets True."""
        ...

    async def end_user(self, tenant_id: str, user_id: str) -> None:
        """End every session of a user."""
        ...

    async def end_tenant(self, tenant_id: str) -> None:
        """End every session of the tenant itself, not those of its users."""
        ...

    async def end_users_of(self, tenant_id: str) -> None:
        """End every session of every user of the tenant."""
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` sessions that have expired or were ended; return how many were removed."""
        ...


class Verdict(NamedTuple):
    """Whether an attempt may go on.

    `wait` is how many milliseconds to wait, 0 for go on; `busy` says that only attempts in flight stand in the way.
    """

    wait: int
    busy: bool = False


class Backoff(NamedTuple):
    """How failures slow an identity down. Times in milliseconds."""

    free: int = 4
    first: int = 1_000
    longest: int = 900_000
    cap: int = 100
    lease: int = 10_000
    memory: int = 30 * 86_400_000


class Counters(Protocol):
    """Budgets and failures; may be lost in a power cut, never by a restart. Every method is one atomic step."""

    async def take(self, key: str, *, period: int, burst: int, now: int) -> int:
        """Take one from a budget that refills one each `period` ms and holds `burst` (GCRA).

        Returns 0 if there was one, else after how many milliseconds there will be one. A refused take costs nothing.
        """
        ...

    async def reserve(self, key: str, rule: Backoff, *, now: int) -> Verdict:
        """Ask for an attempt at a secret, before the secret is looked at. A refused one changes nothing.

        At most as many attempts are in flight as may still fail without a wait. A reservation that is neither settled
        nor released is forgotten after `rule.lease`.
        """
        ...

    async def settle(self, key: str, rule: Backoff, *, now: int) -> None:
        """Turn a reservation into a failure: the wait before the next attempt doubles beyond the free ones."""
        ...

    async def release(self, key: str) -> None:
        """Give a reservation back: the secret was never looked at."""
        ...

    async def forget(self, key: str) -> None:
        """Give a reservation back and forget all failures: the secret was right, or was replaced."""
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` counters that say nothing any more; return how many were removed."""
        ...


class Revocation(NamedTuple):
    """Something that was ended and must stay so: one session (`name` is its id), or all of an epoch (`name` is that).

    `place` is where the store keeps it. After `expires_at` it could not count any more; None: it always could.
    """

    place: str
    name: str
    expires_at: int | None


class Revocations(Protocol):
    """What a store of sessions that may lose writes cannot be trusted to remember; durable.

    Such a store notes every ending here before it is carried out and acknowledged. A server of it that nobody vouched
    for (restarted, failed over) is told all of it again before a single answer of it is believed.
    """

    async def note(self, ended: Revocation) -> None:
        """Remember an ending."""
        ...

    async def page(self, *, after: str, limit: int) -> list[Revocation]:
        """Return up to `limit` endings by `name`, those after `after`."""
        ...

    async def is_trusted(self, server: str) -> bool:
        """Tell whether this server, in its present life, was told everything."""
        ...

    async def trust(self, server: str, *, now: int) -> None:
        """Remember that this server, in its present life, was told everything."""
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` endings of what would be over by now anyway; return how many were removed."""
        ...
