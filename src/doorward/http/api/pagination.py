"""Pagination of lists: `limit` and an opaque `cursor`."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from doorward.core.errors import FieldError, ValidationFailed
from doorward.core.users.cursor import LAST_CURSOR
from doorward.http.api.fields import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from doorward.http.request import Request

Place = TypeVar("Place")

_LONGEST_CURSOR = 2048


def read_page(
    request: Request, read: Callable[[str], Place | None], faults: Sequence[FieldError] = ()
) -> tuple[Place | None, int]:
    """Return the position of the requested page, None for the first, and its size.

    `read` decodes a cursor, or returns None. Raises ValidationFailed with `faults` and the errors of both parameters.
    """
    found = list(faults)
    cursor = request.query.get("cursor", LAST_CURSOR)
    place = None
    if len(cursor) > _LONGEST_CURSOR:
        found.append(FieldError(["cursor"], "string.max", '"cursor" is too long', _LONGEST_CURSOR))
    elif cursor != LAST_CURSOR:
        place = read(cursor)
        if place is None:
            found.append(FieldError(["cursor"], "string.cursor", '"cursor" must be a cursor given by this list'))
    size = request.query.get("limit", str(DEFAULT_PAGE_SIZE))
    whole = size.isascii() and size.isdecimal() and len(size) <= len(str(MAX_PAGE_SIZE))
    if not (whole and 1 <= int(size) <= MAX_PAGE_SIZE):
        text = f'"limit" must be a whole number from 1 to {MAX_PAGE_SIZE}'
        found.append(FieldError(["limit"], "number.range", text, MAX_PAGE_SIZE))
    if found:
        raise ValidationFailed(found)
    return place, int(size)
