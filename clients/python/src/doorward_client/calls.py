"""Requests of the API and parsers of their responses, without I/O.

The synchronous and the asynchronous client both send these requests.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

from doorward_client import values
from doorward_client.errors import (
    BY_CODE,
    BadAnswer,
    Detail,
    DoorwardError,
    InvalidToken,
    Refused,
    TooManyRequests,
    Unavailable,
    ValidationFailed,
)
from doorward_client.values import read

T = TypeVar("T")

LONGEST_TOKEN = 8192
MOST_TOKENS = 500
_BATCH_BYTES = 900_000
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_NDJSON = "application/x-ndjson"
_BAD_REQUEST = 400
_SERVER_ERROR = 500
_OK = 200
_CREATED = 201
_MOVED = 300


class Unset:
    """The type of UNSET."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()
"""Default of fields that are not sent, where None is a value (JSON null)."""


class Answer(NamedTuple):
    """A response. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(NamedTuple):
    """A request without a response. `sent` is False if Doorward certainly did not receive the request."""

    why: str
    sent: bool


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. `question`: it is safe to repeat. `quick`: it has the shorter timeout of verifications."""

    method: str
    path: str
    read: Callable[[Answer], T]
    body: bytes | None = field(default=None, repr=False)
    media: str = _JSON
    accept: str = _JSON
    question: bool = False
    quick: bool = False


def finish(call: Call[T], outcome: Answer | NoAnswer) -> T:
    """Return the result of a call; raises DoorwardError."""
    if isinstance(outcome, NoAnswer):
        raise Unavailable(f"Doorward did not respond: {outcome.why}")
    return call.read(outcome)


def retry_after(answer: Answer) -> float | None:
    """Return the value of Retry-After in seconds, or None."""
    try:
        seconds = float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def code_of(answer: Answer) -> str:
    """Return the stable error code of a response, or "" if it has none."""
    content = _json(answer.body)
    if not isinstance(content, dict):
        return ""
    # The OAuth endpoints have the code in `error`, where the others have a sentence (RFC 6749, section 5.2).
    code = content.get("code", content.get("error") if "error_description" in content else None)
    return code if isinstance(code, str) else ""


def check(answer: Answer) -> None:
    """Raise the DoorwardError of a response unless it is a success."""
    if not _OK <= answer.status < _MOVED:
        raise _error(answer)


def _error(answer: Answer) -> DoorwardError:
    if answer.status >= _SERVER_ERROR:
        wait = retry_after(answer)
        return Unavailable(f"Doorward responded {answer.status} {code_of(answer)}".rstrip(), retry_after=wait)
    code = code_of(answer)
    if not code or answer.status < _BAD_REQUEST:
        return BadAnswer(f"the response {answer.status} is not one of Doorward")
    content = _json(answer.body)
    text = content.get("error_description") or content.get("message") or content.get("error")
    message = text if isinstance(text, str) else code
    request_id = answer.headers.get("x-request-id")
    kind = BY_CODE.get(code, Refused)
    if issubclass(kind, TooManyRequests):
        wait = retry_after(answer) or 1.0
        budget = str(content.get("budget", ""))
        return kind(code, answer.status, message, request_id=request_id, retry_after=wait, budget=budget)
    if issubclass(kind, ValidationFailed):
        return kind(code, answer.status, message, request_id=request_id, details=_details(content))
    return kind(code, answer.status, message, request_id=request_id)


def _details(content: Mapping[str, Any]) -> list[Detail]:
    error = content.get("error")
    rows = error.get("details") if isinstance(error, dict) else None
    return [
        Detail(tuple(map(str, fault.get("path", ()))), str(fault.get("type", "")), str(fault.get("message", "")))
        for fault in (rows if isinstance(rows, list) else [])
        if isinstance(fault, dict)
    ]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _value(kind: type[T], answer: Answer) -> T:
    check(answer)
    return read(kind, _json(answer.body))


def _nothing(answer: Answer) -> None:
    check(answer)


def _ended(answer: Answer) -> bool:
    if answer.status == _BAD_REQUEST and code_of(answer) == InvalidToken.for_code:
        return False
    check(answer)
    return True


def _decoded(kind: type[T], answer: Answer) -> T | None:
    if answer.status == _BAD_REQUEST and code_of(answer) == InvalidToken.for_code:
        return None
    check(answer)
    content = _json(answer.body)
    if not isinstance(content, dict) or "decoded" not in content:
        raise BadAnswer("the response has no claims")
    return read(kind, content["decoded"])


