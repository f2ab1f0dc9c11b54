"""Exceptions of the client. None of them contains a token, a key or a password."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class DoorwardError(Exception):
    """Base of every error of this library."""


class Unavailable(DoorwardError):
    """Doorward did not respond, was too slow, or returned a server error.

    A token that was being verified has to be rejected. A requested change may or may not have been made.
    `retry_after` is the value of the Retry-After header in seconds, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """Create the error with a message of the client."""
        super().__init__(message)
        self.retry_after = retry_after


class BadAnswer(Unavailable):
    """The response is not one of Doorward: the URL is wrong, or a proxy responded."""


class Refused(DoorwardError):
    """Doorward rejected the request.

    Attributes:
        code: The stable error code.
        status: The HTTP status.
        message: A sentence for people.
        request_id: The id of the request in Doorward's log, or None.
    """

    code: str
    for_code: ClassVar[str] = ""

    def __init__(self, code: str, status: int, message: str, *, request_id: str | None = None) -> None:
        """Create the error from a response."""
        super().__init__(f"{message} ({code}, {status})")
        self.code = code
        self.status = status
        self.message = message
        self.request_id = request_id


class NotAuthorized(Refused):
    """The client's own API key or token is missing, revoked, expired, or not a tenant credential."""

    for_code = "not_authorized"


class PermissionDenied(Refused):
    """The client's API key is valid but lacks the permission."""

    for_code = "permission_denied"


class Forbidden(Refused):
    """Tenants may not be registered from this address."""

    for_code = "forbidden"


class InvalidToken(Refused):
    """The submitted token is revoked, expired, of another tenant, of another kind, or malformed."""

    for_code = "invalid_token"


class InvalidRefreshToken(Refused):
    """The refresh token is used, revoked, expired, of another tenant, or malformed.

    Reuse of a used token has revoked its session.
    """

    for_code = "invalid_refresh_token"


class InvalidResetCode(Refused):
    """The reset code is used, expired, replaced, of another tenant, or malformed."""

    for_code = "invalid_reset_code"


class LoginFailed(Refused):
    """Base of the errors of a rejected login. Show the same message for all of them to unauthenticated users."""


class UserNotFound(LoginFailed):
    """The tenant has no user with this login."""

    for_code = "user_not_found"


class IncorrectPassword(LoginFailed):
    """The password is wrong."""

    for_code = "incorrect_password"


class UserDisabled(LoginFailed):
    """The password is right, and the user is disabled."""

    for_code = "user_disabled"


class LoginRefused(LoginFailed):
    """The login or the password is wrong; this installation does not reveal which (LOGIN_ERRORS=uniform)."""

    for_code = "login_refused"


class IncorrectCredentials(LoginFailed):
    """A tenant's e-mail address is unknown or its password wrong."""

    for_code = "incorrect_credentials"


class TenantExists(Refused):
    """Another tenant has this e-mail address."""

    for_code = "tenant_exists"


class LoginExists(Refused):
    """The tenant already has a user with this login."""

    for_code = "login_exists"


class LoginNotFound(Refused):
    """The tenant has no user with the login in the path."""

    for_code = "login_not_found"


class SessionNotFound(Refused):
    """The user has no open session with this id."""

    for_code = "session_not_found"


class KeyNotFound(Refused):
    """The tenant has no API key with this id."""

    for_code = "key_not_found"


class TooManyKeys(Refused):
    """The tenant has reached the maximum number of API keys."""

    for_code = "too_many_keys"


class QuotaExceeded(Refused):
    """The tenant has reached the operator's maximum number of users."""

    for_code = "quota_exceeded"


class Conflict(Refused):
    """A concurrent request changed the same object."""

    for_code = "conflict"


class TooManyRequests(Refused):
    """A rate limit is exhausted. `retry_after`: seconds to wait. `budget`: name of the limit, empty if unknown."""

    for_code = "too_many_requests"

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        *,
        request_id: str | None = None,
        retry_after: float = 1.0,
        budget: str = "",
    ) -> None:
        """Create the error from a response and its Retry-After header."""
        super().__init__(code, status, message, request_id=request_id)
        self.retry_after = retry_after
        self.budget = budget


class TooManyAttempts(TooManyRequests):
    """Too many consecutive wrong passwords; even the right one is rejected for `retry_after` seconds."""

    for_code = "too_many_attempts"


class AccountLocked(Refused):
    """The maximum number of consecutive wrong passwords is reached: set a new password or clear the failures."""

    for_code = "account_locked"


class Detail(NamedTuple):
    """One validation error: path of the field, violated rule, and a sentence without the value."""

    path: tuple[str, ...]
    rule: str
    message: str


class ValidationFailed(Refused):
    """The request is invalid. `details` lists all validation errors, in field order."""

    for_code = "validation_error"

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        *,
        request_id: str | None = None,
        details: Sequence[Detail] = (),
    ) -> None:
        """Create the error from a response and its validation errors."""
        super().__init__(code, status, message, request_id=request_id)
        self.details = tuple(details)

    def __str__(self) -> str:
        return f"{super().__str__()}: {'; '.join(detail.message for detail in self.details)}"


def _below(kind: type[Refused]) -> list[type[Refused]]:
    return [found for child in kind.__subclasses__() for found in (child, *_below(child))]


BY_CODE: dict[str, type[Refused]] = {kind.for_code: kind for kind in _below(Refused) if kind.for_code}
"""Exception classes by stable error code."""

# Error codes of the OAuth endpoints (RFC 6749, section 5.2).
BY_CODE["invalid_client"] = NotAuthorized
BY_CODE["unauthorized_client"] = PermissionDenied
