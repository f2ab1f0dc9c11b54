"""How requests are filled with the names of somebody else's objects, for every endpoint that there is.

The self test and the tests of isolation attack with the same requests: they are put together here.
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
    # Without a value they count as omitted: the client authenticates with a header.
    "client_id": "",
    "client_secret": "",
    "users": [{"login": "eve", "email": "eve@example.org", "sub": "sub-e"}],
    "dryRun": "true",
    "unconfirmed": "disable",
    "hashes": "false",
}
"""Fields that name nobody: the same for both arms of a comparison. The passwords are nobody's."""

BODILESS = {"/user/{login}/password/reset", "/users/{userId}/password/reset"}
"""Where a POST needs to say nothing."""

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

_TOKEN = re.compile(r"(?:eyJ|dr_)[\w-]+\.[\w-]+(?:\.[\w-]+)?")
_KEY = re.compile(r"dw_[\w-]+")
_ID = re.compile(r"(?<=[\":])[\w-]{22}(?=\")")
_REQUEST = re.compile(r'(?<="requestId":")[\w-]+')
_FINGERPRINT = re.compile(r'(?<="session":")[0-9a-f]{16}')
_MILLISECONDS = re.compile(r"\b1[0-9]{12}\b")


class CannotFillRequest(Exception):
    """An endpoint takes what nobody has said how to fill. The message says what to add, and where."""


def named(endpoint: Endpoint) -> str:
    """Return what an endpoint is called."""
    return f"{endpoint.method} {endpoint.path}"


def media(endpoint: Endpoint) -> str:
    """Return the type of the body that an endpoint takes."""
    return "application/x-www-form-urlencoded" if endpoint.is_form else "application/json"


def encode(endpoint: Endpoint, body: Any) -> bytes:
    """Return a body as an endpoint takes it: a form, or JSON."""
    return urlencode(body).encode() if endpoint.is_form else json.dumps(body).encode()


def authorization(endpoint: Endpoint, credential: str | None) -> dict[str, str]:
    """Return the headers that present a tenant's credential, given as an Authorization header, to an endpoint."""
    if credential is None:
        return {}
    if endpoint.match_subpaths:
        # There, Authorization is the user's.
        return {"X-Doorward-Key": credential.removeprefix("Bearer ")}
    return {"Authorization": credential}


def unowned_names() -> dict[str, str]:
    """Return a value for every field that names an object; these name nothing anywhere."""
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

    CannotAim where the endpoint takes something that is neither in `names` nor neutral.
    """
    own_id = names.get("key id" if endpoint.path.startswith("/tenant/key/") else "session id", "")
    fill = {**NEUTRAL, "id": own_id, "tokens": [names["token"]], "keepToken": names["token"], **names}

    def value(kind: str, name: str) -> Any:
        if name not in fill:
            raise CannotFillRequest(
                f"{named(endpoint)} takes the {kind} {name!r}, which the self test cannot fill: add it to NEUTRAL in "
                f"doorward/selftest/requests.py or, if it names an object, to nobodys() there and wherever a tenant "
                f"gives its own names."
            )
        return fill[name]

    path = re.sub(r"\{(\w+)[^}]*\}", lambda match: quote(value("path segment", match[1]), safe=""), endpoint.path)
    if endpoint.method in {"POST", "PUT", "PATCH"} and endpoint.request_body is None and endpoint.path not in BODILESS:
        raise CannotFillRequest(f"{named(endpoint)} does not say what it takes: give it `takes` in ENDPOINTS.")
    body = None
    if endpoint.request_body is not None:
        either = alternatives(endpoint.request_body)
        fields = [field.encode_name for field in msgspec.structs.fields(endpoint.request_body)]
        body = {name: value("field", name) for name in fields if either is None or name != either.second}
    # Of parameters that exclude one another, the first.
    query = [name for name in endpoint.query if name not in endpoint.alternatives[1:]]
    return path, body, {str(name): value("query parameter", name) for name in query}


def mentions(endpoint: Endpoint, names: Mapping[str, str], text: str) -> bool:
    """Tell whether a request to `endpoint` for the objects that `names` names has a text in it."""
    path, body, query = fill_request(endpoint, names)
    return text in json.dumps([path, body, query])


def is_safe_for_others(endpoint: Endpoint) -> bool:
    """Tell whether a request to `endpoint` can change nothing but what it names, or nothing at all."""
    if endpoint.method == "GET":
        return True
    return fill_request(endpoint, unowned_names()) != fill_request(endpoint, unowned_names())


def masked(text: str, names: Mapping[str, str], caller: Mapping[str, str]) -> str:
    """Return a body without what differs between two requests anyway: ids, times, the caller's own words.

    `caller` has what stands for itself, by what it is called.
    """
    for name, value in names.items():
        text = text.replace(value, f"<{name}>")
    for name, value in caller.items():
        text = text.replace(value, f"<{name}>")
    text = _MILLISECONDS.sub("<ms>", UUID.sub("<uuid>", _TOKEN.sub("<jwt>", text)))
    for pattern in (_KEY, _ID, _REQUEST, _FINGERPRINT):
        text = pattern.sub("<id>", text)
    return text
