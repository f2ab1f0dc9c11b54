"""Every refusal of the service: a class, its stable code, its sentence.

Which HTTP status each one becomes is decided in one table, `doorward.http.errors`.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple


class CannotStart(Exception):
    """The service must not start like this. The message is one sentence that names what to change, never a secret."""


class Refusal(Exception):
    """Base of everything the service says no with."""

    code: ClassVar[str]
    sentence: ClassVar[str]

    def __init__(self, *, retry_after: int | None = None, caller: object = None) -> None:
        """Refuse; `retry_after` is the number of whole seconds after which trying again makes sense.

        `caller` is the session of the authenticated caller, where it is known only where the error is raised.
        """
        super().__init__(self.code)
        self.retry_after = retry_after
        self.caller = caller


class NotAuthorized(Refusal):
    """The request proves no live tenant credential."""

    code = "not_authorized"
    sentence = "Not Authorized"


class PermissionDenied(Refusal):
    """The API key is live, but not allowed to do this."""

    code = "permission_denied"
    sentence = "This API key lacks the permission for this request"


class InvalidToken(Refusal):
    """The presented token is dead, foreign, of another kind, or no token at all; it is never said which."""

    code = "invalid_token"
    sentence = "invalid token"


class TenantExists(Refusal):
    """Another tenant already registered this e-mail address."""

    code = "tenant_exists"
    sentence = "This tenant's email already exists"


class IncorrectCredentials(Refusal):
    """A tenant's e-mail address is unknown or its password wrong; it is never said which."""

    code = "incorrect_credentials"
    sentence = "Incorrect email or password"


class LoginExists(Refusal):
    """The tenant already has a user of this login."""

    code = "login_exists"
    sentence = "This login already exists"


class LoginNotFound(Refusal):
    """The tenant has no user of this login to act upon."""

    code = "login_not_found"
    sentence = "Specified login does not exist or was already deleted."


class SessionNotFound(Refusal):
    """The user has no live session of this id."""

    code = "session_not_found"
    sentence = "Specified session does not exist or has already ended."


class KeyNotFound(Refusal):
    """The tenant has no API key of this id."""

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
    """The refresh token is spent, dead, foreign, or none at all; a spent one has just ended its session."""

    code = "invalid_refresh_token"
    sentence = "invalid refresh token"


class InvalidResetCode(Refusal):
    """The code is used, expired, replaced, foreign, or none at all; it is never said which."""

    code = "invalid_reset_code"
    sentence = "invalid reset code"


class Conflict(Refusal):
    """Somebody else changed the same thing at the same moment, again and again."""

    code = "conflict"
    sentence = "This was changed by somebody else at the same moment, try again"


class UserNotFound(Refusal):
    """Somebody tried to log in as a user the tenant does not have."""

    code = "user_not_found"
    sentence = "User does not exist"


class IncorrectPassword(Refusal):
    """Somebody tried to log in with a wrong password."""

    code = "incorrect_password"
    sentence = "Incorrect password"


class UserDisabled(Refusal):
    """The password was right, but the tenant has disabled the user."""

    code = "user_disabled"
    sentence = "This user is disabled"


class LoginRefused(Refusal):
    """A login failed, and `LOGIN_ERRORS=uniform` keeps the reason to itself."""

    code = "login_refused"
    sentence = "Incorrect login or password"


class TooManyRequests(Refusal):
    """A budget of requests is used up for the moment. `budget` is its name, one of `throttle.BUDGETS`."""

    code = "too_many_requests"
    sentence = "Too many requests, slow down"

    def __init__(self, budget: str = "address", *, retry_after: int | None = None, caller: object = None) -> None:
        """Refuse; see `Refusal`."""
        super().__init__(retry_after=retry_after, caller=caller)
        self.budget = budget


class TooManyAttempts(Refusal):
    """Too many wrong passwords for one identity; even the right one has to wait."""

    code = "too_many_attempts"
    sentence = "Too many failed attempts, wait before the next one"


class AccountLocked(Refusal):
    """As many failed attempts in a row as there may be; no wait helps, only a new password or cleared failures."""

    code = "account_locked"
    sentence = "Locked after too many failed attempts: set a new password, or have the failures cleared"


class Overloaded(Refusal):
    """More password hashes are waiting than can be computed in time."""

    code = "overloaded"
    sentence = "The service is busy, try again shortly"


class StoreUnavailable(Refusal):
    """A store did not answer, so nothing can be said about the question."""

    code = "store_unavailable"
    sentence = "The service cannot reach its storage, try again shortly"

    def __init__(self, *, retry_after: int | None = None, full: str = "") -> None:
        """Refuse; `full` names the part without room where that is the cause, such as the disk of the database."""
        super().__init__(retry_after=retry_after)
        self.full = full


class FieldError(NamedTuple):
    """One thing that is wrong with a body: which field, which rule, and a sentence that repeats no value."""

    path: Sequence[str]
    rule: str
    message: str
    limit: int | None = None


class RuleViolation(NamedTuple):
    """A rule that a value does not meet: its name, the sentence without the field's name, and its limit."""

    rule: str
    text: str
    limit: int | None = None


class ValidationFailed(Refusal):
    """A body or a query is not what the endpoint takes; all that is wrong is listed, in field order."""

    code = "validation_error"
    sentence = "Validation error"

    def __init__(self, faults: Sequence[FieldError]) -> None:
        """Refuse with every fault found."""
        super().__init__()
        self.field_errors = tuple(faults)


class TokenMissing(ValidationFailed):
    """A body that has to carry a token carries none."""

    code = "token_missing"
    sentence = "Token is missing"

    def __init__(
        self, faults: Sequence[FieldError] = (FieldError(["token"], "any.required", '"token" is required'),)
    ) -> None:
        """Refuse with what is wrong with the token."""
        super().__init__(faults)


def require(shortcomings: Iterable[RuleViolation], field: str) -> None:
    """Raise ValidationFailed for `field` where there are shortcomings."""
    faults = [FieldError([field], rule, f'"{field}" {text}', limit) for rule, text, limit in shortcomings]
    if faults:
        raise ValidationFailed(faults)
