"""Texts of the OpenAPI document, and schemas that are no structs: headers, parameters, errors."""

from collections.abc import Mapping
from typing import Any

from doorward.core.errors import Refusal, TokenMissing, ValidationFailed
from doorward.core.normalization import MAX_NAME_CHARACTERS
from doorward.core.rate_limits.budgets import BUDGETS
from doorward.core.users.cursor import LAST_CURSOR
from doorward.core.users.transfer import UnverifiedTreatment
from doorward.http.api.fields import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_SEARCH_LENGTH, MIN_SEARCH_LENGTH
from doorward.http.errors import STATUS_OF

Json = dict[str, Any]

CONVENTIONS = (
    """Request bodies are JSON in UTF-8 with `Content-Type: application/json`, at most 16 kB (`/auth/verify/batch` and
`/users/import`: 1 MB). Fields that are not described here are ignored, except in bodies of `PATCH` and in `settings`,
where they are rejected. Bodies at `/oauth` are forms. Query parameters that are not described here are rejected, except
at the endpoints of standards and operations, which ignore them.""",
    """A tenant authenticates with `Authorization: Bearer` and its token, which has all permissions, or with an API key,
which has the permissions it was created with: each endpoint names the one it needs. Endpoints for the tenant's token
alone say so.""",
    """A path may end with a slash. An unknown path is answered with 404, an unknown method with 405 and `Allow`.
`OPTIONS` is answered with 204 and `Allow`, `HEAD` like `GET` without the body.""",
    """All errors have one shape: `error`, a sentence; `code`, which does not change between versions; `status`. A body
that does not match its schema is answered with 422 and all field errors in field order. No error repeats a value. At
`/oauth`, errors of the endpoint follow RFC 6749: `error` and `error_description`.""",
    "Every response has `X-Request-Id`: that of the request, if 1 to 64 letters, digits and hyphens, or a new one.",
    "Times are milliseconds since the Unix epoch, in claims and at `/oauth` seconds (RFC 7519); durations are seconds.",
    'Lists are paginated: send `nextCursor` as `cursor` for the next page; it is `"0"` on the last.',
    "`Retry-After` is the number of seconds after which a retry can succeed.",
)
"""Conventions of every endpoint, one per paragraph."""

TAGS: Mapping[str, str] = {
    "Tenants": "A tenant is an application with its own users. It registers once and has a token of its own.",
    "Users": "A user belongs to exactly one tenant, and only that tenant has access to it.",
    "Sessions": "A user logs in on a device and gets a token; the tenant verifies it until the session is revoked.",
    "API keys": "Credentials with limited permissions, each of which can be revoked separately.",
    "Standards": """Verification and revocation in the form of OAuth 2.0, for existing clients, and forward
authentication for gateways. Clients may authenticate with the id of an API key and the key: with HTTP Basic, or as
`client_id` and `client_secret` in the form. They use one method, not several.""",
    "Operations": "Health checks and the descriptions of the API, without authentication.",
}
"""Descriptions of the tags."""

PARAMETERS: Mapping[str, tuple[str, Json]] = {
    "login": (
        "The user's login, percent-encoded, in any spelling of the same form.",
        {"type": "string", "examples": ["alice"]},
    ),
    "q": (
        "A part of the login; with one or two characters, its beginning.",
        {"type": "string", "minLength": MIN_SEARCH_LENGTH, "maxLength": MAX_SEARCH_LENGTH, "examples": ["ali"]},
    ),
    "userId": ("The user's id.", {"type": "string", "format": "uuid"}),
    "email": (
        "The e-mail address, in any spelling of the same NFKC-casefolded form.",
        {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS, "examples": ["alice@example.org"]},
    ),
    "sub": (
        "Your own identifier of the user, to the letter.",
        {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS, "examples": ["customer-17"]},
    ),
    "query id": ("The user's id.", {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS}),
    "id": ("The id, as in the list.", {"type": "string", "examples": ["q0rX3mJ1S5uWc2yVb8Kd9A"]}),
    "deviceId": ("Revoke the sessions of this device only.", {"type": "string", "examples": ["laptop"]}),
    "tenant": ("Revoke the tenant's own sessions too.", {"type": "boolean", "default": False}),
    "dryRun": (
        "Report the results and store nothing.",
        {"type": "string", "enum": ["true", "false"], "default": "false"},
    ),
    "unconfirmed": (
        "New users with `emailVerified: false`: enable, disable or skip them.",
        {"type": "string", "enum": list(UnverifiedTreatment), "default": UnverifiedTreatment.DISABLE},
    ),
    "hashes": (
        "Include the password hashes.",
        {"type": "string", "enum": ["true", "false"], "default": "false"},
    ),
    "cursor": (
        "`nextCursor` of the previous page.",
        {"type": "string", "minLength": 1, "maxLength": 2048, "default": LAST_CURSOR},
    ),
    "limit": (
        "Entries on a page.",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
    ),
}
"""Parameters by name, or by place and name: description and schema."""

