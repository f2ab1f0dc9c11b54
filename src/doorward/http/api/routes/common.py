"""Groups of errors that several endpoints share."""

from doorward.core.errors import (
    AccountLocked,
    IncorrectPassword,
    InvalidToken,
    LoginRefused,
    NotAuthorized,
    PermissionDenied,
    TokenMissing,
    TooManyAttempts,
    TooManyRequests,
    UserDisabled,
    UserNotFound,
    ValidationFailed,
)
from doorward.http.errors import MalformedForm, MalformedJson, MultipleAuthenticationMethods

AUTHENTICATED = (NotAuthorized, PermissionDenied)
"""Errors of endpoints that a tenant or one of its API keys calls."""

JSON_BODY = (MalformedJson, ValidationFailed)
TOKEN_BODY = (InvalidToken, TokenMissing, *JSON_BODY, TooManyRequests)
FORM_BODY = (MalformedForm, MultipleAuthenticationMethods, TokenMissing)

GUESSABLE = (TooManyRequests, TooManyAttempts, AccountLocked)
"""Errors of endpoints that compare a password."""

USER_LOGIN = (UserNotFound, IncorrectPassword, UserDisabled, LoginRefused, *GUESSABLE)
