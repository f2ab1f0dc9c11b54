"""Cursors of user lists: the position after a page, as base64url."""

import base64
from binascii import Error as NotBase64

LAST_CURSOR = "0"
"""The cursor after the last page; as the first one it starts a list, as with the predecessor."""


def encode_cursor(last: str) -> str:
    """Return the cursor of the page after the canonical login `last`."""
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str | None:
    """Return the position of a cursor, None where it is not one of this service."""
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        after = raw.decode()
    except (NotBase64, ValueError):
        return None
    # No login contains a NUL, and not every database can compare with one.
    return after if after and "\0" not in after and encode_cursor(after) == cursor else None
