"""SQLite connections, and the errors of a file that cannot be opened or written."""

import hashlib
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from doorward.core.errors import CannotStart

BUSY_SECONDS = 5.0
"""Timeout of a writer that waits for the lock of another process."""


def connect(path: Path, *, busy: float, read_only: bool = False) -> sqlite3.Connection:
    """Return a connection with the pragmas of every connection. `busy` is the lock timeout in seconds."""
    connection = sqlite3.connect(path, timeout=busy, isolation_level=None, check_same_thread=False)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
        "mmap_size=268435456",
    ):
        connection.execute(f"PRAGMA {pragma}")
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    connection.create_function("chain_hash", 2, _chain_hash, deterministic=True)
    # Built in since SQLite 3.43.
    connection.create_function("octet_length", 1, _octet_length, deterministic=True)
    return connection


def open_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that changes no file and creates none."""
    logs = [Path(f"{path}-{name}") for name in ("wal", "journal")]
    # Without a write-ahead log to read, `immutable` keeps SQLite from creating one.
    mode = "mode=ro" if any(log.exists() and log.stat().st_size for log in logs) else "mode=ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?{mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _octet_length(text: str) -> int:
    return len(text.encode())


def _chain_hash(previous: str, entry: str) -> str:
    return hashlib.sha256(f"{previous}\n{entry}".encode()).hexdigest()


def is_full(path: Path, error: sqlite3.Error) -> bool:
    """Return whether the disk is full: SQLite reports it, or an I/O error while no block is free."""
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if kind == sqlite3.SQLITE_IOERR:
        with suppress(OSError):
            return not os.statvfs(path.parent).f_bavail
    return kind == sqlite3.SQLITE_FULL


def check_exists(path: Path) -> None:
    """Raise CannotStart if there is no database."""
    check_folder(path)
    if path.is_file() and path.stat().st_size:
        return
    raise CannotStart(
        f"{path.absolute().parent} has no database {path.name}: DATA_DIR or DATABASE_URL is wrong, or the installation "
        "is new; `doorward serve` and `doorward migrate` create the database."
    )


def check_folder(path: Path) -> None:
    """Raise CannotStart if the parent of the database is not a folder."""
    if path.parent.exists() and not path.parent.is_dir():
        raise CannotStart(f"DATA_DIR or DATABASE_URL: {path.absolute().parent} is not a folder.")


def cannot_write(path: Path, reason: object) -> CannotStart:
    """Return the error for a database that cannot be written."""
    return CannotStart(
        f"DATABASE_URL: the database {path} cannot be written ({reason}); its file and its folder have to be writable "
        "for the user that runs Doorward."
    )


def cannot_open(path: Path, error: Exception) -> CannotStart:
    """Return the error for a database that cannot be opened."""
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
        return cannot_write(path, error)
    if isinstance(error, sqlite3.Error) and is_full(path, error):
        return CannotStart(f"DATABASE_URL: the disk of the database {path} is full; make room on it.")
    reason = error.strerror if isinstance(error, OSError) else error
    return CannotStart(f"DATABASE_URL: the database {path} cannot be opened ({reason}).")
