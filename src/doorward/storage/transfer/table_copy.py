"""Copy of tables between databases, and checksums that compare them.

The checksum of a table does not depend on the order of its rows.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from doorward.storage.transfer.tables import Row, TableReader, TableWriter

Progress = Callable[[int], object]
"""Callback for progress: called with the number of rows of each batch."""

_BATCH = 500


class TableChecksum(NamedTuple):
    """Number of rows of a table, and the sum of their hashes."""

    rows: int = 0
    digest: int = 0

    def plus(self, columns: Sequence[str], row: Row) -> "TableChecksum":
        """Return the checksum with one more row."""
        text = msgspec.msgpack.encode(sorted(zip(columns, row, strict=True)))
        added = int.from_bytes(hashlib.sha256(text).digest())
        return TableChecksum(self.rows + 1, (self.digest + added) % (1 << 256))


async def copy_table(source: TableReader, target: TableWriter, table: str, progress: Progress) -> TableChecksum:
    """Copy every row of a table to `target`, which has none; return the checksum of the source."""
    columns = await source.columns(table)
    total = TableChecksum()
    batch: list[Row] = []
    async for row in source.rows(table):
        total = total.plus(columns, row)
        batch.append(row)
        if len(batch) == _BATCH:
            await target.add(table, columns, batch)
            progress(len(batch))
            batch = []
    if batch:
        await target.add(table, columns, batch)
        progress(len(batch))
    return total


async def checksum(reader: TableReader, table: str, progress: Progress) -> TableChecksum:
    """Return the checksum of a table."""
    columns = await reader.columns(table)
    total = TableChecksum()
    async for row in reader.rows(table):
        total = total.plus(columns, row)
        if total.rows % _BATCH == 0:
            progress(_BATCH)
    progress(total.rows % _BATCH)
    return total
