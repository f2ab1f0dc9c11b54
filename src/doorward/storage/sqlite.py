"""The embedded database: one file, shared by every worker of one machine.

Reads by key run where they are asked, in a few microseconds, on a connection that can only read. Long reads have a
thread of their own. Writes go through one thread per process that gathers what is waiting into one transaction, so one
fsync serves many callers. The file has to lie on a local disk (SQLite's locks do not hold on network file systems).
"""

import asyncio
import hashlib
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from doorward.core.errors import CannotStart, StoreUnavailable
from doorward.storage.full_store import DATABASE_DISK, FullStoreReporter
from doorward.storage.relational import email_keys
from doorward.storage.relational.database import Row, Step
from doorward.storage.relational.long_queries import LARGE, LongWorkQueue
from doorward.storage.relational.statements import fill_list, load_migrations, load_statements

log = logging.getLogger(__name__)

WORDS = {"BYTES": "BLOB", "BINARY": "COLLATE BINARY", "CLUSTERED": "WITHOUT ROWID"}
_BUSY_SECONDS = 5.0
_READ_BUSY_SECONDS = 1.0
_MAX_BATCH = 64
_MIN_VERSION = (3, 35)

_Job = tuple[tuple[Step, ...], asyncio.AbstractEventLoop, "asyncio.Future[list[list[Row]]]"]


def connect(path: Path, *, busy: float, read_only: bool = False) -> sqlite3.Connection:
    """Return a connection with the settings every connection has. `busy` is in seconds."""
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
    # SQLite has it since version 3.43.
    connection.create_function("octet_length", 1, _octet_length, deterministic=True)
    return connection


def _octet_length(text: str) -> int:
    return len(text.encode())


def _chain_hash(previous: str, entry: str) -> str:
    return hashlib.sha256(f"{previous}\n{entry}".encode()).hexdigest()


