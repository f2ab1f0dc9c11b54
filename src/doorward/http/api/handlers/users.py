"""Handlers of users: create, list, get, update, delete, passwords."""

from collections.abc import Mapping
from http import HTTPStatus

from msgspec import UNSET

from doorward.core.errors import FieldError
from doorward.core.normalization import MAX_NAME_CHARACTERS
from doorward.core.users.cursor import decode_cursor
from doorward.core.users.model import SearchCriterion, SearchField, UserChanges
from doorward.core.users.passwords import KeepSession, PasswordChange
from doorward.http.api.fields import MAX_SEARCH_LENGTH, MIN_SEARCH_LENGTH
from doorward.http.api.pagination import read_page
from doorward.http.api.schemas import (
    ChangeUserPasswordRequest,
    CreateUserRequest,
    PutUserRequest,
    ResetCodeResponse,
    ResultResponse,
    UpdateUserRequest,
    UserPage,
)
from doorward.http.api.services import Services
from doorward.http.api.user_rows import json_text, new_user, password_of_body, user_response
from doorward.http.request import Request
from doorward.http.response import Response, json_response


async def create_user(services: Services, request: Request) -> Response:
    """Create a user."""
    caller = await services.authenticate_caller(request)
    body = request.read_body(CreateUserRequest)
    return json_response(
        user_response(await services.users.create(caller, new_user(body.login, body), as_predecessor=True))
    )


async def list_users(services: Services, request: Request) -> Response:
    """List or search users."""
    caller = await services.authenticate_caller(request)
    services.rate_limits.consume_verify(caller.tenant_id)
    matching, faults = _criterion(request.query)
    after, limit = read_page(request, decode_cursor, faults)
    users, following = await services.users.list_users(
        caller.tenant_id, matching=matching, after=after or "", limit=limit
    )
    return json_response(UserPage([user_response(user) for user in users], following))


def _criterion(query: Mapping[str, str]) -> tuple[SearchCriterion | None, list[FieldError]]:
    """Return the search criterion of a query, which has at most one, and its field errors."""
    for field in SearchField:
        if field in query:
            shortest, longest = (
                (MIN_SEARCH_LENGTH, MAX_SEARCH_LENGTH) if field is SearchField.PART else (1, MAX_NAME_CHARACTERS)
            )
            if shortest <= len(query[field]) <= longest:
                return SearchCriterion(field, query[field]), []
            rule = f'"{field}" length must be from {shortest} to {longest} characters'
            return None, [FieldError([field], "string.length", rule)]
    return None, []


async def get_user(services: Services, request: Request) -> Response:
    """Get a user."""
    return json_response(
        user_response(await services.users.get(await services.authenticate_caller(request), request.user_ref))
    )


async def put_user(services: Services, request: Request) -> Response:
    """Create or replace a user."""
    caller = await services.authenticate_caller(request)
    user, created = await services.users.put(caller, new_user(request.path["login"], request.read_body(PutUserRequest)))
    return json_response(user_response(user), HTTPStatus.CREATED if created else HTTPStatus.OK)


async def update_user(services: Services, request: Request) -> Response:
    """Update a user."""
    caller = await services.authenticate_caller(request)
    body = request.read_body(UpdateUserRequest)
    changes = UserChanges()
    if body.login is not UNSET:
        changes["login"] = body.login
    if body.email is not UNSET:
        changes["email"] = body.email
    if body.emailVerified is not UNSET:
        changes["email_verified"] = body.emailVerified
    if body.sub is not UNSET:
        changes["sub"] = body.sub
    if body.company is not UNSET:
        changes["company"] = body.company
    if body.scope is not UNSET:
        changes["scope"] = json_text(body.scope)
    if body.metadata is not UNSET:
        changes["metadata"] = None if body.metadata is None else json_text(body.metadata)
    if body.disabled is not UNSET:
        changes["disabled"] = body.disabled
    password = password_of_body(body)
    if password is not UNSET:
        changes["password"] = password
    return json_response(user_response(await services.users.update(caller, request.user_ref, **changes)))


async def change_user_password(services: Services, request: Request) -> Response:
    """Change a user's password with the current one and revoke its other sessions."""
    caller = await services.authenticate_caller(request)
    body = request.read_body(ChangeUserPasswordRequest)
    keep = None if body.keepToken is UNSET else body.keepToken.encode(errors="replace")
    await services.user_passwords.change_password(
        caller, request.user_ref, PasswordChange(body.current, body.password), KeepSession(request.credential, keep)
    )
    return json_response(ResultResponse())


async def create_reset_code(services: Services, request: Request) -> Response:
    """Create a single-use code that sets a user's password."""
    code, lifetime = await services.user_passwords.create_reset_code(
        await services.authenticate_caller(request), request.user_ref
    )
    return json_response(ResetCodeResponse(code, lifetime))


async def delete_user(services: Services, request: Request) -> Response:
    """Delete a user and revoke its sessions."""
    caller = await services.authenticate_caller(request)
    await services.users.delete(caller, request.user_ref)
    return json_response(ResultResponse())


async def unlock_user(services: Services, request: Request) -> Response:
    """Reset the failed login attempts of a user."""
    await services.user_passwords.unlock(await services.authenticate_caller(request), request.user_ref)
    return json_response(ResultResponse())
