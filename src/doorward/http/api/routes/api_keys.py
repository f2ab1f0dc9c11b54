"""Endpoints of API keys."""

from http import HTTPStatus

from doorward.core.errors import KeyNotFound, TooManyKeys, TooManyRequests
from doorward.core.model import Permission
from doorward.http.api import examples, schemas
from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.handlers import api_keys
from doorward.http.api.routes import common

TAG = "API keys"

ENDPOINTS = (
    Endpoint(
        "POST",
        "/tenant/key",
        operation_id="createApiKey",
        summary="Create an API key; the response is the only one that contains it",
        description=(
            "A tenant has at most 100 keys. Give each client its own, with no more permissions than it needs."
        ),
        tag=TAG,
        handler=api_keys.create_api_key,
        auth=Auth.TENANT,
        errors=(*common.JSON_BODY, *common.AUTHENTICATED, KeyNotFound, TooManyKeys, TooManyRequests),
        request_body=schemas.CreateApiKeyRequest,
        response_body=schemas.ApiKeyCreated,
        example=examples.API_KEY,
        success_status=HTTPStatus.CREATED,
    ),
    Endpoint(
        "GET",
        "/tenant/key",
        operation_id="listApiKeys",
        summary="List the calling tenant's API keys",
        description="All keys are on one page.",
        tag=TAG,
        handler=api_keys.list_api_keys,
        auth=Auth.TENANT,
        permission=Permission.TENANT,
        errors=(*common.AUTHENTICATED, TooManyRequests),
        response_body=schemas.ApiKeyPage,
    ),
    Endpoint(
        "DELETE",
        "/tenant/key/{id}",
        operation_id="revokeApiKey",
        summary="Revoke an API key",
        description="Once this returns, no worker accepts the key.",
        tag=TAG,
        handler=api_keys.revoke_api_key,
        auth=Auth.TENANT,
        permission=Permission.TENANT,
        errors=(*common.AUTHENTICATED, KeyNotFound, TooManyRequests),
        response_body=schemas.ResultResponse,
    ),
)
