"""Types of the fields of requests and responses, each with its rules and its description."""

from typing import Annotated, Any

from msgspec import Meta

from doorward.core.normalization import (
    MAX_NAME_BYTES,
    MAX_NAME_CHARACTERS,
    device_violations,
    email_violations,
    existing_email_violations,
    login_violations,
    text_violations,
)
from doorward.core.passwords.formats import MAX_HASH_LENGTH as LONGEST_HASH
from doorward.core.passwords.hashing import MAX_PASSWORD_BYTES, MAX_PASSWORD_CHARACTERS
from doorward.core.passwords.policy import MIN_TENANT_PASSWORD_LENGTH, hash_violations, tenant_password_violations
from doorward.core.tenants.settings import MIN_IDLE_SECONDS
from doorward.http.validation import BooleanRule, IntegerRule, JsonRule, TextRule

SCOPE_BYTES = 4096
SCOPE_DEPTH = 8
MAX_TOKENS = 500
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 500
MIN_SEARCH_LENGTH = 1
MAX_SEARCH_LENGTH = 120

# The JSON spelling of a password may be six times its bytes; the limit on the password itself applies.
_HEAVY = 6 * MAX_PASSWORD_BYTES

_NAME = Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)

Email = Annotated[
    str,
    TextRule(MAX_NAME_CHARACTERS, MAX_NAME_BYTES, email_violations),
    _NAME,
    Meta(
        description="Need not be unique among users. An address without a dot, such as a@localhost, is valid.",
        examples=["alice@example.org"],
    ),
]
_TENANT_EMAIL = Meta(description="Unique among tenants, case-insensitively.", examples=["shop@example.org"])
TenantEmail = Annotated[Email, _TENANT_EMAIL]
ExistingTenantEmail = Annotated[
    str, TextRule(MAX_NAME_CHARACTERS, MAX_NAME_BYTES, existing_email_violations), _NAME, _TENANT_EMAIL
]
Login = Annotated[
    str,
    TextRule(MAX_NAME_CHARACTERS, MAX_NAME_BYTES, login_violations),
    _NAME,
    Meta(
        description="Unique inside the tenant by its NFKC-casefolded form. No invisible characters; no white space at "
        "its ends, and no two in a row; no path segment that URLs remove, such as `..`.",
        examples=["alice"],
    ),
]
ExistingLogin = Annotated[
    str,
    TextRule(MAX_NAME_CHARACTERS, MAX_NAME_BYTES, text_violations),
    _NAME,
    Meta(description="The user's login, in any spelling of the same NFKC-casefolded form.", examples=["alice"]),
]
DeviceId = Annotated[
    str,
    TextRule(MAX_NAME_CHARACTERS, MAX_NAME_BYTES, device_violations),
    _NAME,
    Meta(description="Any name of the device, without invisible characters; need not be unique.", examples=["laptop"]),
]
Line = Annotated[str, TextRule(MAX_NAME_CHARACTERS, MAX_NAME_BYTES, text_violations), _NAME]
Sub = Annotated[Line, Meta(description="Your own identifier of the user.", examples=["customer-17"])]
Company = Annotated[Line, Meta(description="The company of the user, or any other text.", examples=["Example Ltd"])]
Ip = Annotated[
    Line,
    Meta(description="The user's address, as you report it. Shown in lists, never trusted.", examples=["192.0.2.7"]),
]
KeyName = Annotated[Line, Meta(description="The purpose of the key.", examples=["gateway"])]
Password = Annotated[
    str,
    TextRule(MAX_PASSWORD_CHARACTERS, _HEAVY),
    Meta(
        min_length=1,
        max_length=MAX_PASSWORD_CHARACTERS,
        description="A password. Every character counts; none is truncated.",
        extra_json_schema={"format": "password"},
    ),
]
PasswordHash = Annotated[
    str,
    TextRule(LONGEST_HASH, LONGEST_HASH, hash_violations),
    Meta(
        min_length=1,
        max_length=LONGEST_HASH,
        description="A password hash of another system, in the spelling of that system: see the guide to "
        "importing users. No password policy can judge it.",
        examples=["$2b$12$ZxV8bqN1uYtR5cO7dE9fGeWm3kPqLsJhTgUiYbNaXoVrCzKdMwEf2"],
    ),
]
TenantPassword = Annotated[
    str,
    TextRule(MAX_PASSWORD_CHARACTERS, _HEAVY, tenant_password_violations),
    Meta(
        min_length=MIN_TENANT_PASSWORD_LENGTH,
        max_length=MAX_PASSWORD_CHARACTERS,
        description="With a lowercase letter, an uppercase letter and a digit.",
        extra_json_schema={"format": "password"},
    ),
]
Scope = Annotated[
    Any,
    JsonRule(SCOPE_DEPTH, SCOPE_BYTES),
    Meta(
        description=f"Any JSON, at most {SCOPE_DEPTH} levels and {SCOPE_BYTES} bytes. It is copied into every token.",
        extra_json_schema={"examples": [["orders:read"]]},
    ),
]
MAX_AUDIENCES = 10
AUDIENCE = TextRule(MAX_NAME_CHARACTERS, MAX_NAME_BYTES, text_violations)
# A token of any length is valid input; the limit of the body bounds it.
TOKEN = TextRule(1_000_000, 6_000_000)
Token = Annotated[
    str,
    TOKEN,
    Meta(
        description="A token, exactly as issued.",
        examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.e30.c2ln"],
    ),
]
Milliseconds = Annotated[int, Meta(description="Milliseconds since the Unix epoch.", examples=[1_767_225_600_000])]
IssuedAt = Annotated[int, Meta(description="Seconds since the Unix epoch.", examples=[1_767_225_600])]
Expiry = Annotated[int, Meta(description="Seconds since the Unix epoch.", examples=[1_767_830_400])]
UserId = Annotated[str, Meta(description="Immutable and unique.", examples=["7d4f5c3a-8a0e-4f2b-9b7a-52e6c1d0a9f4"])]
TenantId = Annotated[str, Meta(description="Immutable and unique.", examples=["0b9d3f0e-6a53-4c1e-8d0e-2f6f4c0f7a11"])]
SessionId = Annotated[str, Meta(description="The session's id.", examples=["q0rX3mJ1S5uWc2yVb8Kd9A"])]
Audience = Annotated[str, Meta(description="The setting JWT_AUDIENCE.", examples=["doorward"])]
Boolean = Annotated[bool, BooleanRule()]
EmailVerified = Annotated[
    Boolean,
    Meta(
        description="The e-mail address is verified. Without it, a changed address is unverified.",
        examples=[True],
    ),
]
Seconds = Annotated[
    int, IntegerRule(1, 315_360_000), Meta(ge=1, le=315_360_000, description="Seconds.", examples=[86_400])
]
IdleSeconds = Annotated[
    int,
    IntegerRule(MIN_IDLE_SECONDS, 315_360_000),
    Meta(ge=MIN_IDLE_SECONDS, le=315_360_000, description="Seconds.", examples=[3600]),
]
Code = Annotated[
    str,
    TextRule(200, 800),
    Meta(
        min_length=1,
        max_length=200,
        description="A code, exactly as issued.",
        examples=["gqYc0vwfcz2-1nFpV0yZNVYDkq4k1y6S"],
    ),
]
Hint = Annotated[
    str,
    TextRule(200, 800),
    Meta(max_length=200, description="Accepted and ignored: tokens contain their kind.", examples=["access_token"]),
]
RefreshToken = Annotated[
    str,
    TOKEN,
    Meta(description="A refresh token, exactly as issued. Valid for one use.", examples=["dr_WyIxIl0.c2ln"]),
]
Metadata = Annotated[
    Any,
    JsonRule(SCOPE_DEPTH, SCOPE_BYTES),
    Meta(
        description=f"Any JSON, at most {SCOPE_DEPTH} levels and {SCOPE_BYTES} bytes. It is in no token.",
        extra_json_schema={"examples": [{"plan": "gold"}]},
    ),
]
UserAgent = Annotated[
    str,
    TextRule(MAX_NAME_CHARACTERS * 4, MAX_NAME_BYTES * 4),
    Meta(
        min_length=1,
        max_length=MAX_NAME_CHARACTERS * 4,
        description="The user's `User-Agent`, as you report it.",
        examples=["Mozilla/5.0 (X11; Linux x86_64)"],
    ),
]
ClientId = Annotated[
    str,
    TextRule(200, 800),
    Meta(
        max_length=200,
        description="The id of an API key, together with `client_secret`.",
        examples=["Jm1n7Zc0QxWv3bTfY5uKpA"],
    ),
]
ClientSecret = Annotated[
    str,
    TextRule(200, 800),
    Meta(
        max_length=200,
        description="The API key, where the client does not authenticate with the `Authorization` header.",
        extra_json_schema={"format": "password"},
    ),
]
KeyId = Annotated[str, Meta(description="The id of the key, which is not secret.", examples=["Jm1n7Zc0QxWv3bTfY5uKpA"])]
LoginOut = Annotated[str, Meta(description="As it was set.", examples=["alice"])]
EmailOut = Annotated[str, Meta(description="As it was set.", examples=["alice@example.org"])]
TenantLoginOut = Annotated[
    str, Meta(description="`tenant:` and the e-mail address.", examples=["tenant:shop@example.org"])
]
TenantEmailOut = Annotated[str, Meta(description="As it was set.", examples=["shop@example.org"])]
SubOut = Annotated[str, Meta(description="Your own identifier of the user.", examples=["customer-17"])]
DeviceIdOut = Annotated[str, Meta(description="The device's name, as it was set.", examples=["laptop"])]
NextCursor = Annotated[str, Meta(description='The `cursor` of the next page; "0" on the last.', examples=["0"])]
ExpiresIn = Annotated[int, Meta(description="Lifetime in seconds.", examples=[604_800])]
