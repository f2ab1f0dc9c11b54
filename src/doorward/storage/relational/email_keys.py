"""Index keys for users by e-mail address."""

from collections.abc import Iterable, Sequence
from typing import Any

from doorward.core.normalization import canonical

SINCE = 10
"""Schema version that added the keys."""

_LONGEST = 256


def email_key(address: str) -> str:
    """Return the key of an address: its canonical form, truncated to the size of an index entry.

    Different addresses may have the same key, so a reader compares the canonical forms too.
    """
    return canonical(address)[:_LONGEST]


def keys_by_id(rows: Iterable[Sequence[Any]]) -> list[tuple[str, str]]:
    """Return (key, id) for each row (id, address)."""
    return [(email_key(address), user_id) for user_id, address in rows]


def with_keys(
    table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """Return rows of a table; adds the keys to users of an older schema."""
    if table != "users" or "email_key" in columns:
        return columns, rows
    place = columns.index("email")
    return [*columns, "email_key"], [[*row, email_key(row[place])] for row in rows]