HEADERS: Mapping[str, Json] = {
    "X-Request-Id": {
        "description": "The id of this request in the log of the service.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$"},
    },
    "Retry-After": {
        "description": "Seconds after which a retry can succeed.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "Authentication schemes (RFC 6750); at `/oauth` also HTTP Basic (RFC 7617).",
        "schema": {"type": "string", "examples": ["Bearer"]},
    },
    "X-Auth-User-Id": {"description": "The user's id.", "schema": {"type": "string"}},
    "X-Auth-Login": {
        "description": "The user's login. Characters that are not visible ASCII, and `%`, are percent-encoded UTF-8.",
        "schema": {"type": "string", "examples": ["alice"]},
    },
    "X-Auth-Sub": {
        "description": "The user's `sub`, percent-encoded like the login; empty without one.",
        "schema": {"type": "string", "examples": ["customer-17"]},
    },
    "X-Auth-Tenant": {"description": "The tenant's id.", "schema": {"type": "string"}},
    "X-Auth-Scope": {
        "description": "The user's scope, as JSON in ASCII; empty without one.",
        "schema": {"type": "string", "examples": ['["orders:read"]']},
    },
    "X-Auth-Device": {
        "description": "The device's name, percent-encoded like the login.",
        "schema": {"type": "string", "examples": ["laptop"]},
    },
    "Allow": {"description": "The methods of this path.", "schema": {"type": "string", "examples": ["GET, OPTIONS"]}},
}

BUDGET: Json = {
    "type": "string",
    "description": "The exhausted rate limit, with `too_many_requests`.",
    "enum": list(BUDGETS),
}
ERROR: Json = {
    "title": "Error",
    "description": "The reason of an error response.",
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "A sentence for people."},
        "code": {"type": "string", "description": "A code for programs. It does not change between versions."},
        "status": {"type": "integer", "description": "The status of this response."},
        "budget": BUDGET,
    },
    "required": ["error", "code", "status"],
}
OAUTH_ERROR: Json = {
    "title": "OAuthError",
    "description": "The reason of an error response (RFC 6749, section 5.2).",
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "A code for programs."},
        "error_description": {"type": "string", "description": "A sentence for people."},
        "budget": BUDGET,
    },
    "required": ["error", "error_description"],
}
SCHEMES: Mapping[str, Json] = {
    "tenant": {"type": "http", "scheme": "bearer", "description": "A tenant's token. It has all permissions."},
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A tenant's API key (`dw_...`). It needs the permission that is named as a role.",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "The id of an API key as the name, the key as the password (RFC 6749, section 2.3.1).",
    },
    "gateway": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Doorward-Key",
        "description": "The gateway's API key, or the tenant's token.",
    },
    "user": {
        "type": "http",
        "scheme": "bearer",
        "description": "A user's token. The cookie that `FORWARD_AUTH_COOKIE` names is accepted too.",
    },
}
"""Authentication schemes."""

_FAULT: Json = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "description": "A sentence that names the field and repeats no value."},
        "path": {"type": "array", "items": {"type": "string"}, "description": "The path of the field."},
        "type": {"type": "string", "description": "The violated rule."},
        "context": {
            "type": "object",
            "description": "The field, and the limit of the rule, if any.",
            "properties": {
                "key": {"type": "string", "description": "The field: the last part of the path, or `value`."},
                "limit": {"type": "integer", "description": "The limit of the rule, if any."},
            },
            "required": ["key"],
        },
    },
    "required": ["message", "path", "type", "context"],
}


def _faults(title: str, description: str, kind: type[ValidationFailed]) -> Json:
    return {
        "title": title,
        "description": description,
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "const": "ValidationError"},
                    "details": {"type": "array", "minItems": 1, "items": _FAULT},
                },
                "required": ["name", "details"],
            },
            "message": {"type": "string", "const": kind.sentence},
            "code": {"type": "string", "const": kind.code},
            "status": {"type": "integer", "const": int(STATUS_OF[kind])},
        },
        "required": ["error", "message", "code", "status"],
    }


FAULTS: dict[type[Refusal], Json] = {
    ValidationFailed: _faults("ValidationError", "Every error in a body or a query, in field order.", ValidationFailed),
    TokenMissing: _faults("TokenMissingError", "The body needs a token and has none.", TokenMissing),
}
"""Schemas of the errors that list field errors."""
