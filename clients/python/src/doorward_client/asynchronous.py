"""Client for asyncio, from which `make format` generates `synchronous.py`."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx

from doorward_client import calls
from doorward_client.calls import UNSET, Answer, Call, ImportUser, NoAnswer, Unset, UserId, check, finish
from doorward_client.connection import LIMITS, Address, lost
from doorward_client.errors import Unavailable
from doorward_client.retries import Effort, Patience
from doorward_client.values import (
    Claims,
    Event,
    ExportedUser,
    Health,
    ImportReport,
    Introspection,
    Key,
    NewKey,
    Permission,
    Put,
    Registered,
    ResetCode,
    Session,
    Tenant,
    TenantClaims,
    Tokens,
    Unconfirmed,
    User,
    UserPage,
)

T = TypeVar("T")


class AsyncSender:
    """Sends calls over persistent connections, and retries those that are safe to repeat."""

    def __init__(self, http: httpx.AsyncClient, address: Address, patience: Patience) -> None:
        """Send with `http`."""
        self.http = http
        self.address = address
        self.patience = patience

    async def send(self, call: Call[T]) -> T:
        """Send a call and return its result."""
        effort = Effort(call, self.patience)
        while True:
            outcome = await self._try(call, effort.remaining)
            pause = effort.pause(outcome)
            if pause is None:
                return finish(call, outcome)
            await asyncio.sleep(pause)

    async def export(self, call: Call[None]) -> AsyncIterator[ExportedUser]:
        """Send a call and yield the users of its streamed response."""
        lines = calls.Lines()
        failure: NoAnswer | None = None
        try:
            async with self.http.stream(**self.address.request(call, self.patience.seconds)) as response:
                if not response.is_success:
                    check(Answer(response.status_code, response.headers, await response.aread()))
                async for chunk in response.aiter_bytes():
                    for user in lines.feed(chunk):
                        yield user
        except httpx.RequestError as error:
            failure = lost(error)
        # Raised outside the handler, so that the error has no reference to the request and its credential.
        if failure:
            raise Unavailable(f"the response of Doorward is incomplete: {failure.why}")
        for user in lines.end():
            yield user

    async def _try(self, call: Call[T], seconds: float) -> Answer | NoAnswer:
        try:
            response = await self.http.request(**self.address.request(call, seconds))
        except httpx.RequestError as error:
            return lost(error)
        return Answer(response.status_code, response.headers, response.content)


class AsyncUsers:
    """The tenant's users."""

    def __init__(self, sender: AsyncSender) -> None:
        """Send with `sender`."""
        self._sender = sender

    async def create(
        self,
        login: str,
        email: str,
        password: str | None,
        sub: str,
        *,
        password_hash: str | None = None,
        company: str | None = None,
        scope: Any = UNSET,
        metadata: Any = UNSET,
        email_verified: bool | Unset = UNSET,
    ) -> User:
        """Create a user. `scope` is any JSON and is included in every token; `metadata` is included in none.

        `password` is always a password. For a hash of another system, pass None and `password_hash`. The request is not
        repeated after a failure if it may have been processed. Raises LoginExists, QuotaExceeded, ValidationFailed.
        """
        call = calls.create_user(
            login,
            email,
            password,
            sub,
            password_hash=password_hash,
            company=company,
            scope=scope,
            metadata=metadata,
            email_verified=email_verified,
        )
        return await self._sender.send(call)

    async def get(self, login: str | UserId) -> User:
        """Return a user. Raises LoginNotFound."""
        return await self._sender.send(calls.get_user(login))

    async def put(
        self,
        login: str,
        email: str,
        password: str | None,
        sub: str,
        *,
        password_hash: str | None = None,
        company: str | None = None,
        scope: Any = UNSET,
        metadata: Any = UNSET,
        email_verified: bool | Unset = UNSET,
    ) -> Put:
        """Create a user, or replace its attributes; its id does not change.

        A new password revokes its sessions. `password` and `password_hash` are as in `create`. A new `email` counts as
        unverified unless `email_verified` is True. Raises QuotaExceeded if the user is new.
        """
        call = calls.put_user(
            login,
            email,
            password,
            sub,
            password_hash=password_hash,
            company=company,
            scope=scope,
            metadata=metadata,
            email_verified=email_verified,
        )
        return await self._sender.send(call)

    async def patch(
        self,
        login: str | UserId,
        *,
        new_login: str | Unset = UNSET,
        email: str | Unset = UNSET,
        sub: str | Unset = UNSET,
        scope: Any = UNSET,
        company: str | Unset | None = UNSET,
        metadata: Any = UNSET,
        disabled: bool | Unset = UNSET,
        password: str | Unset = UNSET,
        password_hash: str | Unset = UNSET,
        email_verified: bool | Unset = UNSET,
    ) -> User:
        """Update the given attributes. None removes `company` and `metadata`.

        `new_login` replaces the login; id and password stay. `disabled=True` and a new login, password or hash revoke
        the user's sessions. A new `email` counts as unverified unless `email_verified` is True. Raises LoginNotFound,
        LoginExists.
        """
        call = calls.patch_user(
            login,
            new_login=new_login,
            email=email,
            sub=sub,
            scope=scope,
            company=company,
            metadata=metadata,
            disabled=disabled,
            password=password,
            password_hash=password_hash,
            email_verified=email_verified,
        )
        return await self._sender.send(call)

    async def delete(self, login: str | UserId) -> None:
        """Delete a user and revoke its sessions. Raises LoginNotFound."""
        await self._sender.send(calls.delete_user(login))

    async def unlock(self, login: str | UserId) -> None:
        """Clear a user's failed attempts, so that the right password is accepted at once. Raises LoginNotFound."""
        await self._sender.send(calls.unlock_user(login))

    async def page(
        self,
        cursor: str = "0",
        *,
        limit: int = 100,
        part: str | None = None,
        email: str | None = None,
        sub: str | None = None,
    ) -> UserPage:
        """Return a page of all users, or of those that `search` or `find` yield."""
        return await self._sender.send(calls.users_page(cursor, limit, part=part, email=email, sub=sub))

    def iterate(self, *, limit: int = 100) -> AsyncIterator[User]:
        """Yield every user, in pages of `limit`."""
        return self._follow(limit)

    def search(self, part: str, *, limit: int = 100) -> AsyncIterator[User]:
        """Yield every user with `part` (1 to 120 characters) in its login, in pages of `limit`.

        A `part` of one or two characters has to be the beginning of the login.
        """
        return self._follow(limit, part=part)

    def find(self, *, email: str | None = None, sub: str | None = None, limit: int = 100) -> AsyncIterator[User]:
        """Yield every user with this e-mail address, regardless of case, or with this `sub`, in pages of `limit`.

        For an id use `get` with a UserId. Raises ValueError unless exactly one of the two is given.
        """
        if (email is None) == (sub is None):
            raise ValueError("give either email or sub")
        return self._follow(limit, email=email, sub=sub)

    async def _follow(
        self, limit: int, *, part: str | None = None, email: str | None = None, sub: str | None = None
    ) -> AsyncIterator[User]:
        """Yield the users of every page."""
        cursor = "0"
        while True:
            page = await self.page(cursor, limit=limit, part=part, email=email, sub=sub)
            for user in page.users:
                yield user
            cursor = page.next_cursor
            if cursor == "0":
                return

    async def change_password(
        self, login: str | UserId, current: str, password: str, *, keep_token: str | None = None
    ) -> None:
        """Set a new password of a user, given the current one, and revoke its sessions except that of `keep_token`.

        With `keep_token`, failures are counted separately from those of logins. Raises IncorrectPassword,
        LoginNotFound, TooManyAttempts, AccountLocked, ValidationFailed.
        """
        await self._sender.send(calls.change_password(login, current, password, keep_token))

    async def reset_code(self, login: str | UserId) -> ResetCode:
        """Create a code that sets a user's password once; deliver it to the user. Raises LoginNotFound."""
        return await self._sender.send(calls.reset_code(login))

    async def reset(self, code: str, password: str) -> None:
        """Set a password with a code, and revoke the user's sessions. Raises InvalidResetCode, ValidationFailed."""
        await self._sender.send(calls.reset(code, password))

    async def import_users(
        self,
        users: Sequence[ImportUser | Mapping[str, Any]],
        *,
        unconfirmed: Unconfirmed = "disable",
        dry_run: bool = False,
    ) -> ImportReport:
        """Import up to 1,000 users with their password hashes. Existing users are not changed, and are reported.

        A mapping is a row of `POST /users/import`, with the field names of the HTTP API (`passwordHash`).

        `unconfirmed` is the treatment of users with `email_verified=False`: "disable", "admit" or "skip".
        """
        return await self._sender.send(calls.import_users(users, unconfirmed=unconfirmed, dry_run=dry_run))

    async def export_users(self, *, hashes: bool = False) -> AsyncIterator[ExportedUser]:
        """Stream all users. Raises Unavailable if the stream breaks off, so that the users are incomplete."""
        async for user in self._sender.export(calls.export_users(hashes=hashes)):
            yield user


