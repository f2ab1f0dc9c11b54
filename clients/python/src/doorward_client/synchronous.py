"""The client for threads. Made from `asynchronous.py` by `mirror.py`: change that one."""

import time
from collections.abc import Iterator, Mapping, Sequence
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


class Sender:
    """Sends calls over connections that stay open, and asks again where that does no harm."""

    def __init__(self, http: httpx.Client, address: Address, patience: Patience) -> None:
        """Send with `http`."""
        self.http = http
        self.address = address
        self.patience = patience

    def send(self, call: Call[T]) -> T:
        """Send a call and return what its answer means."""
        effort = Effort(call, self.patience)
        while True:
            outcome = self._try(call, effort.remaining)
            pause = effort.pause(outcome)
            if pause is None:
                return finish(call, outcome)
            time.sleep(pause)

    def export(self, call: Call[None]) -> Iterator[ExportedUser]:
        """Send a call whose answer is a stream of users."""
        lines = calls.Lines()
        failure: NoAnswer | None = None
        try:
            with self.http.stream(**self.address.request(call, self.patience.seconds)) as response:
                if not response.is_success:
                    check(Answer(response.status_code, response.headers, response.read()))
                for chunk in response.iter_bytes():
                    for user in lines.feed(chunk):
                        yield user
        except httpx.RequestError as error:
            failure = lost(error)
        # Raised out here, the error does not carry the request, which has the credential.
        if failure:
            raise Unavailable(f"Doorward did not answer to the end: {failure.why}")
        for user in lines.end():
            yield user

    def _try(self, call: Call[T], seconds: float) -> Answer | NoAnswer:
        try:
            response = self.http.request(**self.address.request(call, seconds))
        except httpx.RequestError as error:
            return lost(error)
        return Answer(response.status_code, response.headers, response.content)


