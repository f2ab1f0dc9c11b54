"""TLS connections without a handshake, and listeners without file descriptors."""

import contextlib
import json
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from certificates import Authority
from harness import Process, serving
from tls_service import Site, ask, connect, settings_of

pytestmark = pytest.mark.slow

LISTENERS = ["https", "maintenance"]
FEW = {"MAX_CONNECTIONS": "20", "MAX_CONNECTIONS_PER_ADDRESS": "1000"}


@contextlib.contextmanager
def standing(folder: Path, **more: str) -> Iterator[Site]:
    authority = Authority(folder)
    server = authority.issue("server", file="server")
    with serving(folder, {**settings_of(authority, server), **more}) as process:
        yield Site(folder, authority, server, server, process)


@pytest.fixture
def connect_silently() -> Iterator[Callable[[int], socket.socket]]:
    """Connect by TCP and say nothing; every connection is closed in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda port: stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))


def is_closed(stream: socket.socket) -> bool:
    try:
        return stream.recv(1) == b""
    except ConnectionError:
        return True


def operator(site: Site) -> ssl.SSLContext:
    return site.trusting(site.authority.issue("operator"))


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a greeting"])
def test_S4_whoever_does_not_shake_hands_is_closed_after_five_seconds(
    tmp_path: Path, connect_silently: Callable[[int], socket.socket], said: bytes
) -> None:
    with standing(tmp_path, METRICS_WHITE_LIST="127.0.0.1") as site:
        began = time.monotonic()
        silent = [connect_silently(site.port(name)) for name in LISTENERS]
        for stream in silent:
            stream.sendall(said)
        assert all(is_closed(stream) for stream in silent)
        assert 4 < time.monotonic() - began < 15
        numbers = httpx.get(f"{site.process.url}/metrics").text
        assert 'doorward_connections_closed_total{reason="handshake"} 2.0' in numbers


@pytest.mark.parametrize("listener", LISTENERS)
def test_S4_silent_connections_are_counted_from_the_beginning_and_make_room(
    tmp_path: Path, connect_silently: Callable[[int], socket.socket], listener: str
) -> None:
    with standing(tmp_path, **FEW) as site:
        began = time.monotonic()
        with connect(site.port("https"), site.trusting()) as served:
            assert ask(served).startswith("HTTP/1.1 200")
            silent = [connect_silently(site.port(listener)) for _ in range(40)]
            # Twenty are open at most: every further one closes the oldest before its handshake is overdue.
            assert all(is_closed(stream) for stream in silent[:20])
            for port, context in ((site.port("https"), site.trusting()), (site.port("maintenance"), operator(site))):
                with connect(port, context) as stream:
                    assert ask(stream).startswith("HTTP/1.1 200")
            assert ask(served).startswith("HTTP/1.1 200")
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("listener", LISTENERS)
def test_S4_silent_connections_of_one_address_have_its_share(
    tmp_path: Path, connect_silently: Callable[[int], socket.socket], listener: str
) -> None:
    with standing(tmp_path, MAX_CONNECTIONS="20", MAX_CONNECTIONS_PER_ADDRESS="5") as site:
        silent = [connect_silently(site.port(listener)) for _ in range(5)]
        began = time.monotonic()
        # One more has no room, encrypted or not, and is not even greeted.
        assert is_closed(connect_silently(site.port(listener)))
        assert ask(connect_silently(site.process.port)).startswith("HTTP/1.1 503")
        assert time.monotonic() - began < 4
        silent[0].close()
        site.process.log()
        deadline = time.monotonic() + 5
        while not ask(connect_silently(site.process.port)).startswith("HTTP/1.1 200"):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_S4_silent_connections_do_not_delay_the_end(
    tmp_path: Path, connect_silently: Callable[[int], socket.socket]
) -> None:
    with standing(tmp_path) as site:
        silent = [connect_silently(site.port(name)) for name in LISTENERS]
        time.sleep(0.3)
        began = time.monotonic()
        assert site.process.stop() in {0, -15}
        assert time.monotonic() - began < 4
        assert all(is_closed(stream) for stream in silent)


def descriptors(process: Process) -> int:
    assert process.process
    return len(list(Path(f"/proc/{process.process.pid}/fd").iterdir()))


@pytest.mark.parametrize("listener", ["http", *LISTENERS])
def test_S4_without_file_descriptors_it_says_so_and_goes_on_when_there_are_some(
    tmp_path: Path, connect_silently: Callable[[int], socket.socket], listener: str
) -> None:
    with standing(tmp_path) as site:
        process = site.process
        assert process.process
        port = process.port if listener == "http" else site.port(listener)
        with connect(site.port("https"), site.trusting()) as served:
            assert ask(served).startswith("HTTP/1.1 200")
            # None is left but for ten connections, however many there may be.
            soft, hard = resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, (descriptors(process) + 10, hard))
            silent = [connect_silently(port) for _ in range(30)]
            # The oldest of those that say nothing make room.
            assert all(is_closed(stream) for stream in silent[:15])
            assert ask(served).startswith("HTTP/1.1 200")
            assert ask(connect_silently(process.port)).startswith("HTTP/1.1 200")
            for stream in silent:
                stream.close()
            resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
            lines = process.log().splitlines()[1:]
            said = [json.loads(line) for line in lines if "cannot accept connections: raise the limit on" in line]
            assert listener in [line["listener"] for line in said]
            assert all(line["open_files_limit"] < soft for line in said)
            # Each listener says it once in ten seconds, however often it happens.
            assert len(said) <= len({line["listener"] for line in said})
        for _ in range(15):
            with connect(site.port("https"), site.trusting()) as stream:
                assert ask(stream).startswith("HTTP/1.1 200")
            assert ask(connect_silently(process.port)).startswith("HTTP/1.1 200")
