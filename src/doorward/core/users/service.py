"""Users of a tenant: create, get, list and search, update, delete."""

from dataclasses import dataclass, replace
from typing import Any, Unpack
from uuid import uuid4

from doorward.core.audit.service import event
from doorward.core.errors import Conflict, LoginExists, LoginNotFound, QuotaExceeded, require
from doorward.core.model import Caller, Tenant, User
from doorward.core.normalization import canonical, check_email, check_login
from doorward.core.passwords.formats import bcrypt_cost
from doorward.core.passwords.policy import hash_violations, user_password_violations
from doorward.core.passwords.pool import PasswordHasherPool
from doorward.core.ports import AccountStore, Clock, RevocationScope, UserMatches
from doorward.core.rate_limits.limiter import RateLimiter
from doorward.core.sessions.service import SessionService
from doorward.core.tenants.settings import PasswordPolicy, SettingsResolver, decode_settings
from doorward.core.users.cursor import LAST_CURSOR, encode_cursor
from doorward.core.users.lookup import UserRef, find_user
from doorward.core.users.model import (
    HashToStore,
    NewUser,
    PasswordHash,
    PutResult,
    SearchCriterion,
    SearchField,
    UserChanges,
)

_MIN_SEARCH_LENGTH = 3
_TRIES = 5


