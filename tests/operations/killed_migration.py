"""Carries a database into PostgreSQL again and again, killed before its first statement there, its second, and so on.

    python dying.py SOURCE.db postgresql://...

After each death the target has to be what it was before. Says how many deaths there were, in the end, when everything
has arrived.
"""

import asyncio
import functools
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import asyncpg

from doorward.operations.data_migration import copy_tables
from doorward.storage.postgres.address import Address
from doorward.storage.transfer.table_copy import TableChecksum, checksum
from doorward.storage.transfer.tables import TABLES, open_reader

STATEMENTS = ("execute", "executemany", "fetch", "fetchrow", "fetchval", "cursor")


def die_before(statements: int) -> None:
    """Let this process die by SIGKILL before its connections to PostgreSQL run that statement."""
    left = statements

    def counting(method: Any) -> Any:
        @functools.wraps(method)
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments, **options)

        return run

    for name in STATEMENTS:
        setattr(asyncpg.Connection, name, counting(getattr(asyncpg.Connection, name)))


async def sums(place: Path | Address) -> dict[str, TableChecksum]:
    """Return what tells whether every table is the same."""
    async with open_reader(place) as look:
        return {table: await checksum(look, table, lambda _: None) for table in TABLES}


def main() -> None:
    source, target = Path(sys.argv[1]), Address.read(sys.argv[2])
    before, wanted = asyncio.run(sums(target)), asyncio.run(sums(source))
    assert before != wanted
    for number in itertools.count(1):
        child = os.fork()
        if not child:
            die_before(number)
            asyncio.run(copy_tables(source, target, lambda _: None))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        found = asyncio.run(sums(target))
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            assert found == wanted
            sys.stdout.write(f"{number - 1}\n")
            return
        assert found == before, f"death {number} left something behind"


if __name__ == "__main__":
    main()
