"""A tenant keeps its users."""

import msgspec
from msgspec import UNSET

from doorward.core.errors import Fault, ValidationFailed
from doorward.core.model import User
from doorward.core.tokens import spell
from doorward.core.users import LAST_PAGE, NewUser
from doorward.http.schemas import (
    LONGEST_PAGE,
    PAGE,
    SEARCH_LONGEST,
    SEARCH_SHORTEST,
    Done,
    NewUserBody,
    UserPage,
    UserShown,
)
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, reply

_LONGEST_CURSOR = 2048


async def create(services: Services, call: Call) -> Answer:
    """Create a user of the calling tenant."""
    caller = await services.caller(call)
    body = call.read(NewUserBody)
    new = NewUser(
        login=body.login,
        email=body.email,
        password=body.password,
        sub=body.sub,
        company=None if body.company is UNSET else body.company,
        scope=None if body.scope is UNSET else spell(body.scope).decode(),
    )
    return reply(_shown(await services.users.create(caller, new)))


async def index(services: Services, call: Call) -> Answer:
    """List the calling tenant's users."""
    caller = await services.caller(call)
    services.throttle.ask(caller.tenant_id)
    part, cursor, limit = _page(call)
    users, following = await services.users.page(caller.tenant_id, part=part, cursor=cursor, limit=limit)
    return reply(UserPage([_shown(user) for user in users], following))


async def delete(services: Services, call: Call) -> Answer:
    """Remove a user of the calling tenant and end its sessions."""
    caller = await services.caller(call)
    await services.users.delete(caller, call.path["login"])
    return reply(Done())


def _shown(user: User) -> UserShown:
    return UserShown(
        id=user.id,
        login=user.login,
        email=user.email,
        tenant=user.tenant_id,
        company=UNSET if user.company is None else user.company,
        scope=UNSET if user.scope is None else msgspec.Raw(user.scope.encode()),
        sub=user.sub,
        registrationDate=user.registration_date,
        lastActivity=user.last_activity,
    )


def _page(call: Call) -> tuple[str, str, int]:
    faults: list[Fault] = []
    part = call.query.get("q", "")
    if "q" in call.query and not SEARCH_SHORTEST <= len(part) <= SEARCH_LONGEST:
        text = f'"q" length must be from {SEARCH_SHORTEST} to {SEARCH_LONGEST} characters'
        faults.append(Fault(["q"], "string.length", text))
    cursor = call.query.get("cursor", LAST_PAGE)
    if len(cursor) > _LONGEST_CURSOR:
        faults.append(Fault(["cursor"], "string.max", '"cursor" is too long', _LONGEST_CURSOR))
    size = call.query.get("limit", str(PAGE))
    whole = size.isascii() and size.isdecimal() and len(size) <= len(str(LONGEST_PAGE))
    if not (whole and 1 <= int(size) <= LONGEST_PAGE):
        text = f'"limit" must be a whole number from 1 to {LONGEST_PAGE}'
        faults.append(Fault(["limit"], "number.range", text, LONGEST_PAGE))
    if faults:
        raise ValidationFailed(faults)
    return part, cursor, int(size)
