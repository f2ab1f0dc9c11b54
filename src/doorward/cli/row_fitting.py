"""Removes invalid parts of imported rows, as chosen by `--without-unfit` and `--metadata`."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from doorward.core.errors import ValidationFailed
from doorward.core.passwords import formats
from doorward.core.passwords.formats import STANDARD, HashLimits, UnsupportedHash
from doorward.core.users.transfer import RejectedRow, UserRow
from doorward.http.api.fields import SCOPE_DEPTH
from doorward.http.api.schemas import ImportUser
from doorward.http.api.user_rows import read_row
from doorward.http.validation import validate

_OPTIONAL = ("passwordHash", "company", "scope", "metadata")
"""Fields that may be left out of a user without letting a login succeed that should fail."""

NOT_WANTED = "not_wanted"
"""Code of parts that `--metadata none` leaves out."""

_VALID_ROW = {"login": "a", "email": "a@example.org", "sub": "a"}


class Part(NamedTuple):
    """A part of a row that was left out: the path of its names, and the code of the reason."""

    name: str
    code: str


class RowFitter(NamedTuple):
    """Treatment of rows with invalid parts.

    `metadata` is "all", "fit" (leave out the values that make it too large or too deep), or "none". `bounds` are the
    limits of hash costs.
    """

    without_error: bool = False
    metadata: str = "all"
    bounds: HashLimits = STANDARD

    def read(self, row: Any) -> tuple[UserRow | RejectedRow, list[Part]]:
        """Return the user of a row, or its rejection, and the parts that were left out."""
        parts: list[Part] = []
        if isinstance(row, dict):
            row = dict(row)
            if self.metadata == "none" and row.pop("metadata", None) is not None:
                parts.append(Part("metadata", NOT_WANTED))
            if self.metadata == "fit" and isinstance(row.get("metadata"), dict):
                row["metadata"], dropped = _shrink(row["metadata"])
                parts += [Part(".".join(("metadata", *path)), "too_large") for path in dropped]
            if self.without_error:
                parts += self._drop_unfit(row)
        return read_row(row), parts

    def _drop_unfit(self, row: dict[str, Any]) -> list[Part]:
        parts: list[Part] = []
        try:
            validate(row, ImportUser)
        except ValidationFailed as error:
            names = {str(fault.path[0]) for fault in error.field_errors if fault.path}
            if not names.issubset(_OPTIONAL):
                # The row is rejected in any case.
                return []
            parts = [Part(name, error.code) for name in _OPTIONAL if name in names]
        password_hash = row.get("passwordHash")
        if isinstance(password_hash, str) and password_hash and not any(part.name == "passwordHash" for part in parts):
            try:
                formats.parse_hash(password_hash, self.bounds)
            except UnsupportedHash as error:
                parts.append(Part("passwordHash", error.code))
        for part in parts:
            del row[part.name]
        return parts


def _shrink(metadata: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """Return metadata without as few of its largest or deepest values as make it valid, and their paths."""
    metadata, dropped = dict(metadata), []
    while metadata and not _fits(metadata):
        dropped.append(_drop_one(metadata, _fits, SCOPE_DEPTH))
    return metadata, dropped


def _drop_one(value: dict[str, Any], fits: Callable[[Any], bool], levels: int) -> tuple[str, ...]:
    """Remove the first value that does not fit alone, else the largest, and return its path.

    Of an object, only one of its values is removed, except below `levels`, where it is removed as a whole. Objects
    inside `value` are replaced by copies, not changed.
    """
    alone = (key for key in value if not fits({key: value[key]}))
    key = next(alone, None) or max(value, key=lambda key: len(json.dumps(value[key])))
    child = value[key]
    if levels and isinstance(child, dict) and len(child) > 1:
        value[key] = part = dict(child)
        return key, *_drop_one(part, lambda part: fits({key: part}), levels - 1)
    del value[key]
    return (key,)


def _fits(metadata: Any) -> bool:
    try:
        validate({**_VALID_ROW, "metadata": metadata}, ImportUser)
    except ValidationFailed:
        return False
    return True
