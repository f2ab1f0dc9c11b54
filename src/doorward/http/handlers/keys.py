"""A tenant makes, lists and revokes its API keys."""

from http import HTTPStatus

from msgspec import UNSET

from doorward.core.model import Permission
from doorward.core.ports import ApiKey
from doorward.http.schemas import Done, KeyMade, KeyShown, KeysShown, NewKeyBody
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, reply


async def create(services: Services, call: Call) -> Answer:
    """Make an API key of the calling tenant, which is shown this once."""
    caller = await services.caller(call)
    body = call.read(NewKeyBody)
    permissions = [Permission(permission) for permission in body.permissions]
    expires_at = None if body.expiresAt is UNSET else body.expiresAt
    key, text = await services.keys.create(caller, body.name, permissions, expires_at)
    return reply(KeyMade(*_fields(key), key=text), HTTPStatus.CREATED)


async def index(services: Services, call: Call) -> Answer:
    """List the calling tenant's API keys."""
    keys = await services.keys.list_keys(await services.caller(call))
    return reply(KeysShown([KeyShown(*_fields(key)) for key in keys]))


async def revoke(services: Services, call: Call) -> Answer:
    """Make an API key worthless at once."""
    await services.keys.revoke(await services.caller(call), call.path["id"])
    return reply(Done())


def _fields(key: ApiKey) -> tuple[str, str, list[str], int, int | None, int | None]:
    return key.id, key.name, key.permissions.split(), key.created_at, key.expires_at, key.last_used
