"""Schemas of OAuth 2.0: RFC 7662, RFC 7009, RFC 8414."""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.http.api.fields import ClientId, ClientSecret, Hint, Token

_METHODS = ["client_secret_basic", "client_secret_post"]


class TokenForm(msgspec.Struct):
    """A form with a token (RFC 7662, RFC 7009), optionally with the client's credentials (RFC 6749, section 2.3.1)."""

    NAME: ClassVar[str] = "TokenForm"

    token: Token
    token_type_hint: Hint | UnsetType = UNSET
    client_id: ClientId | UnsetType = UNSET
    client_secret: ClientSecret | UnsetType = UNSET


class IntrospectionResponse(msgspec.Struct):
    """Introspection response (RFC 7662): claims of an active token.

    A `scope` that is no text is in `scope_data`.
    """

    NAME: ClassVar[str] = "IntrospectionResponse"

    active: Annotated[bool, Meta(description="The token is live.", examples=[True])]
    token_type: Annotated[str | UnsetType, Meta(description="The type of the token.", examples=["Bearer"])] = UNSET
    client_id: Annotated[
        str | UnsetType, Meta(description="The tenant's id.", examples=["0b9d3f0e-6a53-4c1e-8d0e-2f6f4c0f7a11"])
    ] = UNSET
    username: Annotated[str | UnsetType, Meta(description="The user's login.", examples=["alice"])] = UNSET
    sub: Annotated[str | UnsetType, Meta(description="Your own identifier of the user.", examples=["customer-17"])] = (
        UNSET
    )
    aud: Annotated[
        list[str] | UnsetType,
        Meta(
            description="`JWT_AUDIENCE` and the id of the calling API key, or the tenant's `introspectionAudience`.",
            extra_json_schema={"examples": [["doorward", "Jm1n7Zc0QxWv3bTfY5uKpA"]]},
        ),
    ] = UNSET
    jti: Annotated[str | UnsetType, Meta(description="The session's id.", examples=["q0rX3mJ1S5uWc2yVb8Kd9A"])] = UNSET
    iat: Annotated[int | UnsetType, Meta(description="Seconds since the Unix epoch.", examples=[1767225600])] = UNSET
    exp: Annotated[int | UnsetType, Meta(description="Seconds since the Unix epoch.", examples=[1767830400])] = UNSET
    user_id: Annotated[
        str | UnsetType, Meta(description="The user's id.", examples=["7d4f5c3a-8a0e-4f2b-9b7a-52e6c1d0a9f4"])
    ] = UNSET
    device_id: Annotated[str | UnsetType, Meta(description="The device's name.", examples=["laptop"])] = UNSET
    scope: Annotated[
        str | UnsetType,
        Meta(
            description="The user's scope, if it is a text or a list of scope-tokens (RFC 6749, section 3.3).",
            examples=["orders:read orders:write"],
        ),
    ] = UNSET
    scope_data: Annotated[
        Any | UnsetType,
        Meta(
            description="The user's scope, if it is no text.",
            extra_json_schema={"examples": [["orders:read", "orders:write"]]},
        ),
    ] = UNSET


class ServerMetadata(msgspec.Struct):
    """OAuth 2.0 server metadata (RFC 8414)."""

    NAME: ClassVar[str] = "ServerMetadata"

    issuer: Annotated[
        str, Meta(description="The address of the service: `PUBLIC_URL`.", examples=["https://auth.example.org"])
    ]
    introspection_endpoint: Annotated[
        str, Meta(description="RFC 7662.", examples=["https://auth.example.org/oauth/introspect"])
    ]
    introspection_endpoint_auth_methods_supported: Annotated[
        list[str],
        Meta(
            description="Authentication methods of clients. A bearer token or API key is accepted as well.",
            extra_json_schema={"examples": [_METHODS]},
        ),
    ]
    revocation_endpoint: Annotated[
        str, Meta(description="RFC 7009.", examples=["https://auth.example.org/oauth/revoke"])
    ]
    revocation_endpoint_auth_methods_supported: Annotated[
        list[str],
        Meta(
            description="Authentication methods of clients. A bearer token or API key is accepted as well.",
            extra_json_schema={"examples": [_METHODS]},
        ),
    ]
    response_types_supported: Annotated[
        list[str], Meta(description="None: Doorward issues no OAuth grants.", extra_json_schema={"examples": [[]]})
    ]
    grant_types_supported: Annotated[
        list[str], Meta(description="None: Doorward issues no OAuth grants.", extra_json_schema={"examples": [[]]})
    ]
    service_documentation: Annotated[
        str | UnsetType,
        Meta(description="The API reference page. Absent with `DOCS=off`.", examples=["https://auth.example.org/docs"]),
    ] = UNSET


class EmptyResponse(msgspec.Struct):
    """An empty object."""

    NAME: ClassVar[str] = "EmptyResponse"
