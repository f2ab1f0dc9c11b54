"""Schemas of the audit log."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.http.api.fields import Milliseconds, NextCursor


class AuditEventResponse(msgspec.Struct):
    """An audit event. `subject` is the id of a user or key, `session` a fingerprint of a session id."""

    NAME: ClassVar[str] = "AuditEvent"

    at: Milliseconds
    action: Annotated[str, Meta(description="The action.", examples=["user.login"])]
    outcome: Annotated[str, Meta(extra_json_schema={"enum": ["success", "failure"]}, description="The outcome.")]
    actor: Annotated[
        str, Meta(description="`tenant`, `key:` and its id, `operator`, or `anybody`.", examples=["tenant"])
    ]
    subject: Annotated[
        str | UnsetType,
        Meta(
            description="The id of the affected user, key or tenant.", examples=["7d4f5c3a-8a0e-4f2b-9b7a-52e6c1d0a9f4"]
        ),
    ] = UNSET
    session: Annotated[
        str | UnsetType, Meta(description="The fingerprint of the session.", examples=["3c59dc048e885024"])
    ] = UNSET
    ip: Annotated[str | UnsetType, Meta(description="The address of the client.", examples=["192.0.2.1"])] = UNSET
    requestId: Annotated[
        str | UnsetType, Meta(description="`X-Request-Id` of the response.", examples=["5f2c9a1e-1"])
    ] = UNSET
    reason: Annotated[str | UnsetType, Meta(description="The reason of a failure.", examples=["password"])] = UNSET
    detail: Annotated[
        str | UnsetType,
        Meta(description="`hash`: the request had a password hash instead of a password.", examples=["hash"]),
    ] = UNSET


class AuditEventPage(msgspec.Struct):
    """Events of the tenant, newest first, and the cursor of the next page; "0" on the last."""

    NAME: ClassVar[str] = "AuditEventPage"

    events: Annotated[list[AuditEventResponse], Meta(description="Newest first.")]
    nextCursor: NextCursor
