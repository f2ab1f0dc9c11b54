"""Schemas of API keys."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.core.model import Permission
from doorward.http.api.fields import KeyId, KeyName, Milliseconds, NextCursor
from doorward.http.validation import ChoiceRule, IntegerRule, ListRule


class CreateApiKeyRequest(msgspec.Struct):
    """An API key to create."""

    NAME: ClassVar[str] = "CreateApiKeyRequest"

    name: KeyName
    permissions: Annotated[
        list[Permission],
        ListRule(1, len(Permission), ChoiceRule(tuple(Permission))),
        Meta(
            min_length=1,
            max_length=len(Permission),
            description="The permissions of the key.",
            extra_json_schema={"examples": [["verify"]]},
        ),
    ]
    expiresAt: (
        Annotated[
            int,
            IntegerRule(0, 1 << 52),
            Meta(
                ge=0,
                le=1 << 52,
                description="Milliseconds since the Unix epoch, in the future; null: never.",
                examples=[4_102_444_800_000],
            ),
        ]
        | UnsetType
        | None
    ) = UNSET


class ApiKeyResponse(msgspec.Struct):
    """An API key, without its secret."""

    NAME: ClassVar[str] = "ApiKey"

    id: KeyId
    name: Annotated[str, Meta(description="The purpose of the key.", examples=["gateway"])]
    permissions: Annotated[
        list[str], Meta(description="The permissions of the key.", extra_json_schema={"examples": [["verify"]]})
    ]
    createdAt: Milliseconds
    expiresAt: Annotated[Milliseconds | None, Meta(description="null: never.")]
    lastUsed: Annotated[Milliseconds | None, Meta(description="Up to a minute behind; null: never.")]


class ApiKeyCreated(ApiKeyResponse):
    """A new API key. No other response contains its secret."""

    NAME: ClassVar[str] = "ApiKeyCreated"

    key: Annotated[
        str,
        Meta(
            description="The secret. Store it: no other response contains it.",
            examples=["dw_C50_DmpTTB6NDi9vTA96EUptMW43WmMwUXhXdjNiVGZZNXVLcEE..."],
        ),
    ] = ""


class ApiKeyPage(msgspec.Struct):
    """The tenant's API keys, oldest first."""

    NAME: ClassVar[str] = "ApiKeyPage"

    keys: Annotated[list[ApiKeyResponse], Meta(description="Oldest first.")]
    nextCursor: NextCursor = "0"
