"""Every error of the service: a class, its stable code, its sentence.

`doorward.http.errors` has the HTTP status of each in one table.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple


class CannotStart(Exception):
    """The service must not start like this. The message is one sentence that names what to change, and no secret."""


class Refusal(Exception):
    """Base of all errors that the service answers requests with."""

    code: ClassVar[str]
    sentence: ClassVar[str]

    def __init__(self, *, retry_after: int | None = None, caller: object = None) -> None:
        """Create the error; `retry_after` is the number of whole seconds after which a retry can succeed.

        `caller` is the session of the authenticated caller, where only the code that raises the error knows it.
        """
        super().__init__(self.code)
        self.retry_after = retry_after
        self.caller = caller


class NotAuthorized(Refusal):
    """The request has no live credential of a tenant."""

    code = "not_authorized"
    sentence = "Not Authorized"


class PermissionDenied(Refusal):
    """The API key is live, but lacks the permission for this request."""

    code = "permission_denied"
    sentence = "This API key lacks the permission for this request"


class InvalidToken(Refusal):
    """The token is expired, revoked, foreign, of another kind, or malformed; the response does not say which."""

    code = "invalid_token"
    sentence = "invalid token"


class TenantExists(Refusal):
    """Another tenant has registered this e-mail address."""

    code = "tenant_exists"
    sentence = "This tenant's email already exists"


class IncorrectCredentials(Refusal):
    """A tenant's e-mail address is unknown or its password wrong; the response does not say which."""

    code = "incorrect_credentials"
    sentence = "Incorrect email or password"


class LoginExists(Refusal):
    """The tenant already has a user with this login."""

    code = "login_exists"
    sentence = "This login already exists"


class LoginNotFound(Refusal):
    """The tenant has no user with this login or id."""

    code = "login_not_found"
    sentence = "Specified login does not exist or was already deleted."


class SessionNotFound(Refusal):
    """The user has no live session with this id."""

    code = "session_not_found"
    sentence = "Specified session does not exist or has already ended."


class KeyNotFound(Refusal):
    """The tenant has no API key with this id."""

    code = "key_not_found"
    sentence = "Specified API key does not exist or was already revoked."


class TooManyKeys(Refusal):
    """The tenant has as many API keys as it may have."""

    code = "too_many_keys"
    sentence = "This tenant has too many API keys, revoke one first"


class QuotaExceeded(Refusal):
    """The tenant has as many users as the operator allows."""

    code = "quota_exceeded"
    sentence = "This tenant has as many users as it may have: delete users, or have the operator raise its quota"


class InvalidRefreshToken(Refusal):
    """The refresh token is used, expired, revoked, foreign, or malformed; a reused one has just revoked its session."""

    code = "invalid_refresh_token"
    sentence = "invalid refresh token"


class InvalidResetCode(Refusal):
    """The code is used, expired, replaced, foreign, or malformed; the response does not say which."""

    code = "invalid_reset_code"
    sentence = "invalid reset code"


class Conflict(Refusal):
    """Concurrent changes of the same account interfered repeatedly."""

    code = "conflict"
    sentence = "This was changed by somebody else at the same moment, try again"


class UserNotFound(Refusal):
    """A login named a user that the tenant does not have."""

    code = "user_not_found"
    sentence = "User does not exist"


class IncorrectPassword(Refusal):
    """A login had a wrong password."""

    code = "incorrect_password"
    sentence = "Incorrect password"


class UserDisabled(Refusal):
    """The password was right, but the tenant has disabled the user."""

    code = "user_disabled"
    sentence = "This user is disabled"


class LoginRefused(Refusal):
    """A login failed, and `LOGIN_ERRORS=uniform` hides the reason."""

    code = "login_refused"
    sentence = "Incorrect login or password"


class TooManyRequests(Refusal):
    """A rate limit is exhausted for the moment."""

    code = "too_many_requests"
    sentence = "Too many requests, slow down"

    def __init__(self, budget: str = "address", *, retry_after: int | None = None, caller: object = None) -> None:
        """Create the error; see `Refusal`. `budget` is the name of the rate limit, one of `BUDGETS`."""
        super().__init__(retry_after=retry_after, caller=caller)
        self.budget = budget


class TooManyAttempts(Refusal):
    """Too many wrong passwords for one identity; also the right one has to wait."""

    code = "too_many_attempts"
    sentence = "Too many failed attempts, wait before the next one"


class AccountLocked(Refusal):
    """Too many failed attempts in a row; no wait helps, only a new password or a reset of the failures."""

    code = "account_locked"
    sentence = "Locked after too many failed attempts: set a new password, or have the failures cleared"


class Overloaded(Refusal):
    """More password hashes are waiting than can be computed in time."""

    code = "overloaded"
    sentence = "The service is busy, try again shortly"


class StoreUnavailable(Refusal):
    """A store did not respond, so the result of the request is unknown."""

    code = "store_unavailable"
    sentence = "The service cannot reach its storage, try again shortly"

    def __init__(self, *, retry_after: int | None = None, full: str = "") -> None:
        """Create the error.

        `full` names the part without room where that is the cause, such as the disk of the database.
        """
        super().__init__(retry_after=retry_after)
        self.full = full


class FieldError(NamedTuple):
    """One error in a body: the path of the field, the rule, and a sentence that repeats no value."""

    path: Sequence[str]
    rule: str
    message: str
    limit: int | None = None


class RuleViolation(NamedTuple):
    """A rule that a value violates: its name, the sentence without the field's name, and its limit."""

    rule: str
    text: str
    limit: int | None = None


class ValidationFailed(Refusal):
    """A body or a query does not match its schema; every error is listed, in field order."""

    code = "validation_error"
    sentence = "Validation error"

    def __init__(self, field_errors: Sequence[FieldError]) -> None:
        """Create the error with every field error."""
        super().__init__()
        self.field_errors = tuple(field_errors)


class TokenMissing(ValidationFailed):
    """A body that needs a token has none."""

    code = "token_missing"
    sentence = "Token is missing"

    def __init__(
        self, field_errors: Sequence[FieldError] = (FieldError(["token"], "any.required", '"token" is required'),)
    ) -> None:
        """Create the error with the field errors of the token."""
        super().__init__(field_errors)


def require(violations: Iterable[RuleViolation], field: str) -> None:
    """Raise ValidationFailed for `field` where there are violations."""
    field_errors = [FieldError([field], rule, f'"{field}" {text}', limit) for rule, text, limit in violations]
    if field_errors:
        raise ValidationFailed(field_errors)
