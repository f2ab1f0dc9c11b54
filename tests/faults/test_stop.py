"""Stops and lost processes: no acknowledged change is lost, no client hangs."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from faults.client import Client, Lost, Reply, clients, ready_hash
from faults.sizes import STOPS, WORKER_DEATHS
from faults.workers import is_alive, workers_of
from harness import KEY, Process, serving

pytestmark = pytest.mark.slow

HASH = ready_hash("pw")


async def create_until_gone(client: Client, name: str, done: list[str]) -> None:
    number = 0
    while True:
        login = f"{name}-{number}"
        number += 1
        try:
            answer = await client.create(login, HASH)
        except Lost:
            return
        assert answer.status == 200, answer
        done.append(login)


async def send_half_a_request(
    port: int, token: str, login: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    body = f'{{"login": "{login}", "email": "u@example.org", "passwordHash": "{HASH}", "sub": "s"}}'.encode()
    head = (
        f"POST /user HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + body[:20])
    await asyncio.sleep(0.1)
    return reader, writer, body[20:]


async def is_refused(port: int) -> bool:
    """Tell whether a new connection is turned away, or accepted and closed without an answer, within a moment."""
    client = Client(port)
    try:
        async with asyncio.timeout(10):
            return (await client.ask("GET", "/health/ready")).status != 200
    except Lost:
        return True
    finally:
        client.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_DU4_sigterm_finishes_what_is_under_way_and_loses_nothing(
    store: dict[str, str], tmp_path: Path, workers: int
) -> None:
    settings = {**store, "WORKERS": str(workers)}

    async def stop_under_load(process: Process, round_number: int) -> tuple[str, list[str]]:
        assert process.process
        done: list[str] = []
        async with clients(process.port, 1) as [shop]:
            await shop.register(f"shop{round_number}@example.org")
            async with clients(process.port, 8, shop.token) as load:
                busy = [
                    asyncio.create_task(create_until_gone(client, f"u{number}", done))
                    for number, client in enumerate(load)
                ]
                idle = Client(process.port)
                await idle.ask("GET", "/health/ready")
                reader, writer, rest = await send_half_a_request(process.port, shop.token, "patient")
                async with asyncio.timeout(30):
                    while len(done) < 50:  # noqa: ASYNC110 - it is a list, and eight write to it
                        await asyncio.sleep(0.01)
                process.process.send_signal(signal.SIGTERM)
                deadline = time.monotonic() + 20
                refused = 0
                # More than once, since each worker hears of it by itself.
                while refused < 4 * workers:
                    assert time.monotonic() < deadline, "new connections are still served"
                    refused = refused + 1 if await is_refused(process.port) else 0
                    await asyncio.sleep(0.02)
                assert process.process.poll() is None, "the half-sent request was not waited for"
                writer.write(rest)
                answer = await asyncio.wait_for(reader.read(), 20)
                assert answer.startswith(b"HTTP/1.1 200"), answer
                assert b"connection: close" in answer.lower()
                done.append("patient")
                writer.close()
                await asyncio.gather(*busy)
                idle.close()
        assert await asyncio.to_thread(process.process.wait, 20) == 0
        return shop.token, done

    async def look(process: Process, token: str) -> list[str]:
        async with clients(process.port, 1, token) as [shop]:
            return await shop.logins()

    with serving(tmp_path, settings) as process:
        for number in range(STOPS):
            token, done = asyncio.run(stop_under_load(process, number))
            process.start()
            missing = set(done) - set(asyncio.run(look(process, token)))
            assert not missing, "acknowledged and lost"


def test_DU4_an_idle_service_stops_at_once(store: dict[str, str], tmp_path: Path) -> None:
    with serving(tmp_path, {**store, "WORKERS": "2"}) as process:
        with socket.create_connection(("127.0.0.1", process.port)) as silent:
            assert process.stop() == 0
            assert silent.recv(100) == b"", "a connection that says nothing is closed, not waited for"
        assert process.log().count('"event": "stopped"') == 2


def test_DU4_a_worker_that_dies_is_replaced_and_the_service_goes_on(store: dict[str, str], tmp_path: Path) -> None:
    async def serve_on(process: Process, victim: int) -> None:
        async with clients(process.port, 1) as [shop]:
            await shop.register(f"shop{victim}@example.org")
            assert (await shop.create("alice", HASH)).status == 200
            token = await shop.session("alice")
            os.kill(victim, signal.SIGKILL)
            deadline = time.monotonic() + 30
            while len(set(workers_of(process)) - {victim}) < 2:
                # Whoever is connected to the survivor, or connects now, is served all the while.
                async with clients(process.port, 1, shop.token) as [fresh]:
                    assert (await verified(fresh, token)).status == 200
                assert time.monotonic() < deadline, "the dead worker was not replaced"
                await asyncio.sleep(0.02)
            names: set[str] = set()
            while len(names) < 2:
                async with clients(process.port, 8, shop.token) as many:
                    names |= {answer.worker for answer in await asyncio.gather(*(one.verify(token) for one in many))}
                assert time.monotonic() < deadline, "the new worker does not serve"

    with serving(tmp_path, {**store, "WORKERS": "2"}) as process:
        for _ in range(WORKER_DEATHS):
            asyncio.run(serve_on(process, workers_of(process)[0]))
        assert process.stop() == 0


async def verified(client: Client, token: str) -> Reply:
    """Ask, once more if the connection was one of the dead worker's."""
    try:
        return await client.verify(token)
    except Lost:
        return await client.verify(token)


def test_DU4_workers_whose_supervisor_dies_stop_and_leave_the_port_to_the_next(
    store: dict[str, str], tmp_path: Path
) -> None:
    async def go_away(process: Process, workers: list[int]) -> str:
        assert process.process
        async with clients(process.port, 1) as [shop]:
            await shop.register("shop@example.org")
            process.process.kill()
            await asyncio.to_thread(process.process.wait, 10)
            deadline = time.monotonic() + 30
            while any(map(is_alive, workers)):
                assert time.monotonic() < deadline, "workers are left that nobody looks after"
                await asyncio.sleep(0.05)
            return shop.token

    with serving(tmp_path, {**store, "WORKERS": "2"}) as process:
        token = asyncio.run(go_away(process, workers_of(process)))
        assert process.log().count('"event": "stopped"') == 2
        process.start()

        async def create() -> None:
            async with clients(process.port, 1, token) as [shop]:
                assert (await shop.create("alice", HASH)).status == 200

        asyncio.run(create())


SERVE_ON_ANYTHING = """
import doorward.cli.serve
doorward.cli.serve.migrate = lambda settings: None
doorward.cli.main(["serve"])
"""
"""The service, but for the look at the database before anything is started: so the workers are the first to see it."""


@pytest.mark.parametrize("workers", [1, 2])
def test_DU4_a_service_whose_workers_cannot_start_ends_and_says_so(tmp_path: Path, workers: int) -> None:
    with closing(sqlite3.connect(tmp_path / "doorward.db")) as connection:
        connection.execute("PRAGMA user_version=1000")
    done = subprocess.run(
        [sys.executable, "-c", SERVE_ON_ANYTHING],
        env={"DATA_DIR": str(tmp_path), "JWT_KEY": KEY, "PORT": "0", "WORKERS": str(workers)},
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr.decode()
    assert b"schema version 1000" in done.stderr
