"""`Database` on SQLite: reads on the event loop, scans and writes on threads of their own.

Reads by key take a few microseconds on a read-only connection. One writer thread per process runs all waiting writes in
one transaction, so that they share one fsync.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from doorward.core.errors import StoreUnavailable
from doorward.storage.full_store import DATABASE_DISK, FullStoreReporter
from doorward.storage.relational.database import Row, Step
from doorward.storage.relational.long_queries import LARGE, LongWorkQueue
from doorward.storage.relational.statements import fill_list, load_statements
from doorward.storage.sqlite.file import BUSY_SECONDS, cannot_open, connect, is_full, open_read_only
from doorward.storage.sqlite.schema import migrate

log = logging.getLogger(__name__)

_READ_BUSY_SECONDS = 1.0
_MAX_BATCH = 64

_Job = tuple[tuple[Step, ...], asyncio.AbstractEventLoop, "asyncio.Future[list[list[Row]]]"]


class SqliteDatabase:
    """`Database` on one SQLite file. `faults` counts look-ups that failed."""

    _reader: sqlite3.Connection
    _lookup_cursor: sqlite3.Cursor
    _scanner: sqlite3.Connection
    _writer: sqlite3.Connection

    def __init__(self, path: Path) -> None:
        """Take the path of the file; `open` opens it."""
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
            self._writer = connect(self._path, busy=BUSY_SECONDS)
        except sqlite3.Error as error:
            raise cannot_open(self._path, error) from error
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
            log.exception("database read failed")
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
            log.exception("database read failed")
            raise _unavailable(error) from error

    async def write(self, *steps: Step) -> list[list[Row]]:
        """See `Database.write`."""
        if len(steps) < LARGE:
            return await self._submit(steps)
        return await self._large_writes.write(steps, partial(self._submit, steps))

    def _submit(self, steps: tuple[Step, ...]) -> "asyncio.Future[list[list[Row]]]":
        """Queue steps for the writer thread; return the future of their rows."""
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
            except RuntimeError:  # the loop is closed, so no caller waits
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
        except Exception as error:  # noqa: BLE001 - raised in its caller; the other jobs go on
            execute("ROLLBACK TO job")
            execute("RELEASE job")
            return error
        execute("RELEASE job")
        return results

    def _write_error(self, error: sqlite3.Error) -> StoreUnavailable:
        if not is_full(self._path, error):
            log.error("database write failed", exc_info=error)
            return _unavailable(error)
        unavailable = self._full.error()
        unavailable.__cause__ = error
        return unavailable

    def _roll_back(self) -> None:
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            log.exception("database rollback failed")


class ReadOnlySqliteDatabase(SqliteDatabase):
    """`Database` for reading only, which creates and changes no file."""

    async def open(self) -> None:
        """See `Database.open`."""
        try:
            self._reader, self._scanner = open_read_only(self._path), open_read_only(self._path)
        except sqlite3.Error as error:
            raise cannot_open(self._path, error) from error
        self._lookup_cursor = self._reader.cursor()

    async def write(self, *_: Step) -> list[list[Row]]:
        """Raise StoreUnavailable."""
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
    unavailable = StoreUnavailable(retry_after=1)
    unavailable.__cause__ = cause
    return unavailable
