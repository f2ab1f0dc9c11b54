"""A tenant keeps its users."""

from collections.abc import Mapping
from http import HTTPStatus

from msgspec import UNSET

from doorward.core.errors import FieldError
from doorward.core.identity import MAX_NAME_CHARACTERS
from doorward.core.user_passwords import KeepSession, PasswordChange
from doorward.core.users import SearchCriterion, SearchField, UserChanges, decode_cursor
from doorward.http.fields import SEARCH_LONGEST, SEARCH_SHORTEST
from doorward.http.pages import page
from doorward.http.rows import given_password, new_user, shown, text
from doorward.http.schemas import (
    CodeGiven,
    Done,
    NewUserBody,
    PasswordChangeBody,
    PutUserBody,
    ResetBody,
    UserChangesBody,
    UserPage,
)
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, reply


async def create(services: Services, call: Call) -> Answer:
    """Create a user of the calling tenant."""
    caller = await services.caller(call)
    body = call.read(NewUserBody)
    return reply(shown(await services.users.create(caller, new_user(body.login, body), as_predecessor=True)))


async def index(services: Services, call: Call) -> Answer:
    """List the calling tenant's users."""
    caller = await services.caller(call)
    services.throttle.consume_verify(caller.tenant_id)
    matching, faults = _criterion(call.query)
    after, limit = page(call, decode_cursor, faults)
    users, following = await services.users.list_users(
        caller.tenant_id, matching=matching, after=after or "", limit=limit
    )
    return reply(UserPage([shown(user) for user in users], following))


def _criterion(query: Mapping[str, str]) -> tuple[SearchCriterion | None, list[FieldError]]:
    """Return what a query searches for, of which the endpoint admits one field, and what is wrong with it."""
    for field in SearchField:
        if field in query:
            shortest, longest = (
                (SEARCH_SHORTEST, SEARCH_LONGEST) if field is SearchField.PART else (1, MAX_NAME_CHARACTERS)
            )
            if shortest <= len(query[field]) <= longest:
                return SearchCriterion(field, query[field]), []
            rule = f'"{field}" length must be from {shortest} to {longest} characters'
            return None, [FieldError([field], "string.length", rule)]
    return None, []


async def show(services: Services, call: Call) -> Answer:
    """Show a user of the calling tenant."""
    return reply(shown(await services.users.get(await services.caller(call), call.user)))


async def put(services: Services, call: Call) -> Answer:
    """Create a user of the calling tenant, or replace what is known of it."""
    caller = await services.caller(call)
    user, created = await services.users.put(caller, new_user(call.path["login"], call.read(PutUserBody)))
    return reply(shown(user), HTTPStatus.CREATED if created else HTTPStatus.OK)


async def change(services: Services, call: Call) -> Answer:
    """Change some of what is known of a user of the calling tenant."""
    caller = await services.caller(call)
    body = call.read(UserChangesBody)
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
        changes["scope"] = text(body.scope)
    if body.metadata is not UNSET:
        changes["metadata"] = None if body.metadata is None else text(body.metadata)
    if body.disabled is not UNSET:
        changes["disabled"] = body.disabled
    password = given_password(body)
    if password is not UNSET:
        changes["password"] = password
    return reply(shown(await services.users.update(caller, call.user, **changes)))


async def change_password(services: Services, call: Call) -> Answer:
    """Set a new password for a user who proves the current one, and end its other sessions."""
    caller = await services.caller(call)
    body = call.read(PasswordChangeBody)
    keep = None if body.keepToken is UNSET else body.keepToken.encode(errors="replace")
    await services.user_passwords.change_password(
        caller, call.user, PasswordChange(body.current, body.password), KeepSession(call.credential, keep)
    )
    return reply(Done())


async def offer_reset(services: Services, call: Call) -> Answer:
    """Make a code that sets a user's password once; the tenant delivers it."""
    code, lifetime = await services.user_passwords.create_reset_code(await services.caller(call), call.user)
    return reply(CodeGiven(code, lifetime))


async def reset(services: Services, call: Call) -> Answer:
    """Set a user's password by a code, and end all of its sessions."""
    caller = await services.caller(call)
    body = call.read(ResetBody)
    await services.user_passwords.redeem_reset_code(caller, body.code, body.password)
    return reply(Done())


async def delete(services: Services, call: Call) -> Answer:
    """Remove a user of the calling tenant and end its sessions."""
    caller = await services.caller(call)
    await services.users.delete(caller, call.user)
    return reply(Done())


async def unlock(services: Services, call: Call) -> Answer:
    """Clear the failed attempts counted for a user of the calling tenant."""
    await services.user_passwords.unlock(await services.caller(call), call.user)
    return reply(Done())
