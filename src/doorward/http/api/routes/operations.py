"""Endpoints for operators: health checks and the descriptions of the API."""

from http import HTTPStatus

from doorward.http.api import schemas
from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.handlers import operations

TAG = "Operations"

ENDPOINTS = (
    Endpoint(
        "GET",
        "/health/live",
        operation_id="getLiveness",
        summary="Check that the process runs",
        tag=TAG,
        handler=operations.get_liveness,
        auth=Auth.FREE,
        response_body=schemas.LivenessResponse,
        any_host=True,
    ),
    Endpoint(
        "GET",
        "/health/ready",
        operation_id="getReadiness",
        summary="Check that every store takes writes",
        description=(
            "Writes a few bytes to each store, at most once a second. 503 means that a store is "
            "unavailable, or that it rejects writes, for example because it is full: send no requests "
            "here until it is 200 again."
        ),
        tag=TAG,
        handler=operations.get_readiness,
        auth=Auth.FREE,
        response_body=schemas.ReadinessResponse,
        extra_responses={HTTPStatus.SERVICE_UNAVAILABLE: schemas.ReadinessResponse("unready", {"database": "away"})},
        any_host=True,
    ),
    Endpoint(
        "GET",
        "/openapi.json",
        operation_id="getOpenapiDocument",
        summary="Get the OpenAPI 3.1 document of this API",
        tag=TAG,
        handler=operations.get_openapi_document,
        auth=Auth.FREE,
    ),
    Endpoint(
        "GET",
        "/docs",
        operation_id="getDocsPage",
        summary="Get the API reference as one HTML page",
        tag=TAG,
        handler=operations.get_docs_page,
        auth=Auth.FREE,
        media_type="text/html",
    ),
)