class AsyncSessions:
    """The sessions of the tenant's users."""

    def __init__(self, sender: AsyncSender) -> None:
        """Send with `sender`."""
        self._sender = sender

    async def list(self, login: str | UserId) -> tuple[Session, ...]:
        """Return a user's open sessions, newest first. Raises LoginNotFound."""
        return (await self._sender.send(calls.list_sessions(login))).sessions

    async def end(self, login: str | UserId, session_id: str) -> None:
        """Revoke one session of a user. Raises LoginNotFound, SessionNotFound."""
        await self._sender.send(calls.end_session(login, session_id))

    async def end_device(self, login: str | UserId, device_id: str) -> None:
        """Revoke a user's sessions on a device. Raises LoginNotFound."""
        await self._sender.send(calls.end_sessions(login, device_id))

    async def end_user(self, login: str | UserId) -> None:
        """Revoke all sessions of a user. Raises LoginNotFound."""
        await self._sender.send(calls.end_sessions(login))

    async def end_everybody(self, *, own: bool = False) -> None:
        """Revoke all sessions of all users of the tenant; with `own`, also those of the tenant itself."""
        await self._sender.send(calls.end_everybody(own=own))


class AsyncTenantAccount:
    """The tenant itself."""

    def __init__(self, sender: AsyncSender) -> None:
        """Send with `sender`."""
        self._sender = sender

    async def register(
        self,
        email: str,
        password: str,
        *,
        password_policy: Mapping[str, int | bool | None] | Literal["recommended"] | None = None,
    ) -> Registered:
        """Register a tenant; `password_policy` is as in `settings`.

        Raises TenantExists, Forbidden (from this address), ValidationFailed.
        """
        return await self._sender.send(calls.register_tenant(email, password, password_policy))

    async def login(self, email: str, password: str, *, known_token: str | None = None) -> str:
        """Return a new token for a tenant.

        With a valid token of the same tenant in `known_token`, failures are counted separately from those of other
        clients, which then cannot lock it out. Raises IncorrectCredentials, TooManyAttempts, AccountLocked.
        """
        return (await self._sender.send(calls.login_tenant(email, password, known_token))).token

    async def verify(self, token: str) -> TenantClaims | None:
        """Return the claims of a valid tenant token, else None. After Unavailable, reject the token."""
        if not calls.plausible(token):
            return None
        return await self._sender.send(calls.verify_tenant(token))

    async def logout(self, token: str) -> bool:
        """Revoke the session of a tenant token; return False if the token was not valid."""
        return await self._sender.send(calls.logout_tenant(token))

    async def get(self) -> Tenant:
        """Return the calling tenant and its settings."""
        return await self._sender.send(calls.get_tenant())

    async def settings(
        self,
        *,
        session_lifetime: int | Unset | None = UNSET,
        session_idle: int | Unset | None = UNSET,
        sessions_per_user: int | Unset | None = UNSET,
        tenant_session_lifetime: int | Unset | None = UNSET,
        password_policy: Mapping[str, int | bool | None] | Literal["recommended"] | None = None,
        ready_hashes: bool | Unset | None = UNSET,
        introspection_audience: Sequence[str] | Unset | None = UNSET,
    ) -> Tenant:
        """Update the given settings. Times are in seconds; None means the service's default, or off for `session_idle`.

        `password_policy` takes any of `min_length`, `require_classes`, `block_common`, or "recommended". With
        `ready_hashes`, a bcrypt string in the `password` of `users.create` is a hash. `introspection_audience` is the
        `aud` of every introspection response.
        """
        call = calls.choose(
            password_policy,
            session_lifetime=session_lifetime,
            session_idle=session_idle,
            sessions_per_user=sessions_per_user,
            tenant_session_lifetime=tenant_session_lifetime,
            ready_hashes=ready_hashes,
            introspection_audience=introspection_audience,
        )
        return await self._sender.send(call)

    async def change_password(self, current: str, password: str) -> None:
        """Set a new password of the calling tenant, and revoke its other sessions. Raises IncorrectPassword."""
        await self._sender.send(calls.change_tenant_password(current, password))

    async def delete(self, password: str) -> None:
        """Delete the calling tenant and all its data, permanently. Raises IncorrectPassword."""
        await self._sender.send(calls.delete_tenant(password))


