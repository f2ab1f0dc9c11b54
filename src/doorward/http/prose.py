"""What the description of the API says in words, and the shapes that are no struct: headers, parameters, errors."""

from collections.abc import Mapping
from typing import Any

from doorward.core.errors import ValidationFailed
from doorward.core.users import LAST_PAGE
from doorward.http.errors import STATUS
from doorward.http.schemas import LONGEST_PAGE, PAGE, SEARCH_LONGEST, SEARCH_SHORTEST

Json = dict[str, Any]

CONVENTIONS = (
    "A body is JSON in UTF-8, declared as `application/json`, at most 16 kB; fields not described here are ignored.",
    """A path may end with a slash. A path not described here is answered 404, a method not described here 405 with
`Allow`; `OPTIONS` is answered 204 with `Allow`, and `HEAD` like `GET` without the body.""",
    """Every error has one shape: `error`, a sentence; `code`, which does not change between versions; `status`. A body
that does not hold what it has to is answered 422 with all of its faults in field order. No error repeats a value.""",
    "Every answer carries `X-Request-Id`: yours, if it is 1 to 64 letters, digits and hyphens, or a fresh one.",
    "`registrationDate` and `lastActivity` are milliseconds since the Unix epoch; claims are seconds (RFC 7519).",
    "`Retry-After` is the number of seconds after which trying again makes sense.",
)
"""What holds for every endpoint, a paragraph each."""

TAGS: Mapping[str, str] = {
    "Tenants": "A tenant is an application that keeps users here. It registers once and has a token of its own.",
    "Users": "A user belongs to exactly one tenant, and only that tenant sees it.",
    "Sessions": "A user logs in on a device and gets a token; the tenant asks about it until the session ends.",
    "Operations": "What operators and their machines ask. Nothing here needs a credential.",
}
"""What an endpoint of this tag is about."""

NOTES: Mapping[str, str] = {
    "tenants_register": "Allowed from the addresses in `TENANT_WHITE_LIST`, at first from the machine itself.",
    "tenants_verify": "A token that is dead, foreign or a user's is refused like garbage.",
    "users_create": """A login that exists is refused, or replaced where `EXISTING_LOGIN=replace` is set: then the user
keeps its id, gets the new password and attributes, and all of its sessions end.""",
    "users_index": "In the order of their logins. To get the next page, send `nextCursor` as `cursor`.",
    "transfer_take": """Nothing is hashed: each hash is compared as it is at the user's first login, and replaced then.
A login that exists is left as it is, so the same body may be sent again. With `dryRun` nothing is kept.""",
    "transfer_hand_out": """A line of JSON for each user, in the order of their logins, in chunks: an answer without its
last chunk is not whole. With `hashes` each line has a `passwordHash`; a key needs `users:write` as well then.""",
    "users_delete": "When this is answered, no process accepts a token of the user any more.",
    "auth_login": """A second session on the same device ends nothing. A user has at most `SESSIONS_PER_USER` sessions;
one more ends the oldest. With `LOGIN_ERRORS=uniform`, `login_refused` stands for both kinds of failure.""",
    "auth_verify": "A token that is dead, of another tenant's user or a tenant's is refused like garbage.",
    "auth_logout": "When this is answered, no process accepts the token any more. A second time it is refused.",
    "ops_ready": "503 says that a store is away: send no requests here until it is back.",
}
"""What is not said by an endpoint's summary, by the name of its operation."""

PARAMETERS: Mapping[str, tuple[str, Json]] = {
    "login": (
        "The user's login, percent-encoded, in any spelling of the same form.",
        {"type": "string", "examples": ["alice"]},
    ),
    "q": (
        "A part of the login.",
        {"type": "string", "minLength": SEARCH_SHORTEST, "maxLength": SEARCH_LONGEST, "examples": ["ali"]},
    ),
    "dryRun": (
        "Only tell what would happen.",
        {"type": "string", "enum": ["true", "false"], "default": "false"},
    ),
    "hashes": (
        "With the hashes of the passwords.",
        {"type": "string", "enum": ["true", "false"], "default": "false"},
    ),
    "cursor": (
        "`nextCursor` of the page before.",
        {"type": "string", "minLength": 1, "maxLength": 2048, "default": LAST_PAGE},
    ),
    "limit": ("Entries on a page.", {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": PAGE}),
}
"""Parameters of paths and queries by name: what they are, and their schema."""

HEADERS: Mapping[str, Json] = {
    "X-Request-Id": {
        "description": "Names this answer in the service's log.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$"},
    },
    "Retry-After": {
        "description": "Seconds after which trying again makes sense.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"description": "How to authenticate (RFC 6750).", "schema": {"const": "Bearer"}},
    "Allow": {"description": "The methods of this path.", "schema": {"type": "string", "examples": ["GET, OPTIONS"]}},
}

ERROR: Json = {
    "title": "Error",
    "description": "Why the answer is no.",
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "A sentence for people."},
        "code": {"type": "string", "description": "A name for programs. It does not change between versions."},
        "status": {"type": "integer", "description": "The status of this answer, once more."},
    },
    "required": ["error", "code", "status"],
}
_FAULT: Json = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "description": "A sentence that names the field and repeats no value."},
        "path": {"type": "array", "items": {"type": ["string", "integer"]}, "description": "Where the fault is."},
        "type": {"type": "string", "description": "The rule that is broken."},
        "context": {"type": "object", "description": "The field, and the limit where the rule has one."},
    },
    "required": ["message", "path", "type", "context"],
}
FAULTS: Json = {
    "title": "ValidationError",
    "description": "All that is wrong with a body or a query, in field order.",
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "name": {"const": "ValidationError"},
                "details": {"type": "array", "minItems": 1, "items": _FAULT},
            },
            "required": ["name", "details"],
        },
        "message": {"const": ValidationFailed.sentence},
        "code": {"const": ValidationFailed.code},
        "status": {"const": int(STATUS[ValidationFailed])},
    },
    "required": ["error", "message", "code", "status"],
}
