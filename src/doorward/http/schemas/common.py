"""What more than one noun takes or gives."""

from typing import Annotated

import msgspec
from msgspec import Meta

from doorward.http.fields import Token


class TokenRequest(msgspec.Struct):
    """A token to ask about, or to end."""

    token: Token


class ResultResponse(msgspec.Struct):
    """It is done."""

    result: Annotated[int, Meta(description="Always 1.", extra_json_schema={"const": 1})] = 1
