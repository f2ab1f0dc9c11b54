"""What the guards of all frameworks have in common: where a token comes from, and what is answered instead of a view.

A guard lets a request through for a token that Doorward says is live right now, and for nothing else. Where Doorward
cannot be asked, nobody gets through.
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
"""Told the scope of a user's claims (any JSON; None where there is none), says whether it is enough."""


class Denied(NamedTuple):
    """An answer that takes the place of the view's."""

    status: HTTPStatus
    code: str
    message: str
    headers: Mapping[str, str]

    @property
    def body(self) -> dict[str, str | int]:
        """The answer's JSON, in the shape of Doorward's own errors."""
        return {"error": self.message, "code": self.code, "status": int(self.status)}


NO_TOKEN = Denied(HTTPStatus.UNAUTHORIZED, "not_authenticated", "Not Authorized", {"WWW-Authenticate": "Bearer"})
"""No token came (RFC 6750, section 3.1)."""

DEAD_TOKEN = NO_TOKEN._replace(headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
"""A token came, and it is not a live one."""

SCOPE_TOO_SMALL = Denied(
    HTTPStatus.FORBIDDEN,
    "insufficient_scope",
    "Forbidden",
    {"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
)
"""The user is known and may not do this."""


def token_of(authorization: str | None, cookies: Mapping[str, str], cookie: str | None) -> str | None:
    """Return the token of a request: that of `Authorization: Bearer`, else of the cookie where one is named."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip(" "):
        return token.strip(" ")
    return (cookies.get(cookie) or None) if cookie else None


def judge(claims: Claims | None, scope: ScopeCheck | None) -> Claims | Denied:
    """Return the claims that may pass, or what to answer instead."""
    if claims is None:
        return DEAD_TOKEN
    if scope is not None and not scope(claims.scope):
        return SCOPE_TOO_SMALL
    return claims


def away(error: DoorwardError) -> Denied:
    """Return what to answer when Doorward did not say whether a token is live.

    That includes a key of this application that Doorward refuses: it is our fault and not the visitor's.
    """
    if isinstance(error, Unavailable):
        log.warning("Doorward is away: %s", error)
    else:
        log.error("Doorward refuses to say who a token's user is: %s", error)
    asked = error.retry_after if isinstance(error, Unavailable | TooManyRequests) else None
    seconds = max(1, math.ceil(asked or 0))
    return Denied(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "authentication_unavailable",
        "Authentication is not available, try again shortly",
        {"Retry-After": str(seconds)},
    )
