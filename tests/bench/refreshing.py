"""CPU of the server process for each `POST /auth/refresh`: every answer has the token that the next request needs."""

import asyncio
import contextlib
import json
from time import perf_counter

from bench.results import Bench, Figure, Line, Ratio
from bench.servers import SETUPS, Server, User, call, doorward, fill, message

_CONNECTIONS = 8


def _begin(server: Server, users: list[User]) -> list[tuple[str, str]]:
    """Log users in with a refresh token each; return tenants' tokens beside them."""
    found = []
    for user in users:
        body = {"login": user.login, "password": "pw", "deviceId": "laptop", "refresh": True}
        found.append((user.tenant_token, call(server, "/auth", body, user.tenant_token)["refreshToken"]))
    return found


async def _chain(server: Server, tenant_token: str, refresh_token: str, until: float) -> tuple[int, str]:
    """Refresh one session again and again; return how often, and the last refresh token."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    done = 0
    while perf_counter() < until:
        writer.write(message(server, "/auth/refresh", {"refreshToken": refresh_token}, tenant_token))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        refresh_token = json.loads(await reader.readexactly(length))["refreshToken"]
        done += 1
    writer.close()
    return done, refresh_token


def _refresh(server: Server, pairs: list[tuple[str, str]], seconds: float) -> int:
    """Refresh all sessions over connections of their own; `pairs` hold the newest tokens afterwards."""

    async def run() -> int:
        until = perf_counter() + seconds
        found = await asyncio.gather(*(_chain(server, *pair, until) for pair in pairs))
        pairs[:] = [(pair[0], token) for pair, (_, token) in zip(pairs, found, strict=True)]
        return sum(done for done, _ in found)

    return asyncio.run(run())


def refresh(bench: Bench) -> Figure:
    """CPU of the server process for each refresh, on every set-up and beside another server of the same API."""
    micro: dict[str, list[float]] = {}
    environment = {"BUDGET_LOGIN": "off"}
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(doorward(setup, bench.folder / f"refresh-{setup.name}", environment))
            for setup in SETUPS
        ]
        servers += [server for server in bench.others() if server.pids]
        chains = [(server, _begin(server, fill(server, _CONNECTIONS))) for server in servers]
        for server, pairs in chains:
            _refresh(server, pairs, 0.3)
        for _ in range(bench.effort.rounds):
            for server, pairs in chains:
                before = server.cpu()
                done = _refresh(server, pairs, bench.effort.seconds)
                micro.setdefault(server.name, []).append((server.cpu() - before) * 1e6 / done)
    first = micro[servers[0].name]
    ratios = [
        Ratio(f"{servers[0].name} / {name}", sorted(a / b for a, b in zip(first, values, strict=True))[len(first) // 2])
        for name, values in micro.items()
        if name not in {server.name for server in servers[: len(SETUPS)]}
    ]
    return Figure(
        "refresh",
        "CPU of one POST /auth/refresh",
        "µs of the server process",
        f"{_CONNECTIONS} sessions, each refreshed repeatedly over its own connection, sequentially, because every response "
        "has the token for the next request. User and system time of the server process divided by its responses.",
        [Line.of(name, values) for name, values in micro.items()],
        ratios,
    )
