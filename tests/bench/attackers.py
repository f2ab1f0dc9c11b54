"""Attackers of the noisy-neighbour figure, each in a process of its own.

Started with the name of an attack; the first line of its input is the JSON of an `Aim`. Prints `there` once the attack
runs, and, when its input ends, the statuses that it was answered with.
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count, cycle

import msgspec

_MEGABYTE = 1 << 20
_LARGE_ROUTES = ("/auth/verify/batch", "/users/import")
_ADDRESSES = 50
"""Source addresses of the attacker with made-up names; each has the budget of an unproven address."""


class Aim(msgspec.Struct):
    """A service under attack, and the credentials of the tenant that attacks it."""

    port: int
    tls_port: int
    tenant_token: str
    verify_key: str
    logins: list[str]


class Attack:
    """One attack under way: connections that are open, and statuses of what was answered."""

    def __init__(self, aim: Aim) -> None:
        self.aim = aim
        self.statuses: Counter[str] = Counter()
        self._held: list[asyncio.StreamWriter] = []

    async def hold(self, port: int, begun: bytes = b"") -> None:
        """Open a connection, send what an unfinished request begins with, and hold it as long as the service lets us."""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            self._held.append(writer)
            writer.write(begun)
            status = await reader.readline()
            self.statuses[status.decode().partition(" ")[2][:3] or "closed"] += 1
            writer.close()

    async def ask(self, path: str, body: bytes, token: str = "", source: str = "127.0.0.1") -> None:
        """Send one request over a connection of its own, and count the status of its answer."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.aim.port, local_addr=(source, 0))
        except OSError:
            self.statuses["refused"] += 1
            return
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.aim.port}\r\nConnection: close\r\n{bearer}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            writer.write(head.encode() + body)
            status = (await reader.readline()).decode().partition(" ")[2][:3]
            await reader.read()
            self.statuses[status or "closed"] += 1
        except OSError:
            self.statuses["reset"] += 1
        writer.close()


async def dear_hashes(attack: Attack) -> None:
    """S1: log in users with imported hashes of 2 million iterations, over 3 connections."""
    logins = cycle(attack.aim.logins)

    async def keep_busy() -> None:
        while True:
            body = json.dumps({"login": next(logins), "password": "pw", "deviceId": "d"}).encode()
            await attack.ask("/auth", body, attack.aim.tenant_token)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(keep_busy() for _ in range(3)))


async def refused_bodies(attack: Attack) -> None:
    """S2: 4 requests a second of 1 MB that are refused with every fault they have, with a key that may only verify."""
    body = b'{"tokens":[' + b",".join([b"{}"] * ((_MEGABYTE - 64) // 3)) + b"]}"
    for path in cycle(_LARGE_ROUTES):
        token = attack.aim.tenant_token if path == "/users/import" else attack.aim.verify_key
        task = asyncio.create_task(
            attack.ask(path, body.replace(b"tokens", b"users") if "users" in path else body, token)
        )
        await asyncio.sleep(0.25)
        task.add_done_callback(lambda done: done.exception())


async def unfinished_bodies(attack: Attack) -> None:
    """S3: 620 half-sent bodies of 1 MB at the two large routes, without a credential, replaced when they are cut off."""
    half = b'{"tokens":[' + b" " * (_MEGABYTE // 2)

    async def keep_open(path: str) -> None:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {_MEGABYTE}\r\n\r\n"
        )
        while True:
            await attack.hold(attack.aim.port, head.encode() + half)
            await asyncio.sleep(0.5)

    await asyncio.gather(*(keep_open(path) for _, path in zip(range(620), cycle(_LARGE_ROUTES), strict=False)))


async def silent_handshakes(attack: Attack) -> None:
    """S4: 1,000 TCP connections to the TLS port that never begin a handshake, replaced when they are cut off."""

    async def keep_open() -> None:
        while True:
            await attack.hold(attack.aim.tls_port)
            await asyncio.sleep(0.5)

    await asyncio.gather(*(keep_open() for _ in range(1000)))


async def made_up_names(attack: Attack) -> None:
    """S5: logins of tenants that do not exist, from 50 addresses, 5 a second from each."""
    numbers = count()

    async def keep_asking(source: str) -> None:
        while True:
            body = json.dumps(
                {"email": f"{next(numbers)}-{os.getpid()}@example.org", "password": "Wrong-Horse-9"}
            ).encode()
            await attack.ask("/tenant/login", body, source=source)
            await asyncio.sleep(0.2)

    await asyncio.gather(*(keep_asking(f"127.0.1.{number + 1}") for number in range(_ADDRESSES)))


ATTACKS: dict[str, Callable[[Attack], Awaitable[None]]] = {
    "S1 dear hashes": dear_hashes,
    "S2 refused bodies": refused_bodies,
    "S3 unfinished bodies": unfinished_bodies,
    "S4 silent handshakes": silent_handshakes,
    "S5 made-up names": made_up_names,
}


async def _run(name: str) -> None:
    aim = msgspec.json.decode(sys.stdin.readline(), type=Aim)
    attack = Attack(aim)
    running = asyncio.ensure_future(ATTACKS[name](attack))
    await asyncio.sleep(0.5)
    sys.stdout.write("there\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    running.cancel()
    sys.stdout.write(json.dumps(attack.statuses) + "\n")
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    # It shares a core with the requests that are measured, and must not keep them waiting.
    os.nice(10)
    asyncio.run(_run(sys.argv[1]))


if __name__ == "__main__":
    main()
