"""SQLite schema: creation and migration of the file, and its version."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic, sleep

from doorward.core.errors import CannotStart
from doorward.storage.relational import email_keys
from doorward.storage.relational.statements import load_migrations
from doorward.storage.sqlite.file import (
    BUSY_SECONDS,
    cannot_open,
    cannot_write,
    check_exists,
    check_folder,
    connect,
    open_read_only,
)

WORDS = {"BYTES": "BLOB", "BINARY": "COLLATE BINARY", "CLUSTERED": "WITHOUT ROWID"}
"""Words of the migrations that differ between databases."""

_MIN_VERSION = (3, 35)
_RETRY_SECONDS = 0.02


def migrate(path: Path, *, create: bool = True) -> int:
    """Migrate the file to the newest schema, each migration in one transaction; return the version.

    Several processes may start at once: one migrates, the others wait.

    Raises:
        CannotStart: The schema is newer than this program (nothing is changed), the file cannot be written, or it does
            not exist and `create` is False.
    """
    check_folder(path)
    if sqlite3.sqlite_version_info < _MIN_VERSION:
        raise CannotStart(f"SQLite {sqlite3.sqlite_version} is too old, 3.35 or newer is required.")
    if not create:
        check_exists(path)
    migrations = load_migrations("sqlite", WORDS)
    newest = migrations[-1].version
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_permissions(path)
        connection = _connect_first(path, newest)
    except (OSError, sqlite3.Error) as error:
        raise cannot_open(path, error) from error
    try:
        _check_not_newer(path, connection, newest)
        for migration in migrations:
            connection.execute("BEGIN IMMEDIATE")
            if _version(connection) < migration.version:
                for statement in migration.statements:
                    connection.execute(statement)
                if migration.version == email_keys.SINCE:
                    _add_email_keys(connection)
                connection.execute(f"PRAGMA user_version={migration.version}")
            connection.execute("COMMIT")
        _check_writable(connection, newest)
    except sqlite3.Error as error:
        raise cannot_open(path, error) from error
    finally:
        connection.close()
    return newest


def _add_email_keys(connection: sqlite3.Connection) -> None:
    """Add the keys of addresses whose canonical form SQL cannot compute."""
    rows = connection.execute("SELECT id, email FROM users WHERE length(CAST(email AS BLOB)) <> length(email)")
    keys = email_keys.keys_by_id(rows.fetchall())
    connection.executemany("UPDATE users SET email_key = ? WHERE id = ?", keys)


def version_of(path: Path) -> int:
    """Return the version of the file's schema, read-only; CannotStart where it cannot be read."""
    check_exists(path)
    try:
        with closing(open_read_only(path)) as connection:
            return _version(connection)
    except sqlite3.Error as error:
        raise cannot_open(path, error) from error


def newest_version() -> int:
    """Return the newest schema version of this program."""
    return load_migrations("sqlite", WORDS)[-1].version


def _check_permissions(path: Path) -> None:
    # SQLite's error names neither the folder nor the file, nor says that waiting does not help.
    for entry in (path.parent, path):
        if entry.exists() and not os.access(entry, os.W_OK, effective_ids=True):
            raise cannot_write(path, f"{entry} is read-only")


def _check_writable(connection: sqlite3.Connection, version: int) -> None:
    # A read-only file can be opened, and even locked.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version={version}")
    connection.execute("ROLLBACK")


def _check_not_newer(path: Path, connection: sqlite3.Connection, newest: int) -> None:
    version = _version(connection)
    if version > newest:
        raise CannotStart(
            f"The database {path} has schema version {version}, this program knows only up to {newest}: "
            "start a newer program, or restore a backup made by this one."
        )


def _check_version_first(path: Path, newest: int) -> None:
    # A connection that can write changes the file by opening and closing it.
    if not path.exists():
        return
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as connection:
        try:
            _check_not_newer(path, connection, newest)
        except sqlite3.OperationalError as error:
            # A process killed while creating the file leaves a journal; its rollback needs a connection that can write.
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise


def _connect_first(path: Path, newest: int) -> sqlite3.Connection:
    # Switching a new file to WAL needs an exclusive lock, for which SQLite does not wait.
    deadline = monotonic() + BUSY_SECONDS
    while True:
        try:
            _check_version_first(path, newest)
            # SQLite would create it with the mode of the process's umask.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            return connect(path, busy=BUSY_SECONDS)
        except sqlite3.OperationalError:
            if monotonic() > deadline:
                raise
            sleep(_RETRY_SECONDS)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