class SqliteDatabase:
    """Runs statements on one SQLite file. `faults` counts the look-ups that it refused."""

    _reader: sqlite3.Connection
    _lookup_cursor: sqlite3.Cursor
    _scanner: sqlite3.Connection
    _writer: sqlite3.Connection

    def __init__(self, path: Path) -> None:
        """Name the file; `open` opens it."""
        self._path = path
        self.faults = 0
        self._full = FullStoreReporter(DATABASE_DISK)
        self._statements = load_statements("?")
        self._lists: dict[tuple[str, int], str] = {}
        self._scan_pool = ThreadPoolExecutor(1, thread_name_prefix="sqlite-scan")
        self._scans = LongWorkQueue(1)
        self._large_writes = LongWorkQueue(1)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_forever, name="sqlite-write", daemon=True)

    async def open(self) -> None:
        """See `Database.open`."""
        migrate(self._path)
        try:
            self._reader = connect(self._path, busy=_READ_BUSY_SECONDS, read_only=True)
            self._scanner = connect(self._path, busy=_READ_BUSY_SECONDS, read_only=True)
            self._writer = connect(self._path, busy=_BUSY_SECONDS)
        except sqlite3.Error as error:
            raise _cannot_open(self._path, error) from error
        self._lookup_cursor = self._reader.cursor()
        self._thread.start()

    async def read(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """See `Database.read`."""
        return self._fetch(self._reader, statement, values)

    async def look_up(self, statement: str, keys: Sequence[str]) -> list[Row]:
        """See `Database.look_up`."""
        sql = self._lists.get((statement, len(keys)))
        if sql is None:
            sql = self._lists[statement, len(keys)] = fill_list(self._statements[statement], len(keys))
        try:
            return self._lookup_cursor.execute(sql, keys).fetchall()
        except sqlite3.OperationalError as error:
            self.faults += 1
            log.exception("the database refused a read")
            raise _unavailable(error) from error

    async def scan(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """See `Database.scan`."""
        loop = asyncio.get_running_loop()
        fetch = partial(loop.run_in_executor, self._scan_pool, self._fetch, self._scanner, statement, values)
        return await self._scans.scan(values, fetch)

    def _fetch(self, connection: sqlite3.Connection, statement: str, values: Mapping[str, object]) -> list[Row]:
        sql, parameters = self._statements[statement]
        try:
            return connection.execute(sql, [values[name] for name in parameters]).fetchall()
        except sqlite3.OperationalError as error:
            log.exception("the database refused a read")
            raise _unavailable(error) from error

    async def write(self, *steps: Step) -> list[list[Row]]:
        """See `Database.write`."""
        if len(steps) < LARGE:
            return await self._submit(steps)
        return await self._large_writes.write(steps, partial(self._submit, steps))

    def _submit(self, steps: tuple[Step, ...]) -> "asyncio.Future[list[list[Row]]]":
        """Queue steps for the writer thread; return their results to come."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[list[Row]]] = loop.create_future()
        self._jobs.put((steps, loop, done))
        return done

    async def close(self) -> None:
        """See `Database.close`."""
        self._jobs.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self._scan_pool.shutdown()
        for connection in (self._reader, self._scanner, self._writer):
            connection.close()

    def _write_forever(self) -> None:
        stop = False
        while not stop:
            jobs = [self._jobs.get()]
            while len(jobs) < _MAX_BATCH:
                try:
                    jobs.append(self._jobs.get_nowait())
                except queue.Empty:
                    break
            stop = None in jobs
            self._write_together([job for job in jobs if job is not None])

    def _write_together(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        results: list[list[list[Row]] | Exception] = []
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for steps, _, _ in jobs:
                results.append(self._run(steps))
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            results = [self._write_error(error)] * len(jobs)
            self._roll_back()
        for (_, loop, done), result in zip(jobs, results, strict=True):
            try:
                loop.call_soon_threadsafe(_deliver, done, result)
            except RuntimeError:  # the loop is closed: nobody waits for the answer any more
                continue

    def _run(self, steps: tuple[Step, ...]) -> list[list[Row]] | Exception:
        execute = self._writer.execute
        execute("SAVEPOINT job")
        results: list[list[Row]] = []
        try:
            for name, values, vital in steps:
                sql, parameters = self._statements[name]
                rows = execute(sql, [values[parameter] for parameter in parameters]).fetchall()
                results.append(rows)
                if vital and not rows:
                    execute("ROLLBACK TO job")
                    break
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - it is the caller's, and must not take the other jobs along
            execute("ROLLBACK TO job")
            execute("RELEASE job")
            return error
        execute("RELEASE job")
        return results

    def _write_error(self, error: sqlite3.Error) -> StoreUnavailable:
        if not _is_full(self._path, error):
            log.error("the database refused a write", exc_info=error)
            return _unavailable(error)
        refusal = self._full.refusal()
        refusal.__cause__ = error
        return refusal

    def _roll_back(self) -> None:
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            log.exception("the database refused to roll back")


class ReadOnlySqliteDatabase(SqliteDatabase):
    """Runs statements that read, and touches neither the file nor its folder."""

    async def open(self) -> None:
        """See `Database.open`."""
        try:
            self._reader, self._scanner = open_read_only(self._path), open_read_only(self._path)
        except sqlite3.Error as error:
            raise _cannot_open(self._path, error) from error
        self._lookup_cursor = self._reader.cursor()

    async def write(self, *_: Step) -> list[list[Row]]:
        """Refuse, as a database that cannot be written does."""
        raise StoreUnavailable(retry_after=1)

    async def close(self) -> None:
        """See `Database.close`."""
        self._scan_pool.shutdown()
        self._reader.close()
        self._scanner.close()


def _deliver(done: "asyncio.Future[list[list[Row]]]", result: list[list[Row]] | Exception) -> None:
    if done.cancelled():
        return
    if isinstance(result, Exception):
        done.set_exception(result)
    else:
        done.set_result(result)


def _unavailable(cause: Exception) -> StoreUnavailable:
    refusal = StoreUnavailable(retry_after=1)
    refusal.__cause__ = cause
    return refusal


def _is_full(path: Path, error: sqlite3.Error) -> bool:
    """Return whether the disk has no room: SQLite says so, or fails to write while no block is free."""
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if kind == sqlite3.SQLITE_IOERR:
        with suppress(OSError):
            return not os.statvfs(path.parent).f_bavail
    return kind == sqlite3.SQLITE_FULL


def migrate(path: Path, *, create: bool = True) -> int:
    """Bring the file to the newest schema, each step in one transaction; return the version it has now.

    Safe when several processes start at once: one migrates, the others wait and find the work done. CannotStart where
    the file is newer than this program, and nothing is touched; where it cannot be written; and, unless it may be
    created, where there is none.
    """
    _check_folder(path)
    if sqlite3.sqlite_version_info < _MIN_VERSION:
        raise CannotStart(f"SQLite {sqlite3.sqlite_version} is too old, 3.35 or newer is needed.")
    if not create:
        _check_exists(path)
    migrations = load_migrations("sqlite", WORDS)
    newest = migrations[-1].version
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_permissions(path)
        connection = _connect_first(path, newest)
    except (OSError, sqlite3.Error) as error:
        raise _cannot_open(path, error) from error
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
        raise _cannot_open(path, error) from error
    finally:
        connection.close()
    return newest


def _add_email_keys(connection: sqlite3.Connection) -> None:
    """Add the keys of addresses whose canonical form the database cannot tell."""
    rows = connection.execute("SELECT id, email FROM users WHERE length(CAST(email AS BLOB)) <> length(email)")
    keys = email_keys.keys_by_id(rows.fetchall())
    connection.executemany("UPDATE users SET email_key = ? WHERE id = ?", keys)


def version_of(path: Path) -> int:
    """Return the version of the file's schema without touching anything, not even by opening it; CannotStart."""
    _check_exists(path)
    try:
        with closing(open_read_only(path)) as connection:
            return _version(connection)
    except sqlite3.Error as error:
        raise _cannot_open(path, error) from error


def newest_version() -> int:
    """Return the newest version of the schema that this program knows."""
    return load_migrations("sqlite", WORDS)[-1].version


def open_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that neither changes the file nor makes others beside it."""
    logs = [Path(f"{path}-{name}") for name in ("wal", "journal")]
    # Where no log waits to be read, one would be made for this connection, unless it takes the file as it is.
    how = "mode=ro" if any(log.exists() and log.stat().st_size for log in logs) else "mode=ro&immutable=1"
    place = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(place, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _check_folder(path: Path) -> None:
    if path.parent.exists() and not path.parent.is_dir():
        raise CannotStart(f"DATA_DIR or DATABASE_URL: {path.absolute().parent} is not a folder.")


def _check_exists(path: Path) -> None:
    _check_folder(path)
    if path.is_file() and path.stat().st_size:
        return
    raise CannotStart(
        f"{path.absolute().parent} has no database {path.name}: DATA_DIR or DATABASE_URL names another place, or "
        "nothing was started there yet; `doorward serve` and `doorward migrate` create it."
    )


def _check_permissions(path: Path) -> None:
    # SQLite tells neither which of both it is, nor that waiting will not help.
    for place in (path.parent, path):
        if place.exists() and not os.access(place, os.W_OK, effective_ids=True):
            raise _cannot_write(path, f"{place} is read-only")


def _check_writable(connection: sqlite3.Connection, version: int) -> None:
    # A file that cannot be written can be opened, and even locked, all the same.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version={version}")
    connection.execute("ROLLBACK")


def _cannot_write(path: Path, reason: object) -> CannotStart:
    return CannotStart(
        f"DATABASE_URL: the database {path} cannot be written ({reason}); its file and its folder have to be writable "
        "for the user that runs Doorward."
    )


def _cannot_open(path: Path, error: Exception) -> CannotStart:
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
        return _cannot_write(path, error)
    if isinstance(error, sqlite3.Error) and _is_full(path, error):
        return CannotStart(f"DATABASE_URL: the disk of the database {path} is full; make room on it.")
    reason = error.strerror if isinstance(error, OSError) else error
    return CannotStart(f"DATABASE_URL: the database {path} cannot be opened ({reason}).")


def _check_not_newer(path: Path, connection: sqlite3.Connection, newest: int) -> None:
    version = _version(connection)
    if version > newest:
        raise CannotStart(
            f"The database {path} has schema version {version}, this program knows only up to {newest}: "
            "start a newer program, or restore a backup made by this one."
        )


def _check_version_first(path: Path, newest: int) -> None:
    # A connection that can write leaves traces in the file by merely opening and closing it.
    if not path.exists():
        return
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as connection:
        try:
            _check_not_newer(path, connection, newest)
        except sqlite3.OperationalError as error:
            # Whoever died while making the file left it to be rolled back, which takes a connection that can write.
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise


def _connect_first(path: Path, newest: int) -> sqlite3.Connection:
    # Switching a new file to WAL needs it exclusively, and SQLite does not wait for that: with several starters we do.
    deadline = monotonic() + _BUSY_SECONDS
    while True:
        try:
            _check_version_first(path, newest)
            # SQLite would make it with the mode that the process makes files with.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            return connect(path, busy=_BUSY_SECONDS)
        except sqlite3.OperationalError:
            if monotonic() > deadline:
                raise
            sleep(0.02)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
