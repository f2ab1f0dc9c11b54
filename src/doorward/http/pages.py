"""Lists in pages: `limit` and an opaque `cursor`."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from doorward.core.errors import FieldError, ValidationFailed
from doorward.core.users import LAST_CURSOR
from doorward.http.fields import LONGEST_PAGE, PAGE
from doorward.http.wire import Call

Place = TypeVar("Place")

_LONGEST_CURSOR = 2048


def page(
    call: Call, read: Callable[[str], Place | None], faults: Sequence[FieldError] = ()
) -> tuple[Place | None, int]:
    """Return where the page that is asked for begins, None for the first, and how long it may be.

    `read` understands a cursor, or returns None. ValidationFailed with `faults` and what is wrong with both.
    """
    found = list(faults)
    cursor = call.query.get("cursor", LAST_CURSOR)
    place = None
    if len(cursor) > _LONGEST_CURSOR:
        found.append(FieldError(["cursor"], "string.max", '"cursor" is too long', _LONGEST_CURSOR))
    elif cursor != LAST_CURSOR:
        place = read(cursor)
        if place is None:
            found.append(FieldError(["cursor"], "string.cursor", '"cursor" must be a cursor given by this list'))
    size = call.query.get("limit", str(PAGE))
    whole = size.isascii() and size.isdecimal() and len(size) <= len(str(LONGEST_PAGE))
    if not (whole and 1 <= int(size) <= LONGEST_PAGE):
        text = f'"limit" must be a whole number from 1 to {LONGEST_PAGE}'
        found.append(FieldError(["limit"], "number.range", text, LONGEST_PAGE))
    if found:
        raise ValidationFailed(found)
    return place, int(size)
