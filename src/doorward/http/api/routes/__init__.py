"""The whole API: one module per tag, in the order of the OpenAPI document."""

from collections.abc import Mapping

from doorward.http.api.endpoint import Endpoint
from doorward.http.api.routes import api_keys, operations, sessions, standards, tenants, users
from doorward.http.bodies import MAX_BODY_BYTES
from doorward.http.middleware import PathRules

_ENDPOINTS: tuple[Endpoint, ...] = (
    *tenants.ENDPOINTS,
    *users.ENDPOINTS,
    *sessions.ENDPOINTS,
    *api_keys.ENDPOINTS,
    *standards.ENDPOINTS,
    *operations.ENDPOINTS,
)

# A fixed path, such as /users/import, comes before one with a parameter in its place.
ENDPOINTS = (*_ENDPOINTS, *(endpoint.by_user_id() for endpoint in _ENDPOINTS if endpoint.operation_id_by_user_id))
"""Every endpoint. Endpoints of one user exist twice: by its login and by its id."""

FAST_PATH: Mapping[tuple[bytes, bytes], Endpoint] = {
    (endpoint.method.encode(), endpoint.path.encode()): endpoint for endpoint in ENDPOINTS if endpoint.fast_path
}
"""The most frequent endpoints by method and target: answered before the router, by the same handlers."""

PATHS = PathRules(
    body_limits={
        endpoint.path.encode(): endpoint.max_body_bytes
        for endpoint in ENDPOINTS
        if endpoint.max_body_bytes != MAX_BODY_BYTES
    },
    with_subpaths=frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.match_subpaths),
    any_host=frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.any_host),
)
"""Paths with limits of their own."""