def _batch(count: int, answer: Answer) -> list[values.Claims | None]:
    check(answer)
    content = _json(answer.body)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, list) or len(results) != count:
        raise BadAnswer("the response does not have one result for each token")
    found: list[values.Claims | None] = []
    for result in results:
        if not isinstance(result, dict) or not isinstance(result.get("active"), bool):
            raise BadAnswer("a result of the response lacks the field active")
        found.append(read(values.Claims, result.get("decoded")) if result["active"] else None)
    return found


def _put(answer: Answer) -> values.Put:
    return values.Put(_value(values.User, answer), answer.status == _CREATED)


def _health(answer: Answer) -> values.Health:
    # /health/ready has the state of the stores also in a 503.
    content = _json(answer.body)
    if isinstance(content, dict) and "stores" in content:
        return read(values.Health, content)
    check(answer)
    raise BadAnswer("the response is not a readiness report")


def _segment(name: str, text: str) -> str:
    """Quote a text as one segment of a path.

    Raises ValidationFailed for an empty text, "." and "..", which would change the path and the object that it names.
    """
    try:
        quoted = quote(text, safe="")
    except UnicodeEncodeError:
        quoted = ""
    if quoted in {"", ".", ".."}:
        message = f'"{name}" cannot be part of a path'
        detail = Detail((name,), "string.path", message)
        raise ValidationFailed(ValidationFailed.for_code, 422, "Validation error", details=[detail])
    return quoted


@dataclass(frozen=True, slots=True)
class UserId:
    """A user's id, passed instead of a login: `doorward.users.get(UserId(claims.id))`."""

    value: str


def _place(login: str | UserId) -> str:
    """Return the path of a user."""
    if isinstance(login, UserId):
        return f"/users/{_segment('user_id', login.value)}"
    return f"/user/{_segment('login', login)}"


def _given(**fields: Any) -> bytes:
    present = {values.camel(name): value for name, value in fields.items() if value is not UNSET}
    return json.dumps(present, allow_nan=False).encode()


def _or_unset(value: T | None) -> T | Unset:
    return UNSET if value is None else value


def _query(path: str, **fields: str | int | None) -> str:
    present = {values.camel(name): value for name, value in fields.items() if value is not None}
    return f"{path}?{urlencode(present, errors='replace')}" if present else path


def plausible(token: str) -> bool:
    """Return whether a text has the length and the alphabet of a token (RFC 6750, section 2.1)."""
    return len(token) <= LONGEST_TOKEN and _TOKEN.fullmatch(token) is not None


def verify(token: str) -> Call[values.Claims | None]:
    """Verify a user token."""
    return Call(
        "POST",
        "/auth/verify",
        partial(_decoded, values.Claims),
        _given(token=token),
        question=True,
        quick=True,
    )


