"""Guard for Flask views."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, current_app, g, jsonify, request

from doorward_client.errors import DoorwardError
from doorward_client.guard import NO_TOKEN, Denied, ScopeCheck, away, judge, token_of
from doorward_client.synchronous import Doorward
from doorward_client.values import Claims

__all__ = ["Guard"]


class Guard:
    """Decorator for views, which sets `flask.g.doorward_user` to the user's claims.

    It responds with 401 without a valid token, 403 if `scope` rejects the user, and 503 while Doorward is unavailable.
    `app.before_request(guard.check)` guards every view of an application or a blueprint.
    """

    def __init__(self, client: Doorward, *, cookie: str | None = None, scope: ScopeCheck | None = None) -> None:
        """Verify tokens with `client`; `cookie` names a cookie to read if there is no `Authorization` header."""
        self._client = client
        self._cookie = cookie
        self._scope = scope

    def requiring(self, scope: ScopeCheck) -> "Guard":
        """Return a guard that also requires `scope` to accept the user's scope."""
        return Guard(self._client, cookie=self._cookie, scope=scope)

    def __call__(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """Guard a view, which may be a coroutine function if Flask supports them."""

        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            denied = self.check()
            return current_app.ensure_sync(view)(*args, **kwargs) if denied is None else denied

        return guarded

    def check(self) -> Response | None:
        """Return a response if the request is rejected, or set `g.doorward_user` and return None."""
        g.doorward_user = None
        found = self._found()
        if isinstance(found, Denied):
            answer = jsonify(found.body)
            answer.status_code = found.status
            answer.headers.update(found.headers)
            return answer
        g.doorward_user = found
        return None

    def _found(self) -> Claims | Denied:
        token = token_of(request.headers.get("Authorization"), request.cookies, self._cookie)
        if token is None:
            return NO_TOKEN
        try:
            claims = self._client.verify(token)
        except DoorwardError as error:
            return away(error)
        return judge(claims, self._scope)
