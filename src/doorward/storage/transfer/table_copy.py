"""Tables carried from one database to another, and the proof that they arrived.

A table's checksum does not depend on the order in which its rows are read.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from doorward.storage.transfer.tables import Row, TableReader, TableWriter

Step = Callable[[int], object]
"""Who is told how far something is: with the size of each step."""

_BATCH = 500


class TableChecksum(NamedTuple):
    """What tells whether a table's rows are the same: how many, and the sum of their hashes."""

    rows: int = 0
    digest: int = 0

    def plus(self, columns: Sequence[str], row: Row) -> "TableChecksum":
        """Return the sum with one more row."""
        text = msgspec.msgpack.encode(sorted(zip(columns, row, strict=True)))
        added = int.from_bytes(hashlib.sha256(text).digest())
        return TableChecksum(self.rows + 1, (self.digest + added) % (1 << 256))


async def copy_table(source: TableReader, target: TableWriter, table: str, step: Step) -> TableChecksum:
    """Add every row of a table to the target, which has none; return what was read. `step` is told of each batch."""
    columns = await source.columns(table)
    total = TableChecksum()
    batch: list[Row] = []
    async for row in source.rows(table):
        total = total.plus(columns, row)
        batch.append(row)
        if len(batch) == _BATCH:
            await target.add(table, columns, batch)
            step(len(batch))
            batch = []
    if batch:
        await target.add(table, columns, batch)
        step(len(batch))
    return total


async def checksum(look: TableReader, table: str, step: Step) -> TableChecksum:
    """Return the sum of a table. `step` is told of each batch."""
    columns = await look.columns(table)
    total = TableChecksum()
    async for row in look.rows(table):
        total = total.plus(columns, row)
        if total.rows % _BATCH == 0:
            step(_BATCH)
    step(total.rows % _BATCH)
    return total
