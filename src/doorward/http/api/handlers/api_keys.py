"""Handlers of API keys: create, list, revoke."""

from http import HTTPStatus

from msgspec import UNSET

from doorward.core.model import Permission
from doorward.core.ports import ApiKey
from doorward.http.api.schemas import ApiKeyCreated, ApiKeyPage, ApiKeyResponse, CreateApiKeyRequest, ResultResponse
from doorward.http.api.services import Services
from doorward.http.request import Request
from doorward.http.response import Response, json_response


async def create_api_key(services: Services, request: Request) -> Response:
    """Create an API key; the response is the only one that contains it."""
    caller = await services.authenticate_caller(request)
    body = request.read_body(CreateApiKeyRequest)
    permissions = [Permission(permission) for permission in body.permissions]
    expires_at = None if body.expiresAt is UNSET else body.expiresAt
    key, text = await services.api_keys.create(caller, body.name, permissions, expires_at)
    return json_response(ApiKeyCreated(*_fields(key), key=text), HTTPStatus.CREATED)


async def list_api_keys(services: Services, request: Request) -> Response:
    """List the calling tenant's API keys."""
    keys = await services.api_keys.list_keys(await services.authenticate_caller(request))
    return json_response(ApiKeyPage([ApiKeyResponse(*_fields(key)) for key in keys]))


async def revoke_api_key(services: Services, request: Request) -> Response:
    """Revoke an API key."""
    await services.api_keys.revoke(await services.authenticate_caller(request), request.path["id"])
    return json_response(ResultResponse())


def _fields(key: ApiKey) -> tuple[str, str, list[str], int, int | None, int | None]:
    return key.id, key.name, key.permissions.split(), key.created_at, key.expires_at, key.last_used
