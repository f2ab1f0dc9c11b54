"""What the description of the API says in words, and the shapes that are no struct: headers, parameters, errors."""

from collections.abc import Mapping
from typing import Any

from doorward.core.errors import Refusal, TokenMissing, ValidationFailed
from doorward.core.normalization import MAX_NAME_CHARACTERS
from doorward.core.rate_limits.limiter import BUDGETS
from doorward.core.users.service import LAST_CURSOR
from doorward.core.users.transfer import UnverifiedTreatment
from doorward.http.api.fields import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_SEARCH_LENGTH, MIN_SEARCH_LENGTH
from doorward.http.errors import STATUS_OF

Json = dict[str, Any]

CONVENTIONS = (
    """A body is JSON in UTF-8, declared as `application/json`, at most 16 kB (`/auth/verify/batch` and
`/users/import`: 1 MB); fields not described here are ignored, except in bodies of `PATCH` and in `settings`, where
they are faults. The bodies at `/oauth` are forms. A query parameter that is not described here is a fault, except at
the endpoints of standards and operations, which ignore it.""",
    """A tenant proves itself with `Authorization: Bearer` and its token, which may do everything, or with an API key,
which may do what its permissions say: each endpoint names the one it needs. What the tenant's token alone may do says
so.""",
    """A path may end with a slash. A path not described here is answered 404, a method not described here 405 with
`Allow`; `OPTIONS` is answered 204 with `Allow`, and `HEAD` like `GET` without the body.""",
    """Every error has one shape: `error`, a sentence; `code`, which does not change between versions; `status`. A body
that does not hold what it has to is answered 422 with all of its faults in field order. No error repeats a value. At
`/oauth`, what the endpoint itself refuses looks as RFC 6749 has it: `error` and `error_description`.""",
    "Every answer carries `X-Request-Id`: yours, if it is 1 to 64 letters, digits and hyphens, or a fresh one.",
    "Times are milliseconds since the Unix epoch, in claims and at `/oauth` seconds (RFC 7519); durations are seconds.",
    'Lists come in pages: `nextCursor` goes into `cursor` for the next one, and is `"0"` on the last.',
    "`Retry-After` is the number of seconds after which trying again makes sense.",
)
"""What holds for every endpoint, a paragraph each."""

TAGS: Mapping[str, str] = {
    "Tenants": "A tenant is an application that keeps users here. It registers once and has a token of its own.",
    "Users": "A user belongs to exactly one tenant, and only that tenant sees it.",
    "Sessions": "A user logs in on a device and gets a token; the tenant asks about it until the session ends.",
    "API keys": "Credentials for machines: each may do what its permissions say, and is revoked by itself.",
    "Standards": """The questions above as OAuth 2.0 asks them, for clients that are there already, and as gateways ask
them. Clients may authenticate with the id of an API key and the key: with HTTP Basic, or as `client_id` and
`client_secret` in the form. They use one way, not several.""",
    "Operations": "What operators and their machines ask. Nothing here needs a credential.",
}
"""What an endpoint of this tag is about."""

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
        "Your own name for the user, to the letter.",
        {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS, "examples": ["customer-17"]},
    ),
    "query id": ("The user's id.", {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS}),
    "id": ("As the list gives it.", {"type": "string", "examples": ["q0rX3mJ1S5uWc2yVb8Kd9A"]}),
    "deviceId": ("End those of this device only.", {"type": "string", "examples": ["laptop"]}),
    "tenant": ("End the tenant's own sessions too.", {"type": "boolean", "default": False}),
    "dryRun": (
        "Only tell what would happen.",
        {"type": "string", "enum": ["true", "false"], "default": "false"},
    ),
    "unconfirmed": (
        "New users with `emailVerified: false`: let them in, disable them, or leave them out.",
        {"type": "string", "enum": list(UnverifiedTreatment), "default": UnverifiedTreatment.DISABLE},
    ),
    "hashes": (
        "With the hashes of the passwords.",
        {"type": "string", "enum": ["true", "false"], "default": "false"},
    ),
    "cursor": (
        "`nextCursor` of the page before.",
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
        "description": "Names this answer in the service's log.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$"},
    },
    "Retry-After": {
        "description": "Seconds after which trying again makes sense.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate (RFC 6750); at `/oauth`, HTTP Basic (RFC 7617) stands beside it.",
        "schema": {"type": "string", "examples": ["Bearer"]},
    },
    "X-Auth-User-Id": {"description": "The user's id.", "schema": {"type": "string"}},
    "X-Auth-Login": {
        "description": "The user's login. What is not visible ASCII, and `%`, is percent-encoded UTF-8.",
        "schema": {"type": "string", "examples": ["alice"]},
    },
    "X-Auth-Sub": {
        "description": "The user's `sub`, percent-encoded like the login; empty where there is none.",
        "schema": {"type": "string", "examples": ["customer-17"]},
    },
    "X-Auth-Tenant": {"description": "The tenant's id.", "schema": {"type": "string"}},
    "X-Auth-Scope": {
        "description": "The user's scope, as JSON in ASCII; empty where there is none.",
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
    "description": "The budget that is used up, with `too_many_requests`.",
    "enum": list(BUDGETS),
}
ERROR: Json = {
    "title": "Error",
    "description": "Why the answer is no.",
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "A sentence for people."},
        "code": {"type": "string", "description": "A name for programs. It does not change between versions."},
        "status": {"type": "integer", "description": "The status of this answer, once more."},
        "budget": BUDGET,
    },
    "required": ["error", "code", "status"],
}
OAUTH_ERROR: Json = {
    "title": "OAuthError",
    "description": "Why the answer is no, as RFC 6749, section 5.2, has it.",
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "A name for programs."},
        "error_description": {"type": "string", "description": "A sentence for people."},
        "budget": BUDGET,
    },
    "required": ["error", "error_description"],
}
SCHEMES: Mapping[str, Json] = {
    "tenant": {"type": "http", "scheme": "bearer", "description": "A tenant's token. It may do everything."},
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A tenant's API key (`dw_...`). It has to have the permission that is named as a role.",
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
        "description": "A user's token. The cookie that `FORWARD_AUTH_COOKIE` names will do as well.",
    },
}
"""How callers prove who they are."""

_FAULT: Json = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "description": "A sentence that names the field and repeats no value."},
        "path": {"type": "array", "items": {"type": "string"}, "description": "Where the fault is."},
        "type": {"type": "string", "description": "The rule that is broken."},
        "context": {
            "type": "object",
            "description": "The field, and the limit where the rule has one.",
            "properties": {
                "key": {"type": "string", "description": "The field: the last part of the path, or `value`."},
                "limit": {"type": "integer", "description": "The limit, where the rule has one."},
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
    ValidationFailed: _faults(
        "ValidationError", "All that is wrong with a body or a query, in field order.", ValidationFailed
    ),
    TokenMissing: _faults("TokenMissingError", "The body has to carry a token and has none.", TokenMissing),
}
"""The schemas of the refusals that list what is wrong."""
