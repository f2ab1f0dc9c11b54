"""A full disk: writes are rejected by name, reads go on, and the service recovers by itself."""

import asyncio
import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faults.client import Client, clients, ready_hash
from harness import KEY, Process, serving

pytestmark = pytest.mark.slow

HASH = ready_hash("pw")


class Disk(ABC):
    """Where the data lies, and how it gets full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def fill(self, process: Process) -> None: ...

    @abstractmethod
    def free(self, process: Process) -> None: ...


class SmallDisk(Disk):
    """A file system of 2 MB, filled by a file of somebody else's."""

    def fill(self, process: Process) -> None:
        assert process.process
        with (self.folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def free(self, process: Process) -> None:
        assert process.process
        (self.folder / "ballast").unlink()


class Quota(Disk):
    """A limit on the size of files, which every system knows and nobody has to be root for."""

    def fill(self, process: Process) -> None:
        self._limit(process, 4096)

    def free(self, process: Process) -> None:
        self._limit(process, resource.RLIM_INFINITY)

    @staticmethod
    def _limit(process: Process, size: int) -> None:
        assert process.process
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def tool(name: str, *words: str) -> bool:
    """Run a system administrator's tool and tell whether it did as it was told."""
    found = shutil.which(name)
    return found is not None and subprocess.run([found, *words], check=False, capture_output=True).returncode == 0


def mount(folder: Path, size: str) -> bool:
    return tool("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))


def unmount(folder: Path) -> None:
    assert tool("umount", "--lazy", str(folder))


def may_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        if not mount(Path(folder), "64k"):
            return False
        unmount(Path(folder))
        return True


DISKS: list[type[Disk]] = [Quota, SmallDisk] if may_mount() else [Quota]
"""What there is to fill here: where nothing may be mounted (an ordinary user, a plain container), files are limited."""


@pytest.fixture(params=DISKS, ids=lambda disk: disk.__name__)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param is SmallDisk:
        assert mount(folder, "2m")
    yield request.param(folder)
    if request.param is SmallDisk:
        unmount(folder)


async def fill_up(shop: Client) -> list[str]:
    """Create users until that is refused, and return who was acknowledged."""
    done: list[str] = []
    for number in range(5000):
        answer = await shop.create(f"user-{number}", HASH)
        if answer.status != 200:
            assert (answer.status, answer.body["code"]) == (503, "store_unavailable"), answer
            assert int(answer.headers["retry-after"]) >= 1
            return done
        done.append(f"user-{number}")
    raise AssertionError("the disk never was full")


async def recovers(shop: Client, login: str) -> None:
    deadline = time.monotonic() + 20
    while (await shop.create(login, HASH)).status != 200:
        assert time.monotonic() < deadline, "there is room, and still nothing can be written"
        await asyncio.sleep(0.1)


async def becomes(shop: Client, status: int) -> None:
    """Ask for readiness until it has `status`: answers of one second are alike."""
    deadline = time.monotonic() + 3
    while (await shop.ask("GET", "/health/ready")).status != status:
        assert time.monotonic() < deadline, f"readiness is not {status}"
        await asyncio.sleep(0.05)


def commands_name_the_disk(settings: dict[str, str]) -> None:
    """Run a command that revokes: it says that the disk is full, and what it did not do."""
    words = [sys.executable, "-m", "doorward", "session", "revoke", "--everybody", "--yes"]
    done = subprocess.run(words, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "The disk of the database is full. `" in done.stderr
    assert "session revoke` was not carried out" in done.stderr


def test_DU3_F15_a_full_disk_refuses_writes_answers_questions_and_heals(disk: Disk, tmp_path: Path) -> None:
    async def story(process: Process) -> list[str]:
        async with clients(process.port, 1) as [shop]:
            await shop.register("shop@example.org")
            await shop.create("alice", HASH)
            token = await shop.session("alice")
            other = await shop.session("alice")
            disk.fill(process)
            done = await fill_up(shop)
            await becomes(shop, 503)
            for round_number in range(20):
                assert (await shop.verify(token)).status == 200
                assert (await shop.ask("GET", "/user/?limit=1")).status == 200
                assert (await shop.create(f"refused-{round_number}", HASH)).status == 503
                assert (await shop.delete("alice")).status == 503
                assert (await shop.logout(other)).status == 503
                assert (await shop.ask("GET", "/health/live")).status == 200
            assert (await shop.verify(other)).status == 200, "what was refused did not happen"
            if isinstance(disk, SmallDisk):
                commands_name_the_disk(settings)
                assert (await shop.verify(other)).status == 200
                assert "Traceback" not in process.log()
                assert process.log().count("store full: writes rejected") == 1
            disk.free(process)
            await recovers(shop, "afterwards")
            await becomes(shop, 200)
            assert sorted(await shop.logins()) == sorted([*done, "alice", "afterwards"])
            assert (await shop.logout(other)).status == 200
            assert (await shop.verify(other)).status == 400
            assert (await shop.verify(token)).status == 200
            assert await shop.session("alice")
            return await shop.logins()

    settings = {"DATA_DIR": str(disk.folder), "JWT_KEY": KEY}
    with serving(tmp_path, settings) as process:
        logins = asyncio.run(story(process))
        assert process.stop() == 0
        with closing(sqlite3.connect(disk.folder / "doorward.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (len(logins),)


def test_DU3_a_start_without_room_ends_with_a_sentence_and_a_start_with_room_follows(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    process = Process(tmp_path, {"JWT_KEY": KEY})
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        with pytest.raises(RuntimeError, match="DATABASE_URL"):
            process.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert process.process
    assert process.process.wait(10) == 1
    with serving(tmp_path, {"JWT_KEY": KEY}) as second:
        assert second.stop() == 0


def test_DU3_a_folder_that_cannot_be_written_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    with serving(tmp_path, {"JWT_KEY": KEY}) as process:
        assert process.stop() == 0
        with read_only(tmp_path / "data") as folder:
            start = Process(tmp_path, {"JWT_KEY": KEY, "DATA_DIR": str(folder)})
            with pytest.raises(RuntimeError, match="DATABASE_URL"):
                start.start()
            assert start.process
            assert start.process.wait(10) == 1
        process.start()
        assert process.stop() == 0


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Make a folder read-only, and give it; where root may mount nothing, give one that nobody can write."""
    if SmallDisk in DISKS:
        assert tool("mount", "--bind", str(folder), str(folder))
        try:
            assert tool("mount", "-o", "remount,bind,ro", str(folder))
            yield folder
        finally:
            unmount(folder)
    elif os.geteuid() == 0:
        yield Path("/proc")
    else:
        paths = [*folder.iterdir(), folder]
        modes = [path.stat().st_mode for path in paths]
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode & ~0o222)
        yield folder
        for path, mode in list(zip(paths, modes, strict=True))[::-1]:
            path.chmod(mode)
