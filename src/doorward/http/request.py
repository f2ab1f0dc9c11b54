"""Requests, as handlers see them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from doorward.core.errors import FieldError, TokenMissing, ValidationFailed
from doorward.core.model import Caller, Permission, Session, SessionKind
from doorward.core.users.lookup import UserRef
from doorward.http.api.schemas import TokenRequest
from doorward.http.client_address import ClientAddress, Proxies
from doorward.http.headers import bearer_credential
from doorward.http.json_body import parse, parse_list
from doorward.http.validation import validate

Schema = TypeVar("Schema", bound=msgspec.Struct)
Item = TypeVar("Item")

# The only body that a question needs, as nearly everybody spells it; what does not look like this is read the long way.
_TOKEN_BODY, _TOKEN_BODY_SPACED, _TOKEN_BODY_END = b'{"token":"', b'{"token": "', b'"}'
_TOKEN_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


def token_of_plain_body(body: bytes) -> bytes | None:
    """Return the token of a body that is spelled as nearly every client does, None for every other body."""
    # Twice as fast as a pattern, and this is half a microsecond of every verification.
    if not body.endswith(_TOKEN_BODY_END):
        return None
    if body.startswith(_TOKEN_BODY):
        token = body[len(_TOKEN_BODY) : -2]
    elif body.startswith(_TOKEN_BODY_SPACED):
        token = body[len(_TOKEN_BODY_SPACED) : -2]
    else:
        return None
    return None if token.translate(None, _TOKEN_CHARACTERS) else token


@dataclass(slots=True)
class Request:
    """One request, read: what a handler is given.

    `peer` is the socket's address; `needs` the permission an API key has to have for it, None where no key will do.
    `tenant_id` is the tenant that it has proven to come from, once it has. `maintained`: it came over the maintenance
    listener, from somebody whose certificate was accepted. `outcome` is what the answer amounts to for whoever counts,
    where its status does not say it.
    """

    headers: Mapping[bytes, bytes]
    body: bytes
    peer: str
    proxies: Proxies
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    required_permission: Permission | None = None
    request_id: str = ""
    is_maintenance: bool = False
    tenant_id: str = ""
    outcome: str = ""

    @property
    def credential(self) -> bytes | None:
        """The bearer credential, not yet believed."""
        return bearer_credential(self.headers.get(b"authorization"))

    @property
    def user_ref(self) -> UserRef:
        """The user that the path names, by login or by id."""
        return UserRef(id=self.path["userId"]) if "userId" in self.path else UserRef(self.path["login"])

    @property
    def client_address(self) -> ClientAddress:
        """The client's address, determined when it is needed: verification does without."""
        return self.proxies.client(self.peer, self.headers)

    @property
    def address(self) -> str:
        """The client's address, for logs and audit entries."""
        return self.client_address.text

    def caller_for(self, session: Session | None = None) -> Caller:
        """Return who asks, for the audit log: the tenant, or the key, behind `session`."""
        if session is None:
            return Caller("", "anybody", self.address, self.request_id)
        self.tenant_id = session.tenant_id
        actor = f"key:{session.id}" if session.kind == SessionKind.KEY else "tenant"
        return Caller(session.tenant_id, actor, self.address, self.request_id)

    def token(self) -> bytes:
        """Return the token in the body; MalformedJson, TokenMissing or ValidationFailed where there is none."""
        token = token_of_plain_body(self.body)
        if token:
            return token
        fields = parse(self.body)
        try:
            # A text that UTF-8 cannot hold is no token either.
            return validate(fields, TokenRequest).token.encode(errors="replace")
        except ValidationFailed as refusal:
            if isinstance(fields, dict) and not fields.get("token"):
                raise TokenMissing(refusal.field_errors) from None
            raise

    def flag(self, name: str) -> bool:
        """Return a query parameter that is true or false, and false where it is absent; ValidationFailed for others."""
        value = self.query.get(name, "false")
        if value not in {"true", "false"}:
            raise ValidationFailed([FieldError([name], "boolean.base", f'"{name}" must be true or false')])
        return value == "true"

    def choice(self, name: str, options: tuple[str, ...], default: str) -> str:
        """Return a query parameter that is one of the options, `default` where it is absent; ValidationFailed."""
        value = self.query.get(name, default)
        if value not in options:
            raise ValidationFailed([FieldError([name], "any.only", f'"{name}" must be one of {", ".join(options)}')])
        return value

    def read_body(self, schema: type[Schema]) -> Schema:
        """Return the body as a `schema`; MalformedJson, or ValidationFailed with all that is wrong."""
        return validate(parse(self.body), schema)

    async def read_list(self, schema: type[msgspec.Struct], take: Callable[[Any], Item]) -> list[Item]:
        """Return what `take` makes of each item of the one list in a body that may be large: see `body.parse_list`."""
        return await parse_list(self.body, schema, take)
