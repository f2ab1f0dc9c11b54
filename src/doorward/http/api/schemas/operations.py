"""What operators are told."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta


class LivenessResponse(msgspec.Struct):
    """The process runs."""

    NAME: ClassVar[str] = "LivenessResponse"

    status: Annotated[str, Meta(description="Always live.", examples=["live"])] = "live"


class ReadinessResponse(msgspec.Struct):
    """Whether every store takes writes: "ok" or "away" for each."""

    NAME: ClassVar[str] = "ReadinessResponse"

    status: Annotated[
        str,
        Meta(
            description="Whether to send requests here.",
            examples=["ready"],
            extra_json_schema={"enum": ["ready", "unready"]},
        ),
    ]
    stores: Annotated[
        dict[str, str],
        Meta(
            description="Each store by name.",
            examples=[{"database": "ok"}],
            extra_json_schema={"additionalProperties": {"enum": ["ok", "away"]}},
        ),
    ]
