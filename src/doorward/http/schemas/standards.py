"""What RFC 7662, RFC 7009 and RFC 8414 take and give."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from doorward.http.fields import Code, Token


class TokenForm(msgspec.Struct):
    """A form with a token (RFC 7662, RFC 7009)."""

    token: Token
    token_type_hint: Code | UnsetType = UNSET


class Introspected(msgspec.Struct):
    """Whether the token is active, and what it says (RFC 7662). `scope` where it is a text, else `scope_data`."""

    active: bool
    token_type: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    username: str | UnsetType = UNSET
    sub: str | UnsetType = UNSET
    aud: str | UnsetType = UNSET
    jti: str | UnsetType = UNSET
    iat: int | UnsetType = UNSET
    exp: int | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    device_id: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    scope_data: Any = UNSET


class ServerMetadata(msgspec.Struct):
    """What of OAuth 2.0 is here (RFC 8414)."""

    issuer: str
    introspection_endpoint: str
    introspection_endpoint_auth_methods_supported: list[str]
    revocation_endpoint: str
    revocation_endpoint_auth_methods_supported: list[str]
    response_types_supported: list[str]
    grant_types_supported: list[str]
    service_documentation: str


class Nothing(msgspec.Struct):
    """An empty object."""
