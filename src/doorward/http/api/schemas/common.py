"""Schemas that several parts of the API share."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from doorward.http.api.fields import Token


class TokenRequest(msgspec.Struct):
    """A token to verify or to revoke."""

    NAME: ClassVar[str] = "TokenRequest"

    token: Token


class ResultResponse(msgspec.Struct):
    """The request succeeded."""

    NAME: ClassVar[str] = "ResultResponse"

    result: Annotated[int, Meta(description="Always 1.", extra_json_schema={"const": 1})] = 1


def schema_name(kind: type) -> str:
    """Return the published name of a schema.

    It is the class's own `NAME`, chosen so that renaming a class changes no API. TypeError for a class without one of
    its own; a subclass does not inherit it.
    """
    name = vars(kind).get("NAME")
    if not isinstance(name, str):
        raise TypeError(f"{kind.__name__} needs a NAME of its own: the name of its schema in the OpenAPI document.")
    return name
