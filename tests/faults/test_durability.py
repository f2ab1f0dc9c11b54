"""A response means that the change is on disk."""

import asyncio
import re
import shlex
import shutil
import sys
import time
from pathlib import Path

import pytest

from doorward.storage.sqlite.database import SqliteDatabase
from doorward.storage.sqlite.file import connect
from doorward.storage.sqlite.schema import migrate
from faults.client import clients, ready_hash
from harness import serving, without

CALLS = "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync"
SYNCED = re.compile(r"\bf(?:data)?sync\(\d+<[^>]*doorward\.db-wal>")
WRITTEN = re.compile(r"\bpwrite(?:64|v2?)?\(\d+<[^>]*doorward\.db-wal>")
ANSWERED = re.compile(r"\b(?:write|writev|sendto|sendmsg)\(\d+<[^>]*>, .*HTTP/1\.1 200")
ASKED = re.compile(r"\b(?:read|readv|recvfrom|recvmsg)\(\d+<[^>]*>, .*POST /user ")


@pytest.mark.parametrize("read_only", [False, True])
def test_DU2_every_connection_waits_for_the_disk(tmp_path: Path, *, read_only: bool) -> None:
    migrate(tmp_path / "doorward.db")
    connection = connect(tmp_path / "doorward.db", busy=1, read_only=read_only)
    try:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    finally:
        connection.close()


async def test_DU2_every_connection_the_service_opens_is_such_a_connection(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "doorward.db")
    await database.open()
    try:
        for connection in (database._reader, database._scanner, database._writer):
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        await database.close()


@pytest.mark.slow
def test_DU2_a_user_is_on_the_disk_before_the_answer_is_on_the_wire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        without("This test watches system calls: install the package strace (apt-get install strace).")
    trace, python = tmp_path / "trace.txt", tmp_path / "python"
    # The service is started by strace, not joined by it later: that is allowed to ordinary users everywhere.
    words = [strace, "-f", "--seccomp-bpf", "-y", "-s", "64", "-e", f"trace={CALLS}", "-o", str(trace), sys.executable]
    python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))

    async def create() -> None:
        async with clients(process.port, 1) as [client]:
            assert (await client.register("shop@example.org")).status == 200
            assert (await client.create("alice", ready_hash("pw"))).status == 200

    with serving(tmp_path) as process:
        asyncio.run(create())
        between = from_question_to_answer(trace)
    written = [number for number, call in enumerate(between) if WRITTEN.search(call)]
    synced = [number for number, call in enumerate(between) if SYNCED.search(call)]
    assert written, "nothing was written to the log before the answer"
    assert synced, "the log was not forced to the disk before the answer"
    assert written[-1] < synced[-1], "something was written after the last sync"


def from_question_to_answer(trace: Path) -> list[str]:
    """Return the calls between the request to create a user and its answer; the trace is written with a delay."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        calls = trace.read_text(errors="replace").splitlines()
        asked = next((number for number, call in enumerate(calls) if ASKED.search(call)), len(calls))
        answered = next((n for n, call in enumerate(calls) if n > asked and ANSWERED.search(call)), None)
        if answered:
            return calls[asked:answered]
        time.sleep(0.05)
    raise AssertionError(f"no answer is in the trace: {trace.read_text(errors='replace')[-2000:]}")