def portions(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split tokens into batches for one request each."""
    portion: list[str] = []
    size = 0
    for token in tokens:
        if portion and (len(portion) == MOST_TOKENS or size + len(token) > _BATCH_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(token)
        size += len(token) + 4
    if portion:
        yield portion


def verify_batch(tokens: Sequence[str]) -> Call[list[values.Claims | None]]:
    """Verify a batch of user tokens."""
    read_all = partial(_batch, len(tokens))
    return Call("POST", "/auth/verify/batch", read_all, _given(tokens=tokens), question=True, quick=True)


def login(
    login: str,
    password: str,
    device_id: str,
    *,
    refresh: bool,
    ip: str | None,
    user_agent: str | None,
    known_token: str | None,
) -> Call[values.Tokens]:
    """Open a session of a user on a device."""
    body = _given(
        login=login,
        password=password,
        device_id=device_id,
        refresh=refresh or UNSET,
        ip=_or_unset(ip),
        user_agent=_or_unset(user_agent),
        token=_or_unset(known_token),
    )
    return Call("POST", "/auth", partial(_value, values.Tokens), body)


def refresh(refresh_token: str) -> Call[values.Tokens]:
    """Exchange a refresh token."""
    return Call("POST", "/auth/refresh", partial(_value, values.Tokens), _given(refresh_token=refresh_token))


def logout(token: str) -> Call[bool]:
    """Revoke the session of a user token."""
    return Call("POST", "/auth/logout", _ended, _given(token=token))


def _token_form(token: str, hint: str | None) -> bytes:
    fields = {"token": token} if hint is None else {"token": token, "token_type_hint": hint}
    return urlencode(fields, errors="replace").encode()


def introspect(token: str, hint: str | None) -> Call[values.Introspection]:
    """Introspect a token (RFC 7662)."""
    read_answer = partial(_value, values.Introspection)
    form = _token_form(token, hint)
    return Call("POST", "/oauth/introspect", read_answer, form, _FORM, question=True, quick=True)


def revoke(token: str, hint: str | None) -> Call[None]:
    """Revoke an access or refresh token (RFC 7009)."""
    return Call("POST", "/oauth/revoke", _nothing, _token_form(token, hint), _FORM)


def health() -> Call[values.Health]:
    """Return the readiness of the service."""
    return Call("GET", "/health/ready", _health, quick=True)


def live() -> Call[None]:
    """Check that the process responds."""
    return Call("GET", "/health/live", _nothing, quick=True)


def _user(
    email: str,
    password: str | None,
    sub: str,
    *,
    password_hash: str | None,
    company: str | None,
    scope: Any,
    metadata: Any,
    email_verified: bool | Unset,
    login: str | Unset = UNSET,
) -> bytes:
    return _given(
        login=login,
        email=email,
        password=_or_unset(password),
        password_hash=_or_unset(password_hash),
        sub=sub,
        company=_or_unset(company),
        scope=scope,
        metadata=metadata,
        email_verified=email_verified,
    )


def create_user(login: str, email: str, password: str | None, sub: str, **more: Any) -> Call[values.User]:
    """Create a user."""
    return Call("POST", "/user", partial(_value, values.User), _user(email, password, sub, login=login, **more))


def get_user(login: str | UserId) -> Call[values.User]:
    """Return a user."""
    return Call("GET", _place(login), partial(_value, values.User), question=True)


def put_user(login: str | UserId, email: str, password: str | None, sub: str, **more: Any) -> Call[values.Put]:
    """Create or replace a user."""
    if isinstance(login, UserId):
        raise TypeError("users.put takes a login and no UserId; change the user of an id with users.patch")
    return Call("PUT", f"/user/{_segment('login', login)}", _put, _user(email, password, sub, **more))


def patch_user(login: str | UserId, new_login: str | Unset, **changes: Any) -> Call[values.User]:
    """Update attributes of a user."""
    return Call("PATCH", _place(login), partial(_value, values.User), _given(login=new_login, **changes))


def delete_user(login: str | UserId) -> Call[None]:
    """Delete a user."""
    return Call("DELETE", _place(login), _nothing)


def unlock_user(login: str | UserId) -> Call[None]:
    """Clear a user's failed attempts."""
    return Call("DELETE", f"{_place(login)}/failures", _nothing)


def users_page(
    cursor: str, limit: int, *, part: str | None, email: str | None, sub: str | None
) -> Call[values.UserPage]:
    """Return a page of users."""
    path = _query("/user", q=part, email=email, sub=sub, cursor=cursor, limit=limit)
    return Call("GET", path, partial(_value, values.UserPage), question=True)


def change_password(login: str | UserId, current: str, password: str, keep_token: str | None) -> Call[None]:
    """Set a new password of a user, given the current one."""
    body = _given(current=current, password=password, keep_token=_or_unset(keep_token))
    return Call("POST", f"{_place(login)}/password", _nothing, body)


def reset_code(login: str | UserId) -> Call[values.ResetCode]:
    """Create a reset code of a user."""
    return Call("POST", f"{_place(login)}/password/reset", partial(_value, values.ResetCode))


def reset(code: str, password: str) -> Call[None]:
    """Set a password with a reset code."""
    return Call("POST", "/auth/reset", _nothing, _given(code=code, password=password))


@dataclass(frozen=True, slots=True)
class ImportUser:
    """A user of another system, with its password hash.

    `password_hash` is in PHC or modular crypt format. Without one the user has no password until it is reset.
    `email_verified` is whether the e-mail address was verified there, or None if that is not known.
    """

    login: str
    email: str
    sub: str
    password_hash: str | None = field(default=None, repr=False)
    company: str | None = None
    scope: Any = UNSET
    metadata: Any = UNSET
    email_verified: bool | None = None


def import_users(
    users: Sequence[ImportUser | Mapping[str, Any]], *, unconfirmed: values.Unconfirmed, dry_run: bool
) -> Call[values.ImportReport]:
    """Import users, given as values or as rows of the HTTP API."""
    rows = [dict(user) if isinstance(user, Mapping) else _row(user) for user in users]
    other = None if unconfirmed == "disable" else unconfirmed
    path = _query("/users/import", dry_run="true" if dry_run else None, unconfirmed=other)
    return Call("POST", path, partial(_value, values.ImportReport), _given(users=rows))


def _row(user: ImportUser) -> Any:
    return json.loads(
        _given(
            login=user.login,
            email=user.email,
            sub=user.sub,
            password_hash=_or_unset(user.password_hash),
            company=_or_unset(user.company),
            scope=user.scope,
            metadata=user.metadata,
            email_verified=_or_unset(user.email_verified),
        )
    )


def export_users(*, hashes: bool) -> Call[None]:
    """Stream all users as NDJSON."""
    path = _query("/users/export", hashes="true" if hashes else None)
    return Call("GET", path, _nothing, accept=f"{_NDJSON}, {_JSON}", question=True)


class Lines:
    """Splits a stream of bytes at line feeds only: JSON may contain other line separators of Unicode."""

    def __init__(self) -> None:
        """Create an empty buffer."""
        self._rest = b""

    def feed(self, chunk: bytes) -> list[values.ExportedUser]:
        """Return the users of the lines that are complete."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [read(values.ExportedUser, _json(line)) for line in lines if line.strip()]

    def end(self) -> list[values.ExportedUser]:
        """Return the user of a last line without a line feed."""
        return self.feed(b"\n")


def list_sessions(login: str | UserId) -> Call[values.SessionList]:
    """List a user's open sessions."""
    path = f"{_place(login)}/sessions"
    return Call("GET", path, partial(_value, values.SessionList), question=True)


def end_session(login: str | UserId, session_id: str) -> Call[None]:
    """Revoke one session of a user."""
    path = f"{_place(login)}/sessions/{_segment('session_id', session_id)}"
    return Call("DELETE", path, _nothing)


def end_sessions(login: str | UserId, device_id: str | None = None) -> Call[None]:
    """Revoke a user's sessions, all or those of a device."""
    path = _query(f"{_place(login)}/sessions", device_id=device_id)
    return Call("DELETE", path, _nothing)


def end_everybody(*, own: bool) -> Call[None]:
    """Revoke all sessions of all users of the tenant."""
    return Call("DELETE", _query("/tenant/sessions", tenant="true" if own else None), _nothing)


def register_tenant(
    email: str, password: str, password_policy: Mapping[str, Any] | str | None
) -> Call[values.Registered]:
    """Register a tenant, with a policy for its users' passwords if one is given."""
    settings = UNSET if password_policy is None else {"passwordPolicy": _policy(password_policy)}
    body = _given(email=email, password=password, settings=settings)
    return Call("POST", "/tenant", partial(_value, values.Registered), body)


def login_tenant(email: str, password: str, known_token: str | None) -> Call[values.TenantToken]:
    """Open a session of a tenant."""
    body = _given(email=email, password=password, token=_or_unset(known_token))
    return Call("POST", "/tenant/login", partial(_value, values.TenantToken), body)


def verify_tenant(token: str) -> Call[values.TenantClaims | None]:
    """Verify a tenant token."""
    read_claims = partial(_decoded, values.TenantClaims)
    return Call("POST", "/tenant/verify", read_claims, _given(token=token), question=True, quick=True)


def logout_tenant(token: str) -> Call[bool]:
    """Revoke the session of a tenant token."""
    return Call("POST", "/tenant/logout", _ended, _given(token=token))


def get_tenant() -> Call[values.Tenant]:
    """Return the tenant."""
    return Call("GET", "/tenant", partial(_value, values.Tenant), question=True)


def choose(password_policy: Mapping[str, Any] | str | None, **settings: Any) -> Call[values.Tenant]:
    """Update settings of the tenant."""
    chosen = json.loads(_given(**settings))
    if password_policy is not None:
        chosen["passwordPolicy"] = _policy(password_policy)
    return Call("PATCH", "/tenant", partial(_value, values.Tenant), _given(settings=chosen))


def _policy(policy: Mapping[str, Any] | str) -> Any:
    return policy if isinstance(policy, str) else json.loads(_given(**policy))


def change_tenant_password(current: str, password: str) -> Call[None]:
    """Set a new password of the tenant."""
    return Call("POST", "/tenant/password", _nothing, _given(current=current, password=password))


def delete_tenant(password: str) -> Call[None]:
    """Delete the tenant and all its data."""
    return Call("DELETE", "/tenant", _nothing, _given(password=password))


def create_key(name: str, permissions: Sequence[str], expires_at: int | None) -> Call[values.NewKey]:
    """Create an API key."""
    body = _given(name=name, permissions=list(permissions), expires_at=_or_unset(expires_at))
    return Call("POST", "/tenant/key", partial(_value, values.NewKey), body)


def list_keys() -> Call[values.KeyList]:
    """List the tenant's API keys."""
    return Call("GET", "/tenant/key", partial(_value, values.KeyList), question=True)


def revoke_key(key_id: str) -> Call[None]:
    """Revoke an API key."""
    return Call("DELETE", f"/tenant/key/{_segment('key_id', key_id)}", _nothing)


def audit_page(cursor: str, limit: int) -> Call[values.EventPage]:
    """Return a page of audit events."""
    path = _query("/tenant/audit", cursor=cursor, limit=limit)
    return Call("GET", path, partial(_value, values.EventPage), question=True)
