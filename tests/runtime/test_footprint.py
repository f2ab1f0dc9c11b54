"""Memory of a worker: no unused driver, and no block of a finished hash."""

import gc
import platform
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from doorward.core import memory
from doorward.http.connection.protocol import DoorwardProtocol
from harness import KEY, read_settings, running

MIB = 1 << 20
HASH = 19 * MIB

LOADED = """
import sys
import doorward.cli, doorward.app
from doorward.settings import Settings
from doorward.stores import select_stores
given = dict(pair.split("=", 1) for pair in sys.argv[2:])
select_stores(Settings.read({"DATA_DIR": sys.argv[1], **given}))
print(*sys.modules)
"""

HASHED = """
import asyncio, sys
from pathlib import Path
from doorward.core.memory import prepare_to_serve
from doorward.core.passwords.hashing import Argon2Parameters, Hasher
from doorward.core.passwords.pool import PasswordHasherPool

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

async def story():
    passwords = PasswordHasherPool(Hasher(Argon2Parameters()), threads=1)
    hashed = await passwords.hash("pw", group="shop")
    await passwords.matches("pw", hashed, group="shop")
    print(resident())
    await passwords.release_memory()
    print(resident())
    await passwords.release_memory()
    print(resident())
    assert (await passwords.matches("pw", hashed, group="shop")).right
    print(resident())

prepare_to_serve()
asyncio.run(story())
"""


def say(program: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chosen", "loaded"),
    [
        ("", set()),
        ("DATABASE_URL=postgresql://doorward@localhost/doorward", {"asyncpg"}),
        ("REDIS_URL=redis://localhost", {"hiredis"}),
    ],
    ids=["SQLite", "PostgreSQL", "Redis"],
)
def test_a_worker_loads_the_driver_of_the_store_it_uses_and_no_other(
    chosen: str, loaded: set[str], tmp_path: Path
) -> None:
    modules = set(say(LOADED, str(tmp_path), f"JWT_KEY={KEY}", *([chosen] if chosen else [])))
    assert modules & {"asyncpg", "hiredis", "redis", "cryptography", "opentelemetry"} == loaded


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to give memory back")
def test_the_memory_of_a_hash_is_given_back_when_no_other_came_for_a_while() -> None:
    hashed, once, twice, again = map(int, say(HASHED))
    assert once > hashed - HASH / 2, "given back while others may still come: each would pay for it anew"
    assert twice < hashed - HASH / 2, "kept, although nobody hashes"
    assert again > twice + HASH / 2, "this does not see the memory of a hash at all"


@pytest.mark.parametrize("has", [True, False], ids=["glibc", "another"])
def test_an_allocator_of_another_kind_is_asked_for_nothing(monkeypatch: pytest.MonkeyPatch, *, has: bool) -> None:
    thresholds = gc.get_threshold()
    asked: list[str] = []
    functions = {name: lambda *_, name=name: asked.append(name) for name in ("mallopt", "malloc_trim")}
    monkeypatch.setattr(memory, "_LIBRARY", SimpleNamespace(**(functions if has else {})))
    try:
        memory.prepare_to_serve()
        assert gc.get_threshold() > thresholds
        memory.release_memory()
    finally:
        gc.set_threshold(*thresholds)
    assert asked == (list(functions) if has else [])


def test_a_connection_that_was_reset_leaves_nothing_behind(tmp_path: Path) -> None:
    def connections() -> int:
        # Other tests of this process may have services of their own.
        found = [one for one in gc.get_objects() if type(one) is DoorwardProtocol]
        return sum(one.server is not None and one.server[1] == service.port for one in found)

    with running(read_settings(tmp_path)) as service:
        sockets = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(20)]
        for one in sockets:
            one.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
        assert connections() == 20
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
        # One may still be the last that something in the loop has dealt with. uvicorn's own timer would take five seconds.
        service.eventually(lambda: gc.collect() + 1 and connections() <= 1, seconds=4)
