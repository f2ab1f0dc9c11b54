"""Middleware and view decorator for Django."""

from collections.abc import Callable
from functools import cache, wraps
from inspect import iscoroutinefunction
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, JsonResponse

from doorward_client.errors import DoorwardError
from doorward_client.guard import NO_TOKEN, Denied, ScopeCheck, away, judge, token_of
from doorward_client.synchronous import Doorward
from doorward_client.values import Claims

__all__ = ["DoorwardMiddleware", "doorward_required"]


@cache
def _client(url: str, key: str | None, verify_timeout: float) -> Doorward:
    # One client for all middlewares of a process, so that they share its connections.
    return Doorward(url, key=key, verify_timeout=verify_timeout)


class DoorwardMiddleware:
    """Sets `request.doorward_user` to the claims of the user, or to None without a valid token.

    The setting DOORWARD is a dictionary: URL, KEY, optionally COOKIE (a cookie to read if there is no `Authorization`
    header) and TIMEOUT (seconds, 2 by default). While Doorward is unavailable, the response to a request with a token
    is 503 for every view, so that no authenticated user is treated as anonymous.
    """

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        """Read the settings. Raises ImproperlyConfigured."""
        chosen = getattr(settings, "DOORWARD", None)
        if not isinstance(chosen, dict) or not chosen.get("URL") or not chosen.get("KEY"):
            raise ImproperlyConfigured('the setting DOORWARD has to be a dictionary with "URL" and "KEY"')
        self._get_response = get_response
        self._cookie = chosen.get("COOKIE")
        self._client = _client(chosen["URL"], chosen["KEY"], chosen.get("TIMEOUT", 2.0))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Authenticate the request and pass it on."""
        token = token_of(request.headers.get("Authorization"), request.COOKIES, self._cookie)
        claims = None
        if token is not None:
            try:
                claims = self._client.verify(token)
            except DoorwardError as error:
                return _answer(away(error))
        request.doorward_user = claims
        request.doorward_token_was_given = token is not None
        return self._get_response(request)


def doorward_required(view: Callable[..., Any] | None = None, *, scope: ScopeCheck | None = None) -> Callable[..., Any]:
    """Guard a view, sync or async: 401 without a valid token, 403 if `scope` rejects the user. Needs the middleware.

    Use it as `@doorward_required` or `@doorward_required(scope=...)`.
    """
    if view is None:
        return lambda guarded: doorward_required(guarded, scope=scope)
    inner = view
    if iscoroutinefunction(inner):

        @wraps(inner)
        async def waiting(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            found = _found(request, scope)
            return _answer(found) if isinstance(found, Denied) else await inner(request, *args, **kwargs)

        return waiting

    @wraps(inner)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        found = _found(request, scope)
        return _answer(found) if isinstance(found, Denied) else inner(request, *args, **kwargs)

    return guarded


def _found(request: HttpRequest, scope: ScopeCheck | None) -> Claims | Denied:
    if not hasattr(request, "doorward_user"):
        raise ImproperlyConfigured("doorward_required needs doorward_client.django.DoorwardMiddleware in MIDDLEWARE")
    return judge(request.doorward_user, scope) if request.doorward_token_was_given else NO_TOKEN


def _answer(denied: Denied) -> HttpResponse:
    return JsonResponse(denied.body, status=denied.status, headers=dict(denied.headers))
