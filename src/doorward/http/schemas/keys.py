"""An API key: made, listed."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from doorward.core.model import Permission
from doorward.http.fields import Line, Milliseconds
from doorward.http.validation import Items, OneOf, Whole


class NewKeyBody(msgspec.Struct):
    """A machine credential to be."""

    name: Line
    permissions: Annotated[
        list[Permission],
        Items(1, len(Permission), OneOf(tuple(Permission))),
        Meta(min_length=1, max_length=len(Permission)),
    ]
    expiresAt: Annotated[int, Whole(0, 1 << 52)] | UnsetType | None = UNSET  # noqa: N815 - the published name


class KeyShown(msgspec.Struct):
    """An API key, without the key."""

    id: str
    name: str
    permissions: list[str]
    createdAt: Milliseconds  # noqa: N815 - the published name
    expiresAt: Milliseconds | None  # noqa: N815 - the published name
    lastUsed: Milliseconds | None  # noqa: N815 - the published name


class KeyMade(KeyShown):
    """A new API key. The key itself is shown this once."""

    key: Annotated[str, Meta(description="Keep it; nobody can show it again.")] = ""


class KeysShown(msgspec.Struct):
    """The tenant's API keys, oldest first."""

    keys: list[KeyShown]
    nextCursor: str = "0"  # noqa: N815 - the published name
