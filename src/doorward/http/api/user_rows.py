"""Users as rows: in responses, imports and exports."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from doorward.core.errors import ValidationFailed
from doorward.core.model import User
from doorward.core.tokens.signing import spell
from doorward.core.users.model import NewUser, PasswordHash
from doorward.core.users.transfer import RejectedRow, UserRow
from doorward.http.api.schemas import (
    CreateUserRequest,
    ExportedUser,
    ImportUser,
    PathLogin,
    PutUserRequest,
    UpdateUserRequest,
    UserResponse,
)
from doorward.http.json_body import MAX_ITEM_BYTES, TOO_LARGE
from doorward.http.validation import validate

_lines = msgspec.json.Encoder()


def json_text(value: object) -> str:
    """Return the JSON text in which a scope or metadata is stored."""
    return spell(value).decode()


def user_response(user: User) -> UserResponse:
    """Return a user as the API shows it."""
    return UserResponse(
        id=user.id,
        login=user.login,
        email=user.email,
        tenant=user.tenant_id,
        company=UNSET if user.company is None else user.company,
        scope=UNSET if user.scope is None else msgspec.Raw(user.scope.encode()),
        sub=user.sub,
        registrationDate=user.registration_date,
        lastActivity=user.last_activity,
        metadata=UNSET if user.metadata is None else msgspec.Raw(user.metadata.encode()),
        emailVerified=user.email_verified_at is not None or UNSET,
        disabled=user.disabled or UNSET,
    )


def password_of_body(body: CreateUserRequest | PutUserRequest | UpdateUserRequest) -> str | PasswordHash | UnsetType:
    """Return the password of a body, or its password hash."""
    return body.password if body.passwordHash is UNSET else PasswordHash(body.passwordHash)


def new_user(login: str, body: CreateUserRequest | PutUserRequest) -> NewUser:
    """Return the user to create that a body describes."""
    password = password_of_body(body)
    assert password is not UNSET  # noqa: S101 - the schema requires one of the two
    return NewUser(
        login=login,
        email=body.email,
        password=password,
        sub=body.sub,
        company=None if body.company is UNSET else body.company,
        scope=None if body.scope is UNSET else json_text(body.scope),
        metadata=None if body.metadata is UNSET else json_text(body.metadata),
        email_verified=None if body.emailVerified is UNSET else body.emailVerified,
    )


def write_lines(users: list[User], *, hashes: bool) -> bytes:
    """Return users as lines of JSON, which can be imported again; without `hashes`, they cannot log in afterwards."""
    return _lines.encode_lines([_exported(user, hashes=hashes) for user in users])


def read_row(row: Any) -> UserRow | RejectedRow:
    """Return the user that a row describes, or its errors by the rules for new users."""
    if row is TOO_LARGE:
        return RejectedRow(ValidationFailed.code, f"a row must not take more than {MAX_ITEM_BYTES} characters")
    try:
        user = validate(row, ImportUser)
    except ValidationFailed as refusal:
        return RejectedRow(refusal.code, "; ".join(fault.message for fault in refusal.field_errors), _login(row))
    return UserRow(
        login=user.login,
        email=user.email,
        sub=user.sub,
        password_hash=user.passwordHash or "",
        company=user.company or None,
        scope=None if user.scope is UNSET else json_text(user.scope),
        metadata=None if user.metadata is UNSET else json_text(user.metadata),
        disabled=user.disabled is True,
        email_verified=user.emailVerified if isinstance(user.emailVerified, bool) else None,
    )


def _login(row: Any) -> str | None:
    try:
        return validate(row, PathLogin).login
    except ValidationFailed:
        return None


def _exported(user: User, *, hashes: bool) -> ExportedUser:
    fields = {name: value for name, value in msgspec.structs.asdict(user_response(user)).items() if value is not UNSET}
    return ExportedUser(**fields, passwordHash=user.password_hash if hashes and user.password_hash else UNSET)
