"""Many users at once: taken over from another system, and handed out again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import NamedTuple
from uuid import uuid4

from doorward.core import hash_formats
from doorward.core.audit import event
from doorward.core.errors import Conflict, QuotaExceeded
from doorward.core.hash_formats import UnfitHash
from doorward.core.identity import canonical
from doorward.core.model import Caller, User
from doorward.core.ports import Accounts, AuditLog, Clock
from doorward.core.turns import in_turns

MOST_ROWS = 1000
"""The most users of one import: what a store keeps in one transaction without keeping others waiting for long."""

_PAGE = 250
_AT_ONCE = 8
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A user of another system. `scope` and `metadata` are JSON text; a `password_hash` of "" lets nobody log in.

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


class Unconfirmed(StrEnum):
    """Treatment of new users whose e-mail address their system never verified, by its own account."""

    ADMIT = "admit"
    DISABLE = "disable"
    SKIP = "skip"


class Unfit(NamedTuple):
    """A row that is no user. `sentence` repeats nothing of it; `login` is what it calls itself, if that is a login."""

    code: str
    sentence: str
    login: str | None = None


class Status(StrEnum):
    """What became of a row."""

    CREATED = "created"
    EXISTS = "exists"
    REFUSED = "refused"
    SKIPPED = "skipped"


class Outcome(NamedTuple):
    """What became of a row, and why it was refused, if it was.

    `unconfirmed` marks a user that was created or skipped and whose e-mail address was never verified.
    """

    status: Status
    login: str | None
    unfit: Unfit | None = None
    unconfirmed: bool = False


@dataclass(frozen=True, slots=True)
class UserTransfer:
    """Takes users in and hands them out, without a single hash computed."""

    accounts: Accounts
    audit: AuditLog
    clock: Clock

    async def take(
        self,
        caller: Caller,
        rows: Sequence[Newcomer | Unfit],
        *,
        unconfirmed: Unconfirmed = Unconfirmed.DISABLE,
        dry_run: bool = False,
    ) -> list[Outcome]:
        """Keep new users of the calling tenant in one transaction; return what became of each row, in their order.

        A login that is taken, in the store or by an earlier row, in any spelling of its canonical form, exists already:
        that user is left as it is, so the same rows may be given again. A hash of no known format, or of hostile cost,
        refuses its row and no other. So does a quota of users that has no room for the row; earlier rows come first.
        With `dry_run` nothing is kept, and the outcomes are what they would be.

        `unconfirmed` decides on users whose `email_verified` is False: they are disabled unless it says otherwise.
        """
        judged = [_judge(row) async for row in in_turns(rows)]
        first: dict[str, Newcomer] = {}
        async for row in in_turns(judged):
            if isinstance(row, Newcomer) and not _is_skipped(row, unconfirmed):
                first.setdefault(canonical(row.login), row)
        known = await self._known(caller.tenant_id, first)
        new = {login: row for login, row in first.items() if login not in known}
        created, excess = await self._keep(caller, new, unconfirmed, dry_run=dry_run)
        return [_outcome(row, created, excess, unconfirmed) async for row in in_turns(judged)]

    async def _keep(
        self, caller: Caller, new: dict[str, Newcomer], unconfirmed: Unconfirmed, *, dry_run: bool
    ) -> tuple[dict[str, Newcomer], frozenset[str]]:
        """Keep as many new users as the quota has room for; return those kept, and the logins of the others."""
        for _ in range(_TRIES):
            fitting = dict(islice(new.items(), await self.accounts.room_for_users(caller.tenant_id)))
            excess = frozenset(new.keys() - fitting.keys())
            if dry_run or not fitting:
                return fitting, excess
            detail = "hash" if any(row.password_hash for row in fitting.values()) else ""
            imported = event(caller, self.clock(), "users.import", subject=f"{len(fitting)} users", detail=detail)
            users = [self._user(caller.tenant_id, row, unconfirmed) async for row in in_turns(fitting.values())]
            try:
                kept = await self.accounts.add_users(users, events=[imported])
            except QuotaExceeded:
                # Another request took the room meanwhile.
                continue
            # Another request may have taken a login meanwhile; the store's answer counts.
            return {login: row for (login, row), is_kept in zip(fitting.items(), kept, strict=True) if is_kept}, excess
        raise Conflict

    async def hand_out(self, caller: Caller, *, hashes: bool) -> AsyncIterator[list[User]]:
        """Yield all users of the calling tenant, some at a time, by canonical login; the log says that it happened.

        Without `hashes` they come without their password hashes. Who is created or removed meanwhile may or may not be
        among them; everybody else is, once.
        """
        subject = "with hashes" if hashes else ""
        await self.audit.record(event(caller, self.clock(), "users.export", subject=subject))
        after = ""
        while users := await self.accounts.list_users(caller.tenant_id, after=after, limit=_PAGE):
            yield users
            after = canonical(users[-1].login)

    async def _known(self, tenant_id: str, rows: dict[str, Newcomer]) -> set[str]:
        """Return those of the canonical logins that are taken."""
        pairs = list(rows.items())
        known: set[str] = set()
        for start in range(0, len(pairs), _AT_ONCE):
            asked = pairs[start : start + _AT_ONCE]
            found = await asyncio.gather(*(self.accounts.user_by_login(tenant_id, row.login) for _, row in asked))
            known.update(login for (login, _), user in zip(asked, found, strict=True) if user is not None)
            # A store that answers at once gives nobody else a turn.
            await asyncio.sleep(0)
        return known

    def _user(self, tenant_id: str, row: Newcomer, unconfirmed: Unconfirmed) -> User:
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
            disabled=row.disabled or (row.email_verified is False and unconfirmed is Unconfirmed.DISABLE),
        )


def _judge(row: Newcomer | Unfit) -> Newcomer | Unfit:
    if isinstance(row, Newcomer) and row.password_hash:
        try:
            hash_formats.read(row.password_hash)
        except UnfitHash as unfit:
            return Unfit(unfit.code, unfit.sentence, row.login)
    return row


def _is_skipped(row: Newcomer, unconfirmed: Unconfirmed) -> bool:
    return row.email_verified is False and unconfirmed is Unconfirmed.SKIP


def _outcome(
    row: Newcomer | Unfit, new: dict[str, Newcomer], excess: frozenset[str], unconfirmed: Unconfirmed
) -> Outcome:
    if isinstance(row, Unfit):
        return Outcome(Status.REFUSED, row.login, row)
    if _is_skipped(row, unconfirmed):
        return Outcome(Status.SKIPPED, row.login, unconfirmed=True)
    if canonical(row.login) in excess:
        return Outcome(Status.REFUSED, row.login, Unfit(QuotaExceeded.code, QuotaExceeded.sentence, row.login))
    if new.get(canonical(row.login)) is not row:
        return Outcome(Status.EXISTS, row.login)
    return Outcome(Status.CREATED, row.login, unconfirmed=row.email_verified is False)
