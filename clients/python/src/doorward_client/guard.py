"""Token extraction and error responses shared by the guards of all frameworks.

A guard accepts a request only if Doorward verifies its token at that moment. While Doorward is unavailable, it rejects
every request.
"""

import logging
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from doorward_client.errors import DoorwardError, TooManyRequests, Unavailable
from doorward_client.values import Claims

log = logging.getLogger("doorward_client")

ScopeCheck = Callable[[Any], bool]
"""Predicate on the scope of a user's claims (any JSON, or None if there is none)."""


class Denied(NamedTuple):
    """A response that replaces that of the view."""

    status: HTTPStatus
    code: str
    message: str
    headers: Mapping[str, str]

    @property
    def body(self) -> dict[str, str | int]:
        """The JSON body, in the format of Doorward's own errors."""
        return {"error": self.message, "code": self.code, "status": int(self.status)}


NO_TOKEN = Denied(HTTPStatus.UNAUTHORIZED, "not_authenticated", "Not Authorized", {"WWW-Authenticate": "Bearer"})
"""The request has no token (RFC 6750, section 3.1)."""

DEAD_TOKEN = NO_TOKEN._replace(headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
"""The token is not valid."""

SCOPE_TOO_SMALL = Denied(
    HTTPStatus.FORBIDDEN,
    "insufficient_scope",
    "Forbidden",
    {"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
)
"""The user is authenticated but not authorized."""


def token_of(authorization: str | None, cookies: Mapping[str, str], cookie: str | None) -> str | None:
    """Return the token of `Authorization: Bearer`, else of the named cookie, else None."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip(" "):
        return token.strip(" ")
    return (cookies.get(cookie) or None) if cookie else None


def judge(claims: Claims | None, scope: ScopeCheck | None) -> Claims | Denied:
    """Return the claims if they are accepted, else the error response."""
    if claims is None:
        return DEAD_TOKEN
    if scope is not None and not scope(claims.scope):
        return SCOPE_TOO_SMALL
    return claims


def away(error: DoorwardError) -> Denied:
    """Return the error response if Doorward could not verify the token.

    That includes a rejected API key: it is an error of this application, not of the user.
    """
    if isinstance(error, Unavailable):
        log.warning("Doorward is unavailable: %s", error)
    else:
        log.error("Doorward rejected the verification of a token: %s", error)
    delay = error.retry_after if isinstance(error, Unavailable | TooManyRequests) else None
    seconds = max(1, math.ceil(delay or 0))
    return Denied(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "authentication_unavailable",
        "Authentication is not available, try again shortly",
        {"Retry-After": str(seconds)},
    )
