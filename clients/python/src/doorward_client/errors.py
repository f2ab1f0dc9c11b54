"""What can go wrong: Doorward refuses, or Doorward is away. No error carries a token, a key or a password."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class DoorwardError(Exception):
    """Base of every error of this library."""


class Unavailable(DoorwardError):
    """Doorward gave no answer that can be relied on: it is away, too slow, or something went wrong inside it.

    Whoever asked about a token must not let it pass. A change that was asked for may or may not have been made.
    `retry_after` is the number of seconds after which Doorward wants to be asked again, where it said so.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """Say what happened, in words of ours."""
        super().__init__(message)
        self.retry_after = retry_after


class BadAnswer(Unavailable):
    """Something answered that does not speak like Doorward: the URL is wrong, or a proxy is in between."""


class Refused(DoorwardError):
    """Doorward said no. `code` is stable and for programs, `message` a sentence for people, `status` that of HTTP.

    `request_id` finds the request in Doorward's log.
    """

    code: str
    for_code: ClassVar[str] = ""

    def __init__(self, code: str, status: int, message: str, *, request_id: str | None = None) -> None:
        """Keep what Doorward said."""
        super().__init__(f"{message} ({code}, {status})")
        self.code = code
        self.status = status
        self.message = message
        self.request_id = request_id


class NotAuthorized(Refused):
    """The client's own key or token is missing, dead, or not a tenant's."""

    for_code = "not_authorized"


class PermissionDenied(Refused):
    """The client's API key is live, but not allowed to do this."""

    for_code = "permission_denied"


class Forbidden(Refused):
    """Tenants may not be registered from this address."""

    for_code = "forbidden"


class InvalidToken(Refused):
    """The token that was handed over is dead, foreign, of another kind, or no token."""

    for_code = "invalid_token"


class InvalidRefreshToken(Refused):
    """The refresh token is spent, dead, foreign, or none; a spent one has just ended its session."""

    for_code = "invalid_refresh_token"


class InvalidResetCode(Refused):
    """The reset code is used, expired, replaced, foreign, or none."""

    for_code = "invalid_reset_code"


class LoginFailed(Refused):
    """Base of the refusals that a person who logs in may have caused: show all of them alike to strangers."""


class UserNotFound(LoginFailed):
    """The tenant has no user of this login."""

    for_code = "user_not_found"


class IncorrectPassword(LoginFailed):
    """The password is wrong."""

    for_code = "incorrect_password"


class UserDisabled(LoginFailed):
    """The password is right, and the user is disabled."""

    for_code = "user_disabled"


class LoginRefused(LoginFailed):
    """The login or the password is wrong; this Doorward does not say which."""

    for_code = "login_refused"


class IncorrectCredentials(LoginFailed):
    """A tenant's e-mail address is unknown or its password wrong."""

    for_code = "incorrect_credentials"


class TenantExists(Refused):
    """Another tenant has this e-mail address."""

    for_code = "tenant_exists"


class LoginExists(Refused):
    """The tenant already has a user of this login."""

    for_code = "login_exists"


class LoginNotFound(Refused):
    """The tenant has no user of this login to act upon."""

    for_code = "login_not_found"


class SessionNotFound(Refused):
    """The user has no live session of this id."""

    for_code = "session_not_found"


class KeyNotFound(Refused):
    """The tenant has no API key of this id."""

    for_code = "key_not_found"


class TooManyKeys(Refused):
    """The tenant has as many API keys as it may have."""

    for_code = "too_many_keys"


class QuotaExceeded(Refused):
    """The tenant has as many users as the operator allows."""

    for_code = "quota_exceeded"


class Conflict(Refused):
    """Somebody else changed the same thing at the same moment."""

    for_code = "conflict"


class TooManyRequests(Refused):
    """A budget is used up for the moment. `retry_after`: seconds to wait. `budget`: its name, empty where unknown."""

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
        """Keep what Doorward said, and how long it asks to wait."""
        super().__init__(code, status, message, request_id=request_id)
        self.retry_after = retry_after
        self.budget = budget


class TooManyAttempts(TooManyRequests):
    """Too many wrong passwords in a row; even the right one has to wait. `retry_after`: seconds."""

    for_code = "too_many_attempts"


class AccountLocked(Refused):
    """As many wrong passwords in a row as there may be: no wait helps, only a new password or cleared failures."""

    for_code = "account_locked"


class Detail(NamedTuple):
    """One fault of a body: which field, which rule, and a sentence that repeats no value."""

    path: tuple[str, ...]
    rule: str
    message: str


class ValidationFailed(Refused):
    """The request is not what Doorward takes there. `details` lists all that is wrong, in field order."""

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
        """Keep what Doorward said, with every fault it found."""
        super().__init__(code, status, message, request_id=request_id)
        self.details = tuple(details)

    def __str__(self) -> str:
        return f"{super().__str__()}: {'; '.join(detail.message for detail in self.details)}"


def _below(kind: type[Refused]) -> list[type[Refused]]:
    return [found for child in kind.__subclasses__() for found in (child, *_below(child))]


BY_CODE: dict[str, type[Refused]] = {kind.for_code: kind for kind in _below(Refused) if kind.for_code}
"""The class of each stable code that has one."""

# What RFC 6749, section 5.2, calls them at the endpoints of OAuth.
BY_CODE["invalid_client"] = NotAuthorized
BY_CODE["unauthorized_client"] = PermissionDenied
