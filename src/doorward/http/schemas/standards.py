"""What RFC 7662, RFC 7009 and RFC 8414 take and give."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.http.fields import Hint, Token


class TokenForm(msgspec.Struct):
    """A form with a token (RFC 7662, RFC 7009)."""

    token: Token
    token_type_hint: Hint | UnsetType = UNSET


class Introspected(msgspec.Struct):
    """Whether the token is active, and what it says (RFC 7662). `scope` where it is a text, else `scope_data`."""

    active: Annotated[bool, Meta(description="Whether it is true right now.", examples=[True])]
    token_type: Annotated[str | UnsetType, Meta(description="How it is used.", examples=["Bearer"])] = UNSET
    client_id: Annotated[
        str | UnsetType, Meta(description="The tenant's id.", examples=["0b9d3f0e-6a53-4c1e-8d0e-2f6f4c0f7a11"])
    ] = UNSET
    username: Annotated[str | UnsetType, Meta(description="The user's login.", examples=["alice"])] = UNSET
    sub: Annotated[str | UnsetType, Meta(description="Your own name for the user.", examples=["customer-17"])] = UNSET
    aud: Annotated[str | UnsetType, Meta(description="The setting JWT_AUDIENCE.", examples=["doorward"])] = UNSET
    jti: Annotated[str | UnsetType, Meta(description="The session's id.", examples=["q0rX3mJ1S5uWc2yVb8Kd9A"])] = UNSET
    iat: Annotated[int | UnsetType, Meta(description="Seconds since the Unix epoch.", examples=[1767225600])] = UNSET
    exp: Annotated[int | UnsetType, Meta(description="Seconds since the Unix epoch.", examples=[1767830400])] = UNSET
    user_id: Annotated[
        str | UnsetType, Meta(description="The user's id.", examples=["7d4f5c3a-8a0e-4f2b-9b7a-52e6c1d0a9f4"])
    ] = UNSET
    device_id: Annotated[str | UnsetType, Meta(description="The device's name.", examples=["laptop"])] = UNSET
    scope: Annotated[
        str | UnsetType, Meta(description="The user's scope, where it is a text.", examples=["orders:read"])
    ] = UNSET
    scope_data: Annotated[Any | UnsetType, Meta(description="The user's scope, where it is no text.")] = UNSET


class ServerMetadata(msgspec.Struct):
    """What of OAuth 2.0 is here (RFC 8414)."""

    issuer: Annotated[
        str, Meta(description="Where clients find the service: `PUBLIC_URL`.", examples=["https://auth.example.org"])
    ]
    introspection_endpoint: Annotated[
        str, Meta(description="RFC 7662.", examples=["https://auth.example.org/oauth/introspect"])
    ]
    introspection_endpoint_auth_methods_supported: Annotated[
        list[str],
        Meta(
            description="How a client proves itself; a bearer token or API key will do as well.",
            extra_json_schema={"examples": [["client_secret_basic"]]},
        ),
    ]
    revocation_endpoint: Annotated[
        str, Meta(description="RFC 7009.", examples=["https://auth.example.org/oauth/revoke"])
    ]
    revocation_endpoint_auth_methods_supported: Annotated[
        list[str],
        Meta(
            description="How a client proves itself; a bearer token or API key will do as well.",
            extra_json_schema={"examples": [["client_secret_basic"]]},
        ),
    ]
    response_types_supported: Annotated[
        list[str], Meta(description="None: Doorward issues no OAuth grants.", extra_json_schema={"examples": [[]]})
    ]
    grant_types_supported: Annotated[
        list[str], Meta(description="None: Doorward issues no OAuth grants.", extra_json_schema={"examples": [[]]})
    ]
    service_documentation: Annotated[
        str, Meta(description="The page about the API.", examples=["https://auth.example.org/docs"])
    ]


class Nothing(msgspec.Struct):
    """An empty object."""