class Users:
    """The tenant's users."""

    def __init__(self, sender: Sender) -> None:
        """Send with `sender`."""
        self._sender = sender

    def create(
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
        """Create a user. `scope` is any JSON and is copied into every token; `metadata` into none.

        `password` is always a password. For a hash that another system made of one, give None and `password_hash`.
        Raises LoginExists, QuotaExceeded, ValidationFailed.
        It is never sent twice after a failure that leaves its fate open.
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
        return self._sender.send(call)

    def get(self, login: str | UserId) -> User:
        """Return a user. Raises LoginNotFound."""
        return self._sender.send(calls.get_user(login))

    def put(
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
        """Create a user, or replace what is known of it: it keeps its id.

        Its sessions end if the password is another one than before. `password` and `password_hash` are as in `create`.
        Another `email` is not verified unless `email_verified` is True. Raises QuotaExceeded where the user is new.
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
        return self._sender.send(call)

    def patch(
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
        """Change what is named and leave the rest. None removes `company` and `metadata`.

        `new_login` replaces the login; id and password stay. `disabled=True` and a new login, password or hash end the
        user's sessions. Another `email` is not verified unless `email_verified` is True. Raises LoginNotFound,
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
        return self._sender.send(call)

    def delete(self, login: str | UserId) -> None:
        """Remove a user and end its sessions. Raises LoginNotFound."""
        self._sender.send(calls.delete_user(login))

    def unlock(self, login: str | UserId) -> None:
        """Clear a user's failed attempts, so that the right password is accepted at once. Raises LoginNotFound."""
        self._sender.send(calls.unlock_user(login))

    def page(
        self,
        cursor: str = "0",
        *,
        limit: int = 100,
        part: str | None = None,
        email: str | None = None,
        sub: str | None = None,
    ) -> UserPage:
        """Return a page of users: of all, of those that `search` or `find` give."""
        return self._sender.send(calls.users_page(cursor, limit, part=part, email=email, sub=sub))

    def iterate(self, *, limit: int = 100) -> Iterator[User]:
        """Give every user, asking for `limit` at a time."""
        return self._follow(limit)

    def search(self, part: str, *, limit: int = 100) -> Iterator[User]:
        """Yield every user with `part` (1 to 120 characters) in its login, in pages of `limit`.

        A `part` of one or two characters has to be the beginning of the login.
        """
        return self._follow(limit, part=part)

    def find(self, *, email: str | None = None, sub: str | None = None, limit: int = 100) -> Iterator[User]:
        """Give every user with this e-mail address, in any spelling, or with this `sub`, asking for `limit` at a time.

        The user of an id is what `get` returns for a UserId. Raises ValueError unless one of both is given.
        """
        if (email is None) == (sub is None):
            raise ValueError("give either email or sub")
        return self._follow(limit, email=email, sub=sub)

    def _follow(
        self, limit: int, *, part: str | None = None, email: str | None = None, sub: str | None = None
    ) -> Iterator[User]:
        """Give the users of every page."""
        cursor = "0"
        while True:
            page = self.page(cursor, limit=limit, part=part, email=email, sub=sub)
            for user in page.users:
                yield user
            cursor = page.next_cursor
            if cursor == "0":
                return

    def change_password(
        self, login: str | UserId, current: str, password: str, *, keep_token: str | None = None
    ) -> None:
        """Set a new password for a user who proves the current one. Its sessions end, but for that of `keep_token`.

        With `keep_token` failures are counted apart from those of logins. Raises IncorrectPassword, LoginNotFound,
        TooManyAttempts, AccountLocked, ValidationFailed.
        """
        self._sender.send(calls.change_password(login, current, password, keep_token))

    def reset_code(self, login: str | UserId) -> ResetCode:
        """Make a code that sets a user's password once; deliver it to the user. Raises LoginNotFound."""
        return self._sender.send(calls.reset_code(login))

    def reset(self, code: str, password: str) -> None:
        """Set a password by a code and end the user's sessions. Raises InvalidResetCode, ValidationFailed."""
        self._sender.send(calls.reset(code, password))

    def import_users(
        self,
        users: Sequence[ImportUser | Mapping[str, Any]],
        *,
        unconfirmed: Unconfirmed = "disable",
        dry_run: bool = False,
    ) -> ImportReport:
        """Import up to 1,000 users with their password hashes. Existing users are left alone and reported.

        A mapping is a row of `POST /users/import`, with the names that the HTTP API has (`passwordHash`).

        `unconfirmed` decides on users with `email_verified=False`: "disable" them, "admit" or "skip" them.
        """
        return self._sender.send(calls.import_users(users, unconfirmed=unconfirmed, dry_run=dry_run))

    def export_users(self, *, hashes: bool = False) -> Iterator[ExportedUser]:
        """Stream all users. Raises Unavailable where the stream breaks off: what came until then is not all."""
        for user in self._sender.export(calls.export_users(hashes=hashes)):
            yield user


class Sessions:
    """The sessions of the tenant's users."""

    def __init__(self, sender: Sender) -> None:
        """Send with `sender`."""
        self._sender = sender

    def list(self, login: str | UserId) -> tuple[Session, ...]:
        """Return a user's live sessions, newest first. Raises LoginNotFound."""
        return (self._sender.send(calls.list_sessions(login))).sessions

    def end(self, login: str | UserId, session_id: str) -> None:
        """End one session of a user. Raises LoginNotFound, SessionNotFound."""
        self._sender.send(calls.end_session(login, session_id))

    def end_device(self, login: str | UserId, device_id: str) -> None:
        """End a user's sessions on a device. Raises LoginNotFound."""
        self._sender.send(calls.end_sessions(login, device_id))

    def end_user(self, login: str | UserId) -> None:
        """End all sessions of a user. Raises LoginNotFound."""
        self._sender.send(calls.end_sessions(login))

    def end_everybody(self, *, own: bool = False) -> None:
        """End every session of every user of the tenant; `own`: the tenant's own too."""
        self._sender.send(calls.end_everybody(own=own))


class TenantAccount:
    """The tenant itself."""

    def __init__(self, sender: Sender) -> None:
        """Send with `sender`."""
        self._sender = sender

    def register(
        self,
        email: str,
        password: str,
        *,
        password_policy: Mapping[str, int | bool | None] | Literal["recommended"] | None = None,
    ) -> Registered:
        """Register a tenant, with a `password_policy` as `settings` takes it.

        Raises TenantExists, Forbidden (from this address), ValidationFailed.
        """
        return self._sender.send(calls.register_tenant(email, password, password_policy))

    def login(self, email: str, password: str, *, known_token: str | None = None) -> str:
        """Return a new token for a tenant.

        With a live token of the same tenant in `known_token` its failures are counted apart from those of other
        clients, who then cannot lock it out. Raises IncorrectCredentials, TooManyAttempts, AccountLocked.
        """
        return (self._sender.send(calls.login_tenant(email, password, known_token))).token

    def verify(self, token: str) -> TenantClaims | None:
        """Return whose a tenant token is; None for a dead one. Raises Unavailable: then it must not pass."""
        if not calls.plausible(token):
            return None
        return self._sender.send(calls.verify_tenant(token))

    def logout(self, token: str) -> bool:
        """End the session of a tenant token; False where it was dead already."""
        return self._sender.send(calls.logout_tenant(token))

    def get(self) -> Tenant:
        """Return the calling tenant and its settings."""
        return self._sender.send(calls.get_tenant())

    def settings(
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
        """Change the settings that are named. Times in seconds; None: as the service has it, for `session_idle` off.

        `password_policy` takes any of `min_length`, `require_classes`, `block_common`, or "recommended". `ready_hashes`
        makes a bcrypt string in the `password` of `users.create` a hash. `introspection_audience` is the `aud` of
        every introspection response.
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
        return self._sender.send(call)

    def change_password(self, current: str, password: str) -> None:
        """Set a new password for the calling tenant; its other sessions end. Raises IncorrectPassword."""
        self._sender.send(calls.change_tenant_password(current, password))

    def delete(self, password: str) -> None:
        """Remove the calling tenant and all it owns, for good. Raises IncorrectPassword."""
        self._sender.send(calls.delete_tenant(password))


class Keys:
    """The tenant's API keys."""

    def __init__(self, sender: Sender) -> None:
        """Send with `sender`."""
        self._sender = sender

    def create(self, name: str, permissions: Sequence[Permission], *, expires_at: int | None = None) -> NewKey:
        """Make an API key, which is shown this once. `expires_at`: milliseconds since the epoch. Raises TooManyKeys."""
        return self._sender.send(calls.create_key(name, permissions, expires_at))

    def list(self) -> tuple[Key, ...]:
        """Return the API keys, oldest first, without the keys themselves."""
        return (self._sender.send(calls.list_keys())).keys

    def revoke(self, key_id: str) -> None:
        """Make an API key worthless at once. Raises KeyNotFound."""
        self._sender.send(calls.revoke_key(key_id))


class Doorward:
    """Doorward, as a tenant or one of its machines sees it. Keep one and use it for everything: it reuses connections.

    `key` is an API key ("dw_..."), `token` a tenant's token; without either only what needs none can be asked.
    A call takes at most about `timeout` seconds with all its tries, a question that somebody's request waits for
    (verify, introspect) `verify_timeout`; each wait for Doorward is bounded by what is left of them. Up to `attempts`
    tries are made, and only where it is certain that asking again does no harm.

    `http` may be a client of yours, for certificates or a proxy of your own; you close it. An AsyncDoorward belongs
    to one event loop, a Doorward may be used by many threads.

    Every method raises Unavailable where Doorward gives no answer that can be relied on, NotAuthorized where the key or
    token is not good, PermissionDenied where the key may not do this, and TooManyRequests where a budget is used up.
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
        http: httpx.Client | None = None,
    ) -> None:
        """Connect with the first call. Raises ValueError for a URL, key or token that cannot be one."""
        address = Address.of(url, key, token)
        self._owned = http is None
        self._sender = Sender(http or httpx.Client(limits=LIMITS), address, Patience(attempts, timeout, verify_timeout))
        self.users = Users(self._sender)
        self.sessions = Sessions(self._sender)
        self.tenant = TenantAccount(self._sender)
        self.keys = Keys(self._sender)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._sender.address.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, unless they are those of a client of yours."""
        if self._owned:
            self._sender.http.close()

    def verify(self, token: str) -> Claims | None:
        """Return who the user of a token is right now, or None: the token is dead, foreign, or none at all.

        A dead token never raises. Unavailable means that nobody knows: fail closed, let nothing pass, answer 503.
        """
        if not calls.plausible(token):
            return None
        return self._sender.send(calls.verify(token))

    def verify_batch(self, tokens: Sequence[str]) -> list[Claims | None]:
        """Return for each token, in their order, what `verify` would. As many as you like; 500 go in one question."""
        asked = [token for token in dict.fromkeys(tokens) if calls.plausible(token)]
        found: dict[str, Claims | None] = {}
        for portion in calls.portions(asked):
            answers = self._sender.send(calls.verify_batch(portion))
            found.update(zip(portion, answers, strict=True))
        return [found.get(token) for token in tokens]

    def login(
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
        """Open a session for a user on a device. `refresh` asks for a refresh token too.

        `ip` and `user_agent` are kept with the session. With `known_token`, a live token of the same user, failures are
        counted apart from everybody else's. It is never sent twice after a failure that leaves its fate open.

        Raises LoginFailed (UserNotFound, IncorrectPassword, UserDisabled, LoginRefused), TooManyAttempts,
        AccountLocked.
        """
        call = calls.login(
            login, password, device_id, refresh=refresh, ip=ip, user_agent=user_agent, known_token=known_token
        )
        return self._sender.send(call)

    def refresh(self, refresh_token: str) -> Tokens:
        """Exchange a refresh token for a new pair. Raises InvalidRefreshToken; a spent one has ended its session."""
        return self._sender.send(calls.refresh(refresh_token))

    def logout(self, token: str) -> bool:
        """End the session of a user's token; False where it was dead already."""
        return self._sender.send(calls.logout(token))

    def introspect(self, token: str, *, hint: str | None = None) -> Introspection:
        """Say what RFC 7662 says of an access or refresh token; not active for a dead one."""
        if not calls.plausible(token):
            return Introspection(active=False)
        return self._sender.send(calls.introspect(token, hint))

    def revoke(self, token: str, *, hint: str | None = None) -> None:
        """End the session of an access or refresh token (RFC 7009); a dead one is as good as revoked."""
        if calls.plausible(token):
            self._sender.send(calls.revoke(token, hint))

    def audit(self, *, limit: int = 100) -> Iterator[Event]:
        """Give the tenant's security events, newest first, asking for `limit` at a time."""
        page = self._sender.send(calls.audit_page("0", limit))
        while True:
            for event in page.events:
                yield event
            if page.next_cursor == "0":
                return
            page = self._sender.send(calls.audit_page(page.next_cursor, limit))

    def health(self) -> Health:
        """Say whether Doorward is ready, and how its stores are. Raises Unavailable where nothing answers at all."""
        return self._sender.send(calls.health())

    def live(self) -> bool:
        """Tell whether a process of Doorward answers."""
        try:
            self._sender.send(calls.live())
        except Unavailable:
            return False
        return True
