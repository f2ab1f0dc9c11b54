"""Migrates a copy of a database again and again, killed before its first statement, its second, and so on to the end.

    python dying.py FOLDER [START.db]

leaves FOLDER/1/doorward.db, FOLDER/2/doorward.db, ... as each death left them, and says how many there were.
"""

import itertools
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

from doorward.storage.sqlite import schema
from doorward.storage.sqlite.file import connect


def migrate_and_die(path: Path, statements: int) -> None:
    """Migrate, but die by SIGKILL when that many statements have begun."""
    left = statements

    def count(_statement: str) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(path: Path, *, busy: float, read_only: bool = False) -> sqlite3.Connection:
        connection = connect(path, busy=busy, read_only=read_only)
        connection.set_trace_callback(count)
        return connection

    schema.connect = watched  # type: ignore[attr-defined]
    schema.migrate(path)


def main() -> None:
    folder = Path(sys.argv[1])
    for number in itertools.count(1):
        path = folder / str(number) / "doorward.db"
        path.parent.mkdir()
        if len(sys.argv) > 2:
            shutil.copy(sys.argv[2], path)
        child = os.fork()
        if not child:
            migrate_and_die(path, number)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
