"""Guards for Starlette."""

from collections.abc import Sequence
from typing import Self

from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, BaseUser
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response

from doorward_client.asynchronous import AsyncDoorward
from doorward_client.errors import DoorwardError
from doorward_client.guard import NO_TOKEN, Denied, ScopeCheck, away, judge, token_of
from doorward_client.values import Claims

__all__ = ["DoorwardBackend", "DoorwardUser", "Guard", "on_error"]


class DoorwardUser(BaseUser):
    """The `request.user` that `DoorwardBackend` sets."""

    def __init__(self, claims: Claims) -> None:
        """Create the user of these claims."""
        self.claims = claims

    @property
    def is_authenticated(self) -> bool:
        """True: unauthenticated requests have Starlette's UnauthenticatedUser."""
        return True

    @property
    def display_name(self) -> str:
        """The user's login."""
        return self.claims.login

    @property
    def identity(self) -> str:
        """The user's id, which never changes."""
        return self.claims.id


class _Refused(AuthenticationError):
    def __init__(self, denied: Denied) -> None:
        super().__init__(denied.message)
        self.denied = denied


class DoorwardBackend(AuthenticationBackend):
    """Backend for Starlette's AuthenticationMiddleware, which also needs `on_error=on_error`.

    A request without a token is unauthenticated; `requires("authenticated")` rejects it. The response to an invalid
    token is 401, and 503 while Doorward is unavailable. The scopes are "authenticated" and those of the user, if its
    scope is a list of strings or a string of words.
    """

    def __init__(self, client: AsyncDoorward, *, cookie: str | None = None) -> None:
        """Verify tokens with `client`; `cookie` names a cookie to read if there is no `Authorization` header."""
        self._client = client
        self._cookie = cookie

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Authenticate a request. Raises AuthenticationError, which `on_error` converts to a response."""
        token = token_of(conn.headers.get("authorization"), conn.cookies, self._cookie)
        if token is None:
            return None
        found = await _judged(self._client, token, None)
        if isinstance(found, Denied):
            raise _Refused(found)
        return AuthCredentials(["authenticated", *_scopes(found.scope)]), DoorwardUser(found)


def on_error(_conn: HTTPConnection, error: AuthenticationError) -> Response:
    """Return the response to a request that `DoorwardBackend` rejected."""
    denied = error.denied if isinstance(error, _Refused) else NO_TOKEN
    return JSONResponse(denied.body, denied.status, dict(denied.headers))


class Guard:
    """Callable that returns the claims of a request's user: `await guard(request)`.

    Raises HTTPException: 401 without a valid token, 403 if `scope` rejects the user, 503 while Doorward is unavailable.
    For FastAPI see `doorward_client.fastapi`.
    """

    def __init__(self, client: AsyncDoorward, *, cookie: str | None = None, scope: ScopeCheck | None = None) -> None:
        """Verify tokens with `client`; `cookie` names a cookie to read if there is no `Authorization` header."""
        self._client = client
        self._cookie = cookie
        self._scope = scope

    def requiring(self, scope: ScopeCheck) -> Self:
        """Return a guard that also requires `scope` to accept the user's scope."""
        return type(self)(self._client, cookie=self._cookie, scope=scope)

    async def __call__(self, connection: HTTPConnection) -> Claims:
        """Return the claims of the request's user."""
        token = token_of(connection.headers.get("authorization"), connection.cookies, self._cookie)
        found = NO_TOKEN if token is None else await _judged(self._client, token, self._scope)
        if isinstance(found, Denied):
            raise HTTPException(found.status, found.message, dict(found.headers))
        return found


async def _judged(client: AsyncDoorward, token: str, scope: ScopeCheck | None) -> Claims | Denied:
    try:
        claims = await client.verify(token)
    except DoorwardError as error:
        return away(error)
    return judge(claims, scope)


def _scopes(scope: object) -> Sequence[str]:
    if isinstance(scope, str):
        return scope.split()
    return [word for word in scope if isinstance(word, str)] if isinstance(scope, list) else []