class AsyncKeys:
    """The tenant's API keys."""

    def __init__(self, sender: AsyncSender) -> None:
        """Send with `sender`."""
        self._sender = sender

    async def create(self, name: str, permissions: Sequence[Permission], *, expires_at: int | None = None) -> NewKey:
        """Create an API key, which is returned only once. `expires_at` is in milliseconds. Raises TooManyKeys."""
        return await self._sender.send(calls.create_key(name, permissions, expires_at))

    async def list(self) -> tuple[Key, ...]:
        """Return the API keys, oldest first, without the keys themselves."""
        return (await self._sender.send(calls.list_keys())).keys

    async def revoke(self, key_id: str) -> None:
        """Revoke an API key at once. Raises KeyNotFound."""
        await self._sender.send(calls.revoke_key(key_id))


class AsyncDoorward:
    """Client of Doorward for a tenant or one of its services. Use one instance for all calls: it reuses connections.

    An AsyncDoorward belongs to one event loop; a Doorward may be used by many threads.

    Args:
        url: URL of the service.
        key: API key ("dw_..."). Without a key or a token, only unauthenticated endpoints can be called.
        token: Tenant token, instead of a key.
        timeout: Seconds that a call may take, with all its attempts and pauses.
        verify_timeout: The same for calls that delay an incoming request, such as `verify` and `introspect`.
        attempts: Maximum number of attempts. Only calls that are safe to repeat are retried.
        http: HTTP client with certificates or a proxy of your own. The caller closes it.

    Every method raises Unavailable if Doorward does not respond or returns a server error, NotAuthorized if the key or
    token is not valid, PermissionDenied if the key lacks the permission, and TooManyRequests if a rate limit is
    exhausted.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        token: str | None = None,
        timeout: float = 10.0,
        verify_timeout: float = 2.0,
        attempts: int = 3,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Create a client, which connects at the first call. Raises ValueError for a malformed URL, key or token."""
        address = Address.of(url, key, token)
        self._owned = http is None
        self._sender = AsyncSender(
            http or httpx.AsyncClient(limits=LIMITS), address, Patience(attempts, timeout, verify_timeout)
        )
        self.users = AsyncUsers(self._sender)
        self.sessions = AsyncSessions(self._sender)
        self.tenant = AsyncTenantAccount(self._sender)
        self.keys = AsyncKeys(self._sender)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._sender.address.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, unless `http` was passed."""
        if self._owned:
            await self._sender.http.aclose()

    async def verify(self, token: str) -> Claims | None:
        """Return the claims of a valid user token, or None if it is revoked, expired, of another tenant or malformed.

        After Unavailable, the state of the token is unknown: reject the request with 503.
        """
        if not calls.plausible(token):
            return None
        return await self._sender.send(calls.verify(token))

    async def verify_batch(self, tokens: Sequence[str]) -> list[Claims | None]:
        """Return the result of `verify` for each of any number of tokens, in order, in batches of up to 500."""
        plausible = [token for token in dict.fromkeys(tokens) if calls.plausible(token)]
        results: dict[str, Claims | None] = {}
        for portion in calls.portions(plausible):
            claims = await self._sender.send(calls.verify_batch(portion))
            results.update(zip(portion, claims, strict=True))
        return [results.get(token) for token in tokens]

    async def login(
        self,
        login: str,
        password: str,
        device_id: str,
        *,
        refresh: bool = False,
        ip: str | None = None,
        user_agent: str | None = None,
        known_token: str | None = None,
    ) -> Tokens:
        """Open a session of a user on a device. With `refresh`, the response includes a refresh token.

        `ip` and `user_agent` are stored with the session. With `known_token`, a valid token of the same user, failures
        are counted separately from those of other clients. The request is not repeated after a failure if it may have
        been processed.

        Raises LoginFailed (UserNotFound, IncorrectPassword, UserDisabled, LoginRefused), TooManyAttempts,
        AccountLocked.
        """
        call = calls.login(
            login, password, device_id, refresh=refresh, ip=ip, user_agent=user_agent, known_token=known_token
        )
        return await self._sender.send(call)

    async def refresh(self, refresh_token: str) -> Tokens:
        """Exchange a refresh token for a new pair. Raises InvalidRefreshToken; reuse revokes the session."""
        return await self._sender.send(calls.refresh(refresh_token))

    async def logout(self, token: str) -> bool:
        """Revoke the session of a user token; return False if the token was not valid."""
        return await self._sender.send(calls.logout(token))

    async def introspect(self, token: str, *, hint: str | None = None) -> Introspection:
        """Introspect an access or refresh token (RFC 7662)."""
        if not calls.plausible(token):
            return Introspection(active=False)
        return await self._sender.send(calls.introspect(token, hint))

    async def revoke(self, token: str, *, hint: str | None = None) -> None:
        """Revoke an access or refresh token (RFC 7009); tokens that are not valid are accepted."""
        if calls.plausible(token):
            await self._sender.send(calls.revoke(token, hint))

    async def audit(self, *, limit: int = 100) -> AsyncIterator[Event]:
        """Yield the tenant's audit events, newest first, in pages of `limit`."""
        page = await self._sender.send(calls.audit_page("0", limit))
        while True:
            for event in page.events:
                yield event
            if page.next_cursor == "0":
                return
            page = await self._sender.send(calls.audit_page(page.next_cursor, limit))

    async def health(self) -> Health:
        """Return the readiness of Doorward and of its stores. Raises Unavailable if there is no response."""
        return await self._sender.send(calls.health())

    async def live(self) -> bool:
        """Return whether a process of Doorward responds."""
        try:
            await self._sender.send(calls.live())
        except Unavailable:
            return False
        return True