@dataclass(frozen=True, slots=True)
class UserService:
    """Creates, changes and deletes users. With `replace_existing`, creating an existing login replaces the user."""

    accounts: AccountStore
    sessions: SessionService
    passwords: PasswordHasherPool
    rate_limits: RateLimiter
    settings_resolver: SettingsResolver
    clock: Clock
    replace_existing: bool = False

    async def create(self, caller: Caller, new: NewUser, *, as_predecessor: bool = False) -> User:
        """Create a user of the calling tenant.

        Raises LoginExists where the login is taken; with `replace_existing` the user keeps its id, gets the new
        password and attributes, and all of its sessions are revoked before this returns. Raises ValidationFailed for a
        login or an e-mail address that the rules reject, a password that the tenant's policy rejects, or a hash that is
        malformed or too costly; QuotaExceeded.

        With `as_predecessor`, a password that is a well-formed bcrypt string is a hash where the settings of the tenant
        or of the service say so.
        """
        tenant_id = caller.tenant_id
        check_login(new.login)
        check_email(new.email)
        await self.rate_limits.consume_write(tenant_id)
        if not self.replace_existing:
            if await self.accounts.user_by_login(tenant_id, new.login):
                raise LoginExists
            await self._check_quota(tenant_id)
        password = await self._as_predecessor(tenant_id, new.password) if as_predecessor else new.password
        secret = await self.hash_password(tenant_id, password, new.login, new.email)
        user = self._user(tenant_id, new, secret)
        created = event(caller, user.registration_date, "user.create", subject=user.id, detail=secret.detail)
        if await self.accounts.add_user(user, events=[created]):
            return user
        if not self.replace_existing:
            raise LoginExists
        return await self._replace(caller, user, new, secret)

    async def put(self, caller: Caller, new: NewUser) -> PutResult:
        """Create or replace a user; an existing one keeps id, dates and `disabled`.

        Its sessions are revoked where the password changes; otherwise they stay valid. A verified e-mail address stays
        verified unless it changes or `email_verified` is False. Raises ValidationFailed as `create` does, except for
        the login of an existing user; QuotaExceeded for a new user.
        """
        tenant_id = caller.tenant_id
        check_email(new.email)
        await self.rate_limits.consume_write(tenant_id)
        before = await self.accounts.user_by_login(tenant_id, new.login)
        if before is not None and await self._has_password(before, new.password):
            try:
                return PutResult(await self._change_attributes(caller, before, new), created=False)
            except LoginNotFound:
                # A concurrent request deleted it.
                before = None
        if before is None:
            check_login(new.login)
            await self._check_quota(tenant_id)
        secret = await self.hash_password(tenant_id, new.password, new.login, new.email)
        user = self._user(tenant_id, new, secret)
        created = event(caller, user.registration_date, "user.create", subject=user.id, detail=secret.detail)
        if await self.accounts.add_user(user, events=[created]):
            return PutResult(user, created=True)
        return PutResult(await self._replace(caller, user, new, secret), created=False)

    async def _check_quota(self, tenant_id: str) -> None:
        """Raise QuotaExceeded before a password is hashed for nothing; the store's count decides."""
        if await self.accounts.room_for_users(tenant_id) == 0:
            raise QuotaExceeded

    async def _has_password(self, user: User, password: str | PasswordHash) -> bool:
        if isinstance(password, PasswordHash):
            return password.text == user.password_hash
        return (await self.passwords.matches(password, user.password_hash, group=user.tenant_id)).right

    async def _change_attributes(self, caller: Caller, before: User, new: NewUser) -> User:
        changes = UserChanges(
            email=new.email,
            email_verified=new.email_verified,
            sub=new.sub,
            company=new.company,
            scope=new.scope,
            metadata=new.metadata,
        )
        return await self._apply(caller, before, changes, None)

    async def _replace(self, caller: Caller, user: User, new: NewUser, secret: HashToStore) -> User:
        before = await self.accounts.user_by_login(caller.tenant_id, user.login)
        subject = before.id if before else user.id
        replaced = event(caller, user.registration_date, "user.replace", subject=subject, detail=secret.detail)
        revokes = RevocationScope(caller.tenant_id, subject)
        keep_verified = new.email_verified is not False
        stored = await self.accounts.put_user(user, keep_verified=keep_verified, events=[replaced], revokes=revokes)
        await self.sessions.session_store.revoke_user(caller.tenant_id, stored.id)
        await self.rate_limits.reset_failures(caller.tenant_id, stored.login)
        return stored

    async def get(self, caller: Caller, ref: UserRef) -> User:
        """Return a user of the calling tenant; raises LoginNotFound."""
        self.rate_limits.consume_verify(caller.tenant_id)
        return await find_user(self.accounts, caller.tenant_id, ref)

    async def update(self, caller: Caller, ref: UserRef, **changes: Unpack[UserChanges]) -> User:
        """Update fields of a user; raises LoginNotFound.

        A new password or login, or `disabled`, revokes all of its sessions before this returns, and voids its reset
        codes. Failures that are counted for the login move to a new one. Raises LoginExists where another user has the
        new login, ValidationFailed as `create` does.
        """
        if "login" in changes:
            check_login(changes["login"])
        if "email" in changes:
            check_email(changes["email"])
        await self.rate_limits.consume_write(caller.tenant_id)
        user = await find_user(self.accounts, caller.tenant_id, ref)
        password = changes.pop("password", None)
        secret = None
        if password is not None:
            names = changes.get("login", user.login), changes.get("email", user.email)
            secret = await self.hash_password(caller.tenant_id, password, *names)
        return await self._apply(caller, user, changes, secret)

    async def _apply(self, caller: Caller, user: User, changes: UserChanges, secret: HashToStore | None) -> User:
        fields: dict[str, Any] = {**changes}
        verified = fields.pop("email_verified", None)
        if secret is not None:
            fields["password_hash"] = secret.hash
        for _ in range(_TRIES):
            before = await find_user(self.accounts, caller.tenant_id, UserRef(id=user.id))
            after = replace(before, **fields)
            after = replace(after, email_verified_at=_verified_at(before, after.email, self.clock(), verified=verified))
            renamed = after.login != before.login
            if renamed:
                await self._check_free(before, after.login)
            revokes_sessions = secret is not None or renamed or (after.disabled and not before.disabled)
            after = replace(after, credentials=before.credentials + revokes_sessions)
            revokes = RevocationScope(caller.tenant_id, before.id) if revokes_sessions else None
            now, detail = self.clock(), secret.detail if secret else ""
            events = [
                event(caller, now, action, subject=before.id, detail=detail if action == "user.password" else "")
                for action in _actions(before, after, secret)
            ]
            if await self.accounts.change_user(after, events=events, revokes=revokes):
                if revokes_sessions:
                    await self.sessions.session_store.revoke_user(caller.tenant_id, before.id)
                if renamed:
                    await self.rate_limits.rename_identity(caller.tenant_id, before.login, after.login)
                if secret is not None:
                    await self.rate_limits.reset_failures(caller.tenant_id, after.login)
                return after
        raise Conflict

    async def _check_free(self, user: User, login: str) -> None:
        owner = await self.accounts.user_by_login(user.tenant_id, login)
        if owner is not None and owner.id != user.id:
            raise LoginExists

    async def list_users(
        self, tenant_id: str, *, after: str, limit: int, matching: SearchCriterion | None = None
    ) -> tuple[list[User], str]:
        """Return a page of the tenant's users, by canonical login, and the cursor of the next page.

        A part of a login selects the logins that contain it; one whose canonical form has less than three characters,
        the logins that begin with it. `after` is the result of `decode_cursor`, "" for the first page. A page of a
        search may be short without being the last, so that each is fast.
        """
        users, reached = await self._list(tenant_id, matching, after, limit + 1)
        if len(users) > limit:
            return users[:limit], encode_cursor(canonical(users[limit - 1].login))
        return users, encode_cursor(reached) if reached else LAST_CURSOR

    async def _list(self, tenant_id: str, matching: SearchCriterion | None, after: str, limit: int) -> UserMatches:
        field, text = matching or (None, "")
        match field:
            case SearchField.PART:
                part = canonical(text)
                if len(part) >= _MIN_SEARCH_LENGTH:
                    return await self.accounts.search_users(tenant_id, part=part, after=after, limit=limit)
                return UserMatches(await self.accounts.list_users(tenant_id, after=after, limit=limit, prefix=part))
            case SearchField.EMAIL:
                return await self.accounts.users_by_email(tenant_id, text, after=after, limit=limit)
            case SearchField.SUB:
                return UserMatches(await self.accounts.users_by_sub(tenant_id, text, after=after, limit=limit))
            case SearchField.ID:
                user = await self.accounts.user_by_id(tenant_id, text)
                return UserMatches([user] if user and canonical(user.login) > after else [])
            case _:
                return UserMatches(await self.accounts.list_users(tenant_id, after=after, limit=limit))

    async def delete(self, caller: Caller, ref: UserRef) -> None:
        """Delete a user of the calling tenant and revoke all of its sessions on every worker; raises LoginNotFound.

        The sessions are revoked first, so a crash in between leaves a user without sessions and never sessions without
        a user. They are revoked again afterwards, for a login that passed its check in between.
        """
        tenant_id = caller.tenant_id
        await self.rate_limits.consume_write(tenant_id)
        user = await find_user(self.accounts, tenant_id, ref)
        await self.sessions.session_store.revoke_user(tenant_id, user.id)
        deleted = event(caller, self.clock(), "user.delete", subject=user.id)
        if not await self.accounts.delete_user(tenant_id, user.id, events=[deleted]):
            raise LoginNotFound
        await self.sessions.session_store.revoke_user(tenant_id, user.id)
        await self.sessions.session_store.erase_users([user.id])

    async def hash_password(self, tenant_id: str, password: str | PasswordHash, *context: str) -> HashToStore:
        """Return the hash to store for a new password, or a given hash, after checking the rules for either.

        `context` contains names that an attacker knows of the user. Raises ValidationFailed.
        """
        if isinstance(password, PasswordHash):
            require(hash_violations(password.text), "passwordHash")
            return HashToStore(password.text, given=True)
        tenant = await self.accounts.tenant_by_id(tenant_id)
        policy = decode_settings(tenant).password_policy if tenant else PasswordPolicy()
        require(user_password_violations(policy, password, (*context, *_names(tenant))), "password")
        return HashToStore(await self.passwords.hash(password, group=tenant_id))

    async def _as_predecessor(self, tenant_id: str, password: str | PasswordHash) -> str | PasswordHash:
        """Return a well-formed bcrypt string as a hash, where the tenant's settings or the service's say so."""
        if isinstance(password, PasswordHash) or bcrypt_cost(password) is None:
            return password
        tenant = await self.accounts.tenant_by_id(tenant_id)
        if tenant is None or not self.settings_resolver.effective(decode_settings(tenant)).ready_hashes:
            return password
        require(hash_violations(password), "password")
        return PasswordHash(password)

    def _user(self, tenant_id: str, new: NewUser, secret: HashToStore) -> User:
        now = self.clock()
        return User(
            id=str(uuid4()),
            tenant_id=tenant_id,
            login=new.login,
            email=new.email,
            company=new.company,
            sub=new.sub,
            scope=new.scope,
            password_hash=secret.hash,
            credentials=1,
            registration_date=now,
            last_activity=now,
            metadata=new.metadata,
            email_verified_at=now if new.email_verified else None,
        )


def _actions(before: User, after: User, secret: HashToStore | None) -> list[str]:
    """Return the audit actions of a change."""
    actions = ["user.rename"] if after.login != before.login else []
    if secret is not None:
        actions.append("user.password")
    elif after.disabled != before.disabled:
        actions.append("user.disable" if after.disabled else "user.enable")
    return actions or ["user.change"]


def _verified_at(before: User, email: str, now: int, *, verified: bool | None) -> int | None:
    """Return the time at which `email`, the user's address from now on, was verified."""
    # Compared to the letter: an address that only looks the same may be another person's mailbox.
    verified_at = before.email_verified_at if email == before.email and verified is not False else None
    return now if verified and verified_at is None else verified_at


def _names(tenant: Tenant | None) -> tuple[str, ...]:
    return (tenant.email, tenant.email.rpartition("@")[2].partition(".")[0]) if tenant else ()
