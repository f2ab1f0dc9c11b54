"""A tenant's users: created, listed, removed."""

import base64
from binascii import Error as NotBase64
from dataclasses import dataclass
from uuid import uuid4

from doorward.core.errors import Fault, LoginExists, LoginNotFound, ValidationFailed
from doorward.core.identity import canonical
from doorward.core.model import User
from doorward.core.passwords import Passwords, bcrypt_cost
from doorward.core.ports import Accounts, Clock
from doorward.core.sessions import SessionDoor
from doorward.core.throttle import Throttle

LAST_PAGE = "0"
"""The cursor that ends a list, and that may begin one: as the predecessor's."""


@dataclass(frozen=True, slots=True)
class NewUser:
    """What a tenant says of a user. `scope` is JSON text in the spelling of tokens, or None where none was given."""

    login: str
    email: str
    password: str
    sub: str
    company: str | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Users:
    """Keeps users. `replace_existing` lets a second creation of a login replace the user instead of being refused."""

    accounts: Accounts
    sessions: SessionDoor
    passwords: Passwords
    throttle: Throttle
    clock: Clock
    replace_existing: bool = False

    async def create(self, tenant_id: str, new: NewUser) -> User:
        """Create a user of the tenant.

        A password that is a well-formed bcrypt string is taken as a ready hash. Raises LoginExists where the login is
        taken; with `replace_existing` the user keeps its id, gets the new password and attributes, and all of its
        sessions end before this returns.
        """
        await self.throttle.write(tenant_id)
        if not self.replace_existing and await self.accounts.user_by_login(tenant_id, new.login):
            raise LoginExists
        ready = bcrypt_cost(new.password) is not None
        password_hash = new.password if ready else await self.passwords.hash(new.password, group=tenant_id)
        now = self.clock()
        user = User(
            id=str(uuid4()),
            tenant_id=tenant_id,
            login=new.login,
            email=new.email,
            company=new.company,
            sub=new.sub,
            scope=new.scope,
            password_hash=password_hash,
            credentials=1,
            registration_date=now,
            last_activity=now,
        )
        if await self.accounts.add_user(user):
            return user
        if not self.replace_existing:
            raise LoginExists
        kept = await self.accounts.put_user(user)
        await self.sessions.sessions.end_user(tenant_id, kept.id)
        await self.throttle.pardon(tenant_id, kept.login)
        return kept

    async def page(self, tenant_id: str, *, part: str, cursor: str, limit: int) -> tuple[list[User], str]:
        """Return a page of the tenant's users, by canonical login, and the cursor of the next one.

        `cursor` is what the page before gave, or "0" for the first; ValidationFailed for any other text.
        """
        after = "" if cursor == LAST_PAGE else _read_cursor(cursor)
        users = await self.accounts.list_users(tenant_id, part=canonical(part), after=after, limit=limit + 1)
        if len(users) <= limit:
            return users, LAST_PAGE
        return users[:limit], _write_cursor(canonical(users[limit - 1].login))

    async def delete(self, tenant_id: str, login: str) -> None:
        """Remove a user for good and end all of its sessions on every worker; LoginNotFound where there is none.

        Sessions end first, so a crash in between leaves a user without sessions and never sessions without a user; and
        once more after, for a login that passed the check in between.
        """
        await self.throttle.write(tenant_id)
        user = await self.accounts.user_by_login(tenant_id, login)
        if user is None:
            raise LoginNotFound
        await self.sessions.sessions.end_user(tenant_id, user.id)
        if not await self.accounts.delete_user(tenant_id, user.id):
            raise LoginNotFound
        await self.sessions.sessions.end_user(tenant_id, user.id)


def _write_cursor(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> str:
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        after = raw.decode()
    except (NotBase64, ValueError):
        after = ""
    # No login holds a NUL, and not every database can even compare with one.
    if not after or "\0" in after or _write_cursor(after) != cursor:
        raise ValidationFailed([Fault(["cursor"], "string.cursor", '"cursor" must be a cursor given by this list')])
    return after
