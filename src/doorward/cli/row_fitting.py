"""Parts of a row that are left out so that its user can be imported: `--without-unfit` and `--metadata`."""

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
"""Fields that may be left out of a user: without them no login succeeds that should fail."""

NOT_WANTED = "not_wanted"
"""Code of what `--metadata none` leaves out."""

_WHOLE = {"login": "a", "email": "a@example.org", "sub": "a"}


class Part(NamedTuple):
    """A part of a row that was left out, as a path of names, and the code of the reason."""

    name: str
    code: str


class RowFitter(NamedTuple):
    """Treatment of rows with parts that cannot be kept.

    `metadata` is "all", "fit" (leave out what makes it too large or too deep), or "none". `bounds` are those of the
    cost of hashes.
    """

    without_unfit: bool = False
    metadata: str = "all"
    bounds: HashLimits = STANDARD

    def read(self, row: Any) -> tuple[UserRow | RejectedRow, list[Part]]:
        """Return what a row says of a user, and the parts of it that were left out."""
        parts: list[Part] = []
        if isinstance(row, dict):
            row = dict(row)
            if self.metadata == "none" and row.pop("metadata", None) is not None:
                parts.append(Part("metadata", NOT_WANTED))
            if self.metadata == "fit" and isinstance(row.get("metadata"), dict):
                row["metadata"], dropped = _shrink(row["metadata"])
                parts += [Part(".".join(("metadata", *path)), "too_large") for path in dropped]
            if self.without_unfit:
                parts += self._drop_unfit(row)
        return read_row(row), parts

    def _drop_unfit(self, row: dict[str, Any]) -> list[Part]:
        parts: list[Part] = []
        try:
            validate(row, ImportUser)
        except ValidationFailed as refusal:
            names = {str(fault.path[0]) for fault in refusal.field_errors if fault.path}
            if not names.issubset(_OPTIONAL):
                # The row is refused in any case, as it is.
                return []
            parts = [Part(name, refusal.code) for name in _OPTIONAL if name in names]
        secret = row.get("passwordHash")
        if isinstance(secret, str) and secret and not any(part.name == "passwordHash" for part in parts):
            try:
                formats.parse_hash(secret, self.bounds)
            except UnsupportedHash as unfit:
                parts.append(Part("passwordHash", unfit.code))
        for part in parts:
            del row[part.name]
        return parts


def _shrink(metadata: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """Return metadata without the largest or deepest values, as few as it takes to be kept, and their paths."""
    metadata, dropped = dict(metadata), []
    while metadata and not _fits(metadata):
        dropped.append(_drop_one(metadata, _fits, SCOPE_DEPTH))
    return metadata, dropped


def _drop_one(value: dict[str, Any], fits: Callable[[Any], bool], levels: int) -> tuple[str, ...]:
    """Remove the first value that does not fit alone, else the largest; of an object only a part. Return its path.

    Objects inside `value` are replaced and not changed. An object more than so many `levels` deep goes as a whole.
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
        validate({**_WHOLE, "metadata": metadata}, ImportUser)
    except ValidationFailed:
        return False
    return True
