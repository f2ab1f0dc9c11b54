"""Schemas of health checks."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta


class LivenessResponse(msgspec.Struct):
    """The process runs."""

    NAME: ClassVar[str] = "LivenessResponse"

    status: Annotated[str, Meta(description="Always live.", examples=["live"])] = "live"


class ReadinessResponse(msgspec.Struct):
    """The state of every store: "ok" if it takes writes, else "away"."""

    NAME: ClassVar[str] = "ReadinessResponse"

    status: Annotated[
        str,
        Meta(
            description="`ready` or `unready`.",
            examples=["ready"],
            extra_json_schema={"enum": ["ready", "unready"]},
        ),
    ]
    stores: Annotated[
        dict[str, str],
        Meta(
            description="The state of each store by name.",
            examples=[{"database": "ok"}],
            extra_json_schema={"additionalProperties": {"enum": ["ok", "away"]}},
        ),
    ]
