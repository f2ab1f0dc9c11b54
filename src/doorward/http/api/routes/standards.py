"""Endpoints of OAuth 2.0 and of gateways."""

from doorward.core.errors import TooManyRequests
from doorward.core.model import Permission
from doorward.http.api import examples, schemas
from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.handlers import gateway, oauth
from doorward.http.api.routes import common
from doorward.http.errors import NotAuthenticated
from doorward.observability.recorder import VERIFY

TAG = "Standards"

ENDPOINTS = (
    Endpoint(
        "POST",
        "/oauth/introspect",
        operation_id="introspectToken",
        summary="Introspect a user's token (RFC 7662)",
        description=(
            'An unknown, foreign, expired or revoked token is `{"active": false}`, and nothing more. '
            "`scope` is present where the user's scope is a text, or a list of scope-tokens (RFC 6749, "
            "section 3.3); any other scope is in `scope_data`. `aud` is `JWT_AUDIENCE` and the id of the "
            "calling API key, or the tenant's setting `introspectionAudience`. The newest refresh token "
            "of a session is active for API keys with the permission `sessions` and for the tenant's own "
            'token, without `token_type`; for other keys it is `{"active": false}`.'
        ),
        tag=TAG,
        handler=oauth.introspect_token,
        auth=Auth.TENANT,
        permission=Permission.VERIFY,
        errors=(*common.FORM_BODY, *common.AUTHENTICATED, TooManyRequests),
        request_body=schemas.TokenForm,
        response_body=schemas.IntrospectionResponse,
        example=examples.TOKEN,
        is_form=True,
    ),
    Endpoint(
        "POST",
        "/oauth/revoke",
        operation_id="revokeToken",
        summary="Revoke the session of a user's access or refresh token (RFC 7009)",
        description="An invalid or foreign token gets the same response.",
        tag=TAG,
        handler=oauth.revoke_token,
        auth=Auth.TENANT,
        permission=Permission.SESSIONS,
        errors=(*common.FORM_BODY, *common.AUTHENTICATED, TooManyRequests),
        request_body=schemas.TokenForm,
        response_body=schemas.EmptyResponse,
        example=examples.TOKEN,
        is_form=True,
    ),
    Endpoint(
        "GET",
        "/.well-known/oauth-authorization-server",
        operation_id="getServerMetadata",
        summary="Get the OAuth 2.0 server metadata (RFC 8414)",
        description=("It lists introspection and revocation; there are no grants and no authorization endpoint."),
        tag=TAG,
        handler=oauth.get_server_metadata,
        auth=Auth.FREE,
        response_body=schemas.ServerMetadata,
    ),
    Endpoint(
        "GET",
        "/forward-auth",
        operation_id="forwardAuth",
        summary="Authenticate a request on behalf of a gateway",
        description=(
            "For nginx `auth_request`, Traefik ForwardAuth, Caddy `forward_auth` and Envoy ext_authz: "
            "every method gets the same response, here and on every path below. The gateway authenticates "
            "with `X-Doorward-Key`; the user's token is in `Authorization`, or in the cookie that "
            "`FORWARD_AUTH_COOKIE` names. 401 without a live token."
        ),
        tag=TAG,
        handler=gateway.forward_auth,
        auth=Auth.TENANT,
        permission=Permission.VERIFY,
        errors=(*common.AUTHENTICATED, NotAuthenticated, TooManyRequests),
        media_type="",
        response_headers=(
            "X-Auth-User-Id",
            "X-Auth-Login",
            "X-Auth-Sub",
            "X-Auth-Tenant",
            "X-Auth-Scope",
            "X-Auth-Device",
        ),
        match_subpaths=True,
        fast_path=VERIFY,
    ),
)
