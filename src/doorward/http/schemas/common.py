"""What more than one noun takes or gives."""

import msgspec

from doorward.http.fields import Token


class TokenBody(msgspec.Struct):
    """A token to ask about, or to end."""

    token: Token


class Done(msgspec.Struct):
    """It is done."""

    result: int = 1
