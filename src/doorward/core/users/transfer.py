"""Import and export of many users."""

import asyncio
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import NamedTuple
from uuid import uuid4

from doorward.core.audit.service import event
from doorward.core.cooperative import iterate_cooperatively
from doorward.core.errors import Conflict, QuotaExceeded
from doorward.core.model import Caller, User
from doorward.core.normalization import canonical
from doorward.core.passwords import formats
from doorward.core.passwords.formats import STANDARD, HashLimits, UnsupportedHash
from doorward.core.ports import AccountStore, AuditStore, Clock

MAX_ROWS = 1000
"""The most users of one import: one transaction of a store that does not delay others for long."""

_PAGE = 250
_AT_ONCE = 8
_TRIES = 5


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user of another system. `scope` and `metadata` are JSON text; with a `password_hash` of "" no login succeeds.

    `email_verified` is whether that system has verified the e-mail address; None where it does not say.
    """

    login: str
    email: str
    sub: str
    password_hash: str = ""
    company: str | None = None
    scope: str | None = None
    metadata: str | None = None
    disabled: bool = False
    email_verified: bool | None = None


class UnverifiedTreatment(StrEnum):
    """The treatment of new users whose e-mail address is unverified according to their system."""

    ADMIT = "admit"
    DISABLE = "disable"
    SKIP = "skip"


class RejectedRow(NamedTuple):
    """A row that is no valid user. `sentence` repeats no value; `login` is the login in the row, if it is one.

    `taken_by` is the conflicting login, as its user spells it.
    """

    code: str
    sentence: str
    login: str | None = None
    taken_by: str | None = None


LOGIN_TAKEN = "login_taken"
"""The code of a row whose login, in this or another spelling, belongs to a user with another `sub`."""


class LoginOwner(NamedTuple):
    """The user with a login: its spelling, and its `sub`."""

    login: str
    sub: str


class RowStatus(StrEnum):
    """The result of a row."""

    CREATED = "created"
    EXISTS = "exists"
    REFUSED = "refused"
    SKIPPED = "skipped"


class RowResult(NamedTuple):
    """The result of a row, and the reason of a rejection.

    `unconfirmed` marks a user that was created or skipped and whose e-mail address was never verified,
    `without_password` one that was created without a password hash.
    """

    status: RowStatus
    login: str | None
    rejected: RejectedRow | None = None
    unconfirmed: bool = False
    without_password: bool = False


@dataclass(frozen=True, slots=True)
class UserTransferService:
    """Imports and exports users, without computing a hash."""

    account_store: AccountStore
    audit_store: AuditStore
    clock: Clock

    async def import_users(
        self,
        caller: Caller,
        rows: Sequence[UserRow | RejectedRow],
        *,
        unconfirmed: UnverifiedTreatment = UnverifiedTreatment.DISABLE,
        bounds: HashLimits = STANDARD,
        dry_run: bool = False,
        rehearsed: MutableMapping[str, LoginOwner] | None = None,
    ) -> list[RowResult]:
        """Import new users of the calling tenant in one transaction; return the result of each row, in their order.

        A login that a user with the same `sub` has, in the store or in an earlier row, exists already: that user stays
        as it is, so the same rows may be imported again. A login of a user with another `sub` is rejected as
        `login_taken`. Logins are compared in their canonical form. A hash of an unknown format, or of a cost beyond
        `bounds`, rejects its row only; so does an exhausted quota, with earlier rows first. Raises Conflict where
        concurrent requests repeatedly take the rest of the quota.

        With `dry_run` nothing is stored, and the results are those of a real import; `rehearsed` then holds the logins
        of earlier calls for the next one.

        `unconfirmed` decides on users whose `email_verified` is False: they are disabled by default.
        """
        checked = [_check_row(row, bounds) async for row in iterate_cooperatively(rows)]
        first: dict[str, UserRow] = {}
        async for row in iterate_cooperatively(checked):
            if isinstance(row, UserRow) and not _is_skipped(row, unconfirmed):
                first.setdefault(canonical(row.login), row)
        earlier = rehearsed if rehearsed is not None else {}
        for _ in range(_TRIES):
            room = await self._room(caller.tenant_id, len(earlier) if dry_run else 0)
            # Read after the quota: a login that is free now was free when the quota was exhausted.
            holders = await self._login_owners(caller.tenant_id, first)
            holders |= {login: earlier[login] for login in first if login in earlier}
            new = {login: row for login, row in first.items() if login not in holders}
            fitting = dict(islice(new.items(), room))
            try:
                created = fitting if dry_run or not fitting else await self._add_users(caller, fitting, unconfirmed)
            except QuotaExceeded:
                # A concurrent request took the rest of the quota.
                continue
            if lost := fitting.keys() - created.keys():
                holders |= await self._login_owners(caller.tenant_id, {login: fitting[login] for login in lost})
            owners = {login: LoginOwner(row.login, row.sub) for login, row in created.items()}
            earlier.update(owners)
            holders |= owners
            excess = new.keys() - fitting.keys()
            return [
                _outcome(row, created, excess, holders, unconfirmed) async for row in iterate_cooperatively(checked)
            ]
        raise Conflict

    async def _room(self, tenant_id: str, rehearsed: int) -> int | None:
        """Return the number of users that the quota admits after the rehearsed ones; None for any number."""
        room = await self.account_store.room_for_users(tenant_id)
        return None if room is None else max(0, room - rehearsed)

    async def _add_users(
        self, caller: Caller, new: Mapping[str, UserRow], unconfirmed: UnverifiedTreatment
    ) -> dict[str, UserRow]:
        """Store new users and return them, without those whose login was taken concurrently; raises QuotaExceeded."""
        detail = "hash" if any(row.password_hash for row in new.values()) else ""
        imported = event(caller, self.clock(), "users.import", subject=f"{len(new)} users", detail=detail)
        users = [self._user(caller.tenant_id, row, unconfirmed) async for row in iterate_cooperatively(new.values())]
        added = await self.account_store.add_users(users, events=[imported])
        return {login: row for (login, row), is_new in zip(new.items(), added, strict=True) if is_new}

    async def export_users(self, caller: Caller, *, hashes: bool) -> AsyncIterator[list[User]]:
        """Yield all users of the calling tenant in batches, by canonical login; the audit log records the export.

        Without `hashes` they have no password hashes. Users that are created or deleted meanwhile may be included or
        not; all others are included once.
        """
        subject = "with hashes" if hashes else ""
        await self.audit_store.record(event(caller, self.clock(), "users.export", subject=subject))
        after = ""
        while users := await self.account_store.list_users(caller.tenant_id, after=after, limit=_PAGE):
            yield users
            after = canonical(users[-1].login)

    async def _login_owners(self, tenant_id: str, rows: Mapping[str, UserRow]) -> dict[str, LoginOwner]:
        """Return the owners of the logins of rows, by canonical login."""
        pairs = list(rows.items())
        found: dict[str, LoginOwner] = {}
        for start in range(0, len(pairs), _AT_ONCE):
            batch = pairs[start : start + _AT_ONCE]
            users = await asyncio.gather(*(self.account_store.user_by_login(tenant_id, row.login) for _, row in batch))
            found |= {
                login: LoginOwner(user.login, user.sub)
                for (login, _), user in zip(batch, users, strict=True)
                if user is not None
            }
            # A store that returns at once lets no other task run.
            await asyncio.sleep(0)
        return found

    def _user(self, tenant_id: str, row: UserRow, unconfirmed: UnverifiedTreatment) -> User:
        now = self.clock()
        return User(
            id=str(uuid4()),
            tenant_id=tenant_id,
            login=row.login,
            email=row.email,
            company=row.company,
            sub=row.sub,
            scope=row.scope,
            password_hash=row.password_hash,
            credentials=1,
            registration_date=now,
            last_activity=now,
            metadata=row.metadata,
            email_verified_at=now if row.email_verified else None,
            disabled=row.disabled or (row.email_verified is False and unconfirmed is UnverifiedTreatment.DISABLE),
        )


def _check_row(row: UserRow | RejectedRow, bounds: HashLimits) -> UserRow | RejectedRow:
    if isinstance(row, UserRow) and row.password_hash:
        try:
            formats.parse_hash(row.password_hash, bounds)
        except UnsupportedHash as error:
            return RejectedRow(error.code, error.sentence, row.login)
    return row


def _is_skipped(row: UserRow, unconfirmed: UnverifiedTreatment) -> bool:
    return row.email_verified is False and unconfirmed is UnverifiedTreatment.SKIP


def _outcome(
    row: UserRow | RejectedRow,
    new: Mapping[str, UserRow],
    excess: AbstractSet[str],
    holders: Mapping[str, LoginOwner],
    unconfirmed: UnverifiedTreatment,
) -> RowResult:
    if isinstance(row, RejectedRow):
        return RowResult(RowStatus.REFUSED, row.login, row)
    if _is_skipped(row, unconfirmed):
        return RowResult(RowStatus.SKIPPED, row.login, unconfirmed=True)
    login = canonical(row.login)
    if login in excess:
        return RowResult(
            RowStatus.REFUSED, row.login, RejectedRow(QuotaExceeded.code, QuotaExceeded.sentence, row.login)
        )
    if new.get(login) is row:
        return RowResult(
            RowStatus.CREATED,
            row.login,
            unconfirmed=row.email_verified is False,
            without_password=not row.password_hash,
        )
    holder = holders.get(login)
    if holder is not None and holder.sub != row.sub:
        taken = RejectedRow(LOGIN_TAKEN, "The login is that of a user with another sub", row.login, holder.login)
        return RowResult(RowStatus.REFUSED, row.login, taken)
    return RowResult(RowStatus.EXISTS, row.login)
