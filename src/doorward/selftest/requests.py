"""`fill_request`: builds a request to any endpoint from the names of given objects.

The self-test and the tests of isolation send the same attacks, which are built here.
"""

import json
import re
from collections.abc import Mapping
from secrets import token_urlsafe
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import msgspec

from doorward.http.api.endpoint import Endpoint
from doorward.http.validation import alternatives

NEUTRAL: Mapping[str, Any] = {
    "password": "Wrong-Horse-9",
    "sub": "sub-x",
    "company": "Company",
    "scope": {"a": 1},
    "deviceId": "laptop",
    "limit": "10",
    "cursor": "0",
    "tenant": "false",
    "current": "Wrong-Horse-9",
    "metadata": {"a": 1},
    "emailVerified": True,
    "disabled": False,
    "refresh": True,
    "ip": "192.0.2.1",
    "userAgent": "Firefox",
    "settings": {"sessionIdle": 3600},
    "name": "gateway",
    "permissions": ["verify"],
    "expiresAt": None,
    "token_type_hint": "access_token",
    # Empty values count as omitted: the client authenticates with a header.
    "client_id": "",
    "client_secret": "",
    "users": [{"login": "eve", "email": "eve@example.org", "sub": "sub-e"}],
    "dryRun": "true",
    "unconfirmed": "disable",
    "hashes": "false",
}
"""Values of fields that name no object: equal in both requests of a comparison. No user has these passwords."""

BODILESS = {"/user/{login}/password/reset", "/users/{userId}/password/reset"}
"""Paths whose POST takes no body."""

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

_TOKEN = re.compile(r"(?:eyJ|dr_)[\w-]+\.[\w-]+(?:\.[\w-]+)?")
_KEY = re.compile(r"dw_[\w-]+")
_ID = re.compile(r"(?<=[\":])[\w-]{22}(?=\")")
_REQUEST = re.compile(r'(?<="requestId":")[\w-]+')
_FINGERPRINT = re.compile(r'(?<="session":")[0-9a-f]{16}')
_MILLISECONDS = re.compile(r"\b1[0-9]{12}\b")


class CannotFillRequest(Exception):
    """An endpoint has a field without a known value. The message says what to add, and where."""


def named(endpoint: Endpoint) -> str:
    """Return the method and the path of an endpoint."""
    return f"{endpoint.method} {endpoint.path}"


def media(endpoint: Endpoint) -> str:
    """Return the content type of an endpoint's request body."""
    return "application/x-www-form-urlencoded" if endpoint.is_form else "application/json"


def encode(endpoint: Endpoint, body: Any) -> bytes:
    """Encode a request body for an endpoint, as a form or as JSON."""
    return urlencode(body).encode() if endpoint.is_form else json.dumps(body).encode()


def authorization(endpoint: Endpoint, credential: str | None) -> dict[str, str]:
    """Return the headers that authenticate a tenant at an endpoint; `credential` is an Authorization header's value."""
    if credential is None:
        return {}
    if endpoint.match_subpaths:
        # At /forward-auth, Authorization has the user's token.
        return {"X-Doorward-Key": credential.removeprefix("Bearer ")}
    return {"Authorization": credential}


def unowned_names() -> dict[str, str]:
    """Return a value for every field that names an object; no tenant has objects with these names."""
    login = f"bob-{uuid4().hex}"
    return {
        "login": login,
        "userId": str(uuid4()),
        "token": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
        "email": f"{uuid4().hex}@example.org",
        "q": login,
        "refreshToken": "dr_WyIxIiwidSIsInMiLDFd.c2ln",
        "code": token_urlsafe(24),
        "key id": token_urlsafe(16),
        "session id": token_urlsafe(16),
    }


def fill_request(endpoint: Endpoint, names: Mapping[str, str]) -> tuple[str, dict[str, Any] | None, dict[str, str]]:
    """Return path, body and query of a request to `endpoint` for the objects that `names` names.

    CannotFillRequest if the endpoint has a field that is neither in `names` nor in NEUTRAL.
    """
    own_id = names.get("key id" if endpoint.path.startswith("/tenant/key/") else "session id", "")
    fill = {**NEUTRAL, "id": own_id, "tokens": [names["token"]], "keepToken": names["token"], **names}

    def value(kind: str, name: str) -> Any:
        if name not in fill:
            raise CannotFillRequest(
                f"{named(endpoint)} takes the {kind} {name!r}, which the self-test cannot fill: add it to NEUTRAL in "
                f"doorward/selftest/requests.py or, if it names an object, to unowned_names() there and to names() in "
                f"doorward/selftest/tenants.py."
            )
        return fill[name]

    path = re.sub(r"\{(\w+)[^}]*\}", lambda match: quote(value("path segment", match[1]), safe=""), endpoint.path)
    if endpoint.method in {"POST", "PUT", "PATCH"} and endpoint.request_body is None and endpoint.path not in BODILESS:
        raise CannotFillRequest(f"{named(endpoint)} has no request body: set its `request_body` in ENDPOINTS.")
    body = None
    if endpoint.request_body is not None:
        either = alternatives(endpoint.request_body)
        fields = [field.encode_name for field in msgspec.structs.fields(endpoint.request_body)]
        body = {name: value("field", name) for name in fields if either is None or name != either.second}
    # Only the first of parameters that exclude each other.
    query = [name for name in endpoint.query if name not in endpoint.alternatives[1:]]
    return path, body, {str(name): value("query parameter", name) for name in query}


def mentions(endpoint: Endpoint, names: Mapping[str, str], text: str) -> bool:
    """Return whether a request to `endpoint` for the objects that `names` names contains a text."""
    path, body, query = fill_request(endpoint, names)
    return text in json.dumps([path, body, query])


def is_safe_for_others(endpoint: Endpoint) -> bool:
    """Return whether a request to `endpoint` can change only the object that it names, or nothing."""
    if endpoint.method == "GET":
        return True
    return fill_request(endpoint, unowned_names()) != fill_request(endpoint, unowned_names())


def masked(text: str, names: Mapping[str, str], caller: Mapping[str, str]) -> str:
    """Return a body with placeholders for all that differs between two equal requests: ids, times, given names.

    `caller` has the caller's own values, by their placeholders.
    """
    for name, value in names.items():
        text = text.replace(value, f"<{name}>")
    for name, value in caller.items():
        text = text.replace(value, f"<{name}>")
    text = _MILLISECONDS.sub("<ms>", UUID.sub("<uuid>", _TOKEN.sub("<jwt>", text)))
    for pattern in (_KEY, _ID, _REQUEST, _FINGERPRINT):
        text = pattern.sub("<id>", text)
    return text
