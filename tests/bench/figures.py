"""What is measured. Every figure runs its contenders in turns, A B A B, and gives medians with their spread."""

import asyncio
import contextlib
import multiprocessing
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import NamedTuple
from uuid import uuid4

import httpx
import redis

from bench import machine
from bench.load import Refused, Stream, Target, beside, constant, saturate
from bench.neighbours import neighbours
from bench.refreshing import refresh
from bench.results import Bench, Effort, Figure, Line, Ratio
from bench.servers import (
    SETUPS,
    SQLITE,
    Server,
    asking_for_a_gateway,
    asking_in_batches,
    doorward,
    fill,
    log_in_again,
    logging_in,
    noop,
    surrounded,
    verifying,
)
from doorward.core.model import Session, SessionKind
from doorward.core.passwords.hashing import Argon2Parameters, Hasher
from doorward.core.passwords.pool import lower_priority
from doorward.settings import Settings
from doorward.storage.redis.records import KeyNames
from doorward.storage.sqlite.file import connect
from doorward.stores import database_of, select_stores
from factories import user_session
from harness import read_settings

_IDLE_RATE = 500
_FLOOD = 50
_IN_FLIGHT = 32
_BATCH = 100
_LEAD = 0.5
"""Seconds by which a flood begins before questions are measured, and until its burst of the budgets is over."""
_UNTIL_DUE = 4.0
"""Seconds from the beginning of slow heads until they are measured: a little less than their deadline."""
_SETTLE = 1.0
"""Seconds for what was just opened or closed."""
_COPIED = (
    "kind, tenant_id, user_id, device_id, key, created_at, expires_at, seen_at, generation, refreshed_at, permissions, "
    "ip, user_agent, owner, epoch, realm, realm_epoch"
)
_COPY = """INSERT INTO sessions (id, {columns})
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {many})
SELECT '{id}' || '-' || n, {columns} FROM numbers, sessions WHERE id = '{id}' AND n < {many}"""
_COPY_IN_REDIS = """local value, left = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
for n = 1, ARGV[2] - 1 do
  redis.call('SET', KEYS[1] .. '-' .. n, value, 'PX', left)
  redis.call('ZADD', KEYS[2], n, ARGV[1] .. '-' .. n)
end"""
_MEGABYTE = 1e6
_ALLOWED_MEGABYTES = 60
_REST = 7.0
"""Seconds after which the memory of the last hash has been given back."""


class _Contender(NamedTuple):
    """Who is asked what, under which name, and what an answer should cost at most, in no-op answers."""

    name: str
    server: Server
    target: Target
    aim: float | None = None


def _against_the_floor(bench: Bench, floor: Server, others: Sequence[_Contender]) -> tuple[list[Line], list[Ratio]]:
    """Measure CPU for each answer, in turns with a handler that does nothing and is given the very same bytes."""
    micro: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    contenders = [_Contender(floor.name, floor, Target(floor.port, others[0].target.requests)), *others]
    for one in contenders:
        saturate(one.target, 1.0, _IN_FLIGHT)
        micro[one.name] = []
    for _ in range(bench.effort.rounds):
        for name, server, target, _aim in contenders:
            before, stores = server.cpu(), server.store_cpu()
            load = saturate(target, bench.effort.seconds, _IN_FLIGHT)
            rates.setdefault(name, []).append(load.requests / load.seconds)
            if server.pids:
                micro[name].append((server.cpu() - before) * 1e6 / load.requests)
                ratios.setdefault(name, []).append(micro[name][-1] / micro[floor.name][-1])
            if server.stores:
                spent = (server.store_cpu() - stores) * 1e6 / load.requests
                micro.setdefault(f"{name}: its store", []).append(spent)
    lines = [
        Line.of(name, values, f"{statistics.median(rates[name]):,.0f} a second" if name in rates else "")
        for name, values in micro.items()
        if values
    ]
    found = [
        Ratio(f"{one.name} / {floor.name}", statistics.median(ratios[one.name]), one.aim)
        for one in others
        if one.name in ratios
    ]
    return lines, found


_HOW = (
    "User and system time of the server process divided by its responses; the time of PostgreSQL or Redis is a separate "
    "line. The floor is an ASGI handler that does nothing, on the same uvicorn (uvloop, httptools), with the same "
    "requests. A ratio is the median of the ratios of each round."
)


def verify(bench: Bench) -> Figure:
    """CPU of the server process for each `/auth/verify`, against a handler that does nothing."""
    with contextlib.ExitStack() as stack:
        floor = stack.enter_context(noop())
        contenders: list[_Contender] = []
        for setup in SETUPS:
            server = stack.enter_context(doorward(setup, bench.folder / f"verify-{setup.name}"))
            asked = verifying(server, fill(server, bench.effort.tenants))
            contenders.append(_Contender(server.name, server, asked, setup.aim))
        new = stack.enter_context(doorward(SQLITE, bench.folder / "verify-new"))
        assert new.settings
        many = log_in_again(new.settings, fill(new, bench.effort.tenants), bench.effort.logins)
        contenders.append(_Contender(f"{new.name}, tokens not seen lately", new, verifying(new, many)))
        contenders += [
            _Contender(other.name, other, verifying(other, fill(other, bench.effort.tenants)))
            for other in bench.others()
        ]
        lines, ratios = _against_the_floor(bench, floor, contenders)
    return Figure(
        "verify",
        "CPU of one POST /auth/verify",
        "µs of the server process",
        f"Two tokens are verified with one read of the store. {_IN_FLIGHT} busy connections, {bench.effort.tenants} pairs "
        f"of tokens in turn; «not seen lately»: {len(many):,} in turn, more than a process caches decoded. {_HOW}",
        lines,
        ratios,
    )


def gateway(bench: Bench) -> Figure:
    """CPU of the server process for each `/forward-auth`, against the same handler."""
    with contextlib.ExitStack() as stack:
        floor = stack.enter_context(noop())
        server = stack.enter_context(doorward(SQLITE, bench.folder / "gateway"))
        asked = asking_for_a_gateway(server, fill(server, bench.effort.tenants))
        lines, ratios = _against_the_floor(bench, floor, [_Contender(server.name, server, asked)])
    return Figure(
        "gateway",
        "CPU of one GET /forward-auth",
        "µs of the server process",
        f"An API key and a token are verified with one read of the store. {_IN_FLIGHT} busy connections. {_HOW}",
        lines,
        ratios,
    )


def batch(bench: Bench) -> Figure:
    """CPU of the server process for each token of a `/auth/verify/batch`."""
    found: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        contenders = []
        for setup in SETUPS:
            server = stack.enter_context(
                doorward(setup, bench.folder / f"batch-{setup.name}", {"BUDGET_VERIFY": "off"})
            )
            assert server.settings
            users = log_in_again(server.settings, fill(server, 1), _BATCH)
            contenders.append((server, asking_in_batches(server, users, _BATCH)))
        for _, target in contenders:
            saturate(target, 1.0, 4)
        for _ in range(bench.effort.rounds):
            for server, target in contenders:
                before = server.cpu()
                load = saturate(target, bench.effort.seconds, 4)
                spent = (server.cpu() - before) * 1e6 / load.requests / _BATCH
                found.setdefault(server.name, []).append(spent)
    return Figure(
        "batch",
        f"CPU of each token of a batch of {_BATCH}",
        "µs of the server process",
        f"POST /auth/verify/batch with {_BATCH} different tokens of one tenant, 4 busy connections. Aim: 15 µs.",
        [Line.of(name, values) for name, values in found.items()],
        [],
    )


def _bare_hashes(seconds: float, core: int, threads: int) -> float:
    """How many argon2id hashes of the service's own parameters a second of one core's time buys, with no server around.

    The threads are as nice as the service's, so that neighbours disturb both alike.
    """
    machine.stay_on(core)
    hasher = Hasher(Argon2Parameters())
    stored = hasher.hash("pw")
    done = 0
    with ThreadPoolExecutor(threads, initializer=lower_priority) as pool:
        began, used = perf_counter(), process_time()
        while perf_counter() - began < seconds:
            list(pool.map(lambda _: hasher.match("pw", stored), range(threads)))
            done += threads
    return done / (process_time() - used)


def _by_thread(pid: int, before: dict[int, float], logins: int) -> tuple[float, float, float]:
    """Return the milliseconds that the hashing thread, the loop, and the others have spent on a login since then."""
    spent = {thread: now - before.get(thread, 0.0) for thread, now in machine.thread_seconds(pid).items()}
    loop = spent.pop(pid)
    hashing = max(spent.values())
    return hashing * 1e3 / logins, loop * 1e3 / logins, (sum(spent.values()) - hashing) * 1e3 / logins


def login(bench: Bench) -> Figure:
    """Logins against bare argon2id on the same core with as many threads, by the second of CPU."""
    core, threads = machine.cores()[0], 1
    rates: dict[str, list[float]] = {"bare argon2id": []}
    ratios: dict[str, list[float]] = {}
    wall: dict[str, list[float]] = {}
    environment = {"HASH_THREADS": str(threads), "BUDGET_LOGIN": "off"}
    seconds = bench.effort.seconds
    parts: list[tuple[float, float, float]] = []
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(doorward(setup, bench.folder / f"login-{setup.name}", environment)) for setup in SETUPS
        ]
        servers += [server for server in bench.others() if server.pids]
        targets = [logging_in(server, fill(server, bench.effort.tenants)) for server in servers]
        pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(1))
        for _ in range(bench.effort.rounds):
            rates["bare argon2id"].append(pool.apply(_bare_hashes, (seconds, core, threads)))
            for server, target in zip(servers, targets, strict=True):
                before, threads_before = server.cpu(), machine.thread_seconds(server.pids[0])
                load = saturate(target, seconds, connections=8)
                rates.setdefault(server.name, []).append(load.requests / (server.cpu() - before))
                if server is servers[0]:
                    parts.append(_by_thread(server.pids[0], threads_before, load.requests))
                wall.setdefault(server.name, []).append(load.requests / load.seconds)
                ratios.setdefault(server.name, []).append(rates[server.name][-1] / rates["bare argon2id"][-1])
    hashing, loop, others = (statistics.median(part) for part in zip(*parts, strict=True))
    return Figure(
        "login",
        "POST /auth",
        "logins per second of CPU",
        f"8 busy connections with right passwords of {bench.effort.tenants} users; the server on one core, "
        f"hashing with {threads} thread. Bare is argon2id with the service's parameters and as many threads on that core, "
        "without a server. The unit is logins per second of CPU of all threads of the server, which is the rate on a "
        f"dedicated core. Of a login on {SETUPS[0].name} the hashing thread took {hashing:.2f} ms, the loop {loop:.2f}, all "
        f"others {others:.2f}.",
        [
            Line.of(name, values, f"{statistics.median(wall[name]):,.0f} a second" if name in wall else "")
            for name, values in rates.items()
        ],
        [
            Ratio(f"{name} / bare argon2id", statistics.median(values), 0.9, at_least=True)
            for name, values in ratios.items()
        ],
    )


def _looks(found: dict[str, list[float]]) -> str:
    """Say what the generator adds to a latency itself."""
    times = ", ".join(f"{statistics.median(values):.2f} ms {name}" for name, values in found.items())
    return f"Interval at which the generator reads its sockets (p99): {times}."


def flood(bench: Bench) -> Figure:
    """Latency of verify alone, and while 50 times more logins arrive than can be hashed."""
    seconds = bench.effort.seconds
    core = machine.cores()[0]
    found: dict[str, list[float]] = {}
    ratios: list[float] = []
    looks: dict[str, list[float]] = {"idle": [], "flood": []}
    spent: list[float] = []
    note = ""
    with doorward(SQLITE, bench.folder / "flood") as server:
        users = fill(server, bench.effort.tenants)
        questions, logins = verifying(server, users), logging_in(server, users, "wrong")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            capacity = pool.apply(_bare_hashes, (0.5, core, 1))
        for _ in range(bench.effort.rounds):
            sleep(0.5)
            idle = Stream(questions, _IDLE_RATE, 8)
            looks["idle"].append(constant(idle, seconds) * 1e3)
            busy = Stream(questions, _IDLE_RATE, 8)
            before = server.cpu()
            with beside(Stream(logins, _FLOOD * capacity, 256), seconds + _LEAD) as attacks:
                sleep(_LEAD)
                looks["flood"].append(constant(busy, seconds) * 1e3)
            [attack] = attacks
            spent.append((server.cpu() - before) * 1e6 / sum(attack.statuses.values()))
            for name, stream in (("idle", idle), ("flood", busy)):
                for share in (0.5, 0.99):
                    found.setdefault(f"{name}, p{share * 100:.0f}", []).append(stream.percentile(share) * 1e3)
            ratios.append(busy.percentile(0.99) / idle.percentile(0.99))
            note = " ".join(f"{status}: {count}" for status, count in sorted(attack.statuses.items()))
    return Figure(
        "flood",
        "Latency of POST /auth/verify",
        "ms from when a request was due",
        f"{_IDLE_RATE} verifications a second at a constant rate. Each latency starts when the request was due, so it "
        f"includes the wait during a stall. The flood: {_FLOOD * capacity:,.0f} logins a second, {_FLOOD} times the "
        f"hashes of one core, with the default budgets, from a separate process. {_looks(looks)} A login of the flood "
        f"cost the server {statistics.median(spent):.0f} µs of CPU, with all hashes and verifications. Responses to "
        f"the flood in the last round by status: {note}.",
        [Line.of(name, values) for name, values in found.items()],
        [Ratio("p99 in a flood / p99 idle", statistics.median(ratios), 2.0)],
    )


def crowd(bench: Bench) -> Figure:
    """Latency of verify alone, and among thousands of silent or slow connections."""
    effort = bench.effort
    found: dict[str, list[float]] = {}
    ratios: list[float] = []
    looks: dict[str, list[float]] = {"alone": [], "in the crowd": []}
    each: list[float] = []
    cut = 0
    room = str(2 * (effort.idle + effort.slow))
    environment = {"MAX_CONNECTIONS": room, "MAX_CONNECTIONS_PER_ADDRESS": room}
    with doorward(SQLITE, bench.folder / "crowd", environment) as server:
        questions = verifying(server, fill(server, effort.tenants))
        sleep(_REST)
        before = machine.resident_bytes(server.pids[0])
        for _ in range(effort.rounds):
            sleep(_SETTLE)
            alone = Stream(questions, _IDLE_RATE, 8)
            looks["alone"].append(constant(alone, effort.seconds) * 1e3)
            with surrounded(server, effort.idle, effort.slow) as became:
                sleep(_UNTIL_DUE)
                among = Stream(questions, _IDLE_RATE, 8)
                looks["in the crowd"].append(constant(among, effort.seconds) * 1e3)
                each.append((machine.resident_bytes(server.pids[0]) - before) / (effort.idle + effort.slow) / 1024)
            if became[0].closed:
                raise Refused(f"{became[0].closed} idle connections were closed")
            cut += became[0].cut
            for name, stream in (("alone", alone), ("in the crowd", among)):
                for share in (0.5, 0.99):
                    found.setdefault(f"{name}, p{share * 100:.0f}", []).append(stream.percentile(share) * 1e3)
            ratios.append(among.percentile(0.99) / alone.percentile(0.99))
    return Figure(
        "crowd",
        "Latency of POST /auth/verify in a crowd",
        "ms from when a request was due",
        f"{_IDLE_RATE} verifications a second at a constant rate, alone, and together with {effort.idle:,} idle connections "
        f"and {effort.slow} slow senders, half of them of heads and half of bodies, two bytes a second each. A sender that "
        f"a deadline of the service cuts off (here {cut:,} times) connects again. The crowd is a separate process with a "
        f"lower priority than the generator. {_looks(looks)} A connection of the crowd takes "
        f"{statistics.median(each):.1f} KiB of the worker's memory in all.",
        [Line.of(name, values) for name, values in found.items()],
        [Ratio("p99 in a crowd / p99 alone", statistics.median(ratios), 2.0)],
    )


def ending(bench: Bench) -> Figure:
    """Milliseconds to end all sessions of a user, who has one or very many."""
    found: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    for setup in SETUPS:
        with setup.prepare(bench.folder / "ending") as prepared:
            folder = bench.folder / f"ending-{setup.name}"
            folder.mkdir(parents=True, exist_ok=True)
            times = asyncio.run(_endings(read_settings(folder, prepared.environment), bench.effort))
        for many, values in times.items():
            found[f"{setup.name}, {many:,} sessions"] = values
        few, lots = times.values()
        ratios[setup.name] = [statistics.median(lots) / statistics.median(few)]
    return Figure(
        "ending",
        "Ending all sessions of a user",
        "ms",
        "`SessionStore.revoke_user`, as DELETE /user/{login}/sessions calls it, for a user with one session and for one with "
        f"{bench.effort.sessions:,}, in turns, with a new user each round. The many sessions are copies of one session in "
        "the store. The rows of the sessions are removed later, in batches.",
        [Line.of(name, values) for name, values in found.items()],
        [Ratio(f"{name}: many / one", statistics.median(values), 1.5) for name, values in ratios.items()],
    )


async def _endings(settings: Settings, effort: Effort) -> dict[int, list[float]]:
    stores = select_stores(settings)
    await stores.open()
    tenant_id = str(uuid4())
    found: dict[int, list[float]] = {1: [], effort.sessions: []}
    try:
        for number in range(effort.rounds):
            # The first of the two still finds the store busy with the new rows.
            users = {many: str(uuid4()) for many in sorted(found, reverse=bool(number % 2))}
            for many, user_id in users.items():
                session = user_session(tenant_id, user_id)
                await stores.sessions.open(session, cap=None)
                await _multiply(settings, session, many)
                assert len(await stores.sessions.list_user(tenant_id, user_id, limit=2)) == min(2, many)
            for many, user_id in users.items():
                began = perf_counter()
                await stores.sessions.revoke_user(tenant_id, user_id)
                found[many].append((perf_counter() - began) * 1e3)
                assert await stores.sessions.list_user(tenant_id, user_id, limit=1) == []
    finally:
        await stores.close()
    return found


async def _multiply(settings: Settings, session: Session, many: int) -> None:
    """Copy the session of a user `many` times in the store; opening so many takes longer than the measurement."""
    names = KeyNames.of(SessionKind.USER, session.user_id or "")
    if settings.redis_url:
        with redis.Redis.from_url(settings.redis_url) as client:
            client.eval(_COPY_IN_REDIS, 2, names.session(session.id), names.index_key, session.id, many)
        return
    sql = _COPY.format(columns=_COPIED, id=session.id, many=many)
    place = database_of(settings)
    if isinstance(place, Path):
        with contextlib.closing(connect(place, busy=60)) as connection:
            connection.execute(sql)
        return
    server = await place.connect(seconds=60, statement_timeout="0")
    try:
        await server.execute(sql)
    finally:
        await server.close()


def start(bench: Bench) -> Figure:
    """Seconds from the start of the process until it is ready, on an empty folder and on a filled one."""
    found: dict[str, list[float]] = {"first start": [], "later start": []}
    for number in range(bench.effort.rounds):
        folder = bench.folder / f"start-{number}"
        for values in found.values():
            began = perf_counter()
            with doorward(SQLITE, folder) as server:
                httpx.get(f"{server.url}/health/ready").raise_for_status()
                values.append(perf_counter() - began)
    return Figure(
        "start",
        "From start to ready",
        "seconds",
        "From the start of the process, on one core, until /health/ready is 200. The first start creates the database "
        "and the schema.",
        [Line.of(name, values) for name, values in found.items()],
        [],
    )


def memory(bench: Bench) -> Figure:
    """Memory of one worker, before and after many questions."""
    found: dict[str, list[float]] = {"after start": [], "after the first logins": [], "after many questions": []}
    counts: list[int] = []
    for number in range(min(3, bench.effort.rounds)):
        with doorward(SQLITE, bench.folder / f"memory-{number}") as server:
            found["after start"].append(machine.resident_bytes(server.pids[0]) / _MEGABYTE)
            target = verifying(server, fill(server, bench.effort.tenants))
            found["after the first logins"].append(machine.resident_bytes(server.pids[0]) / _MEGABYTE)
            rested = perf_counter() + _REST
            asked = 0
            while asked < bench.effort.requests:
                asked += saturate(target, bench.effort.seconds).requests
            sleep(max(0.0, rested - perf_counter()))
            found["after many questions"].append(machine.resident_bytes(server.pids[0]) / _MEGABYTE)
            counts.append(asked)
    kept = statistics.median(found["after many questions"])
    return Figure(
        "memory",
        "Resident memory of one worker",
        "MB",
        f"Before and after {min(counts):,} verifications or more, 16 connections, the service restarted for each round. A "
        "login needs 20 MB for its hash, which are released after some seconds without logins "
        "([decision 61](decisions/0061-memory.md)).",
        [Line.of(name, values) for name, values in found.items()],
        [Ratio(f"after many questions / {_ALLOWED_MEGABYTES} MB", kept / _ALLOWED_MEGABYTES, 1.0)],
    )


FIGURES: dict[str, Callable[[Bench], Figure]] = {
    "verify": verify,
    "gateway": gateway,
    "batch": batch,
    "ending": ending,
    "login": login,
    "refresh": refresh,
    "flood": flood,
    "crowd": crowd,
    "neighbours": neighbours,
    "start": start,
    "memory": memory,
}


def measure(names: Sequence[str], bench: Bench) -> list[Figure]:
    """Take the figures of these names, one after the other, the load on its own core."""
    found = []
    with machine.pinned(machine.cores()[1]):
        for name in names:
            sys.stderr.write(f"measuring {name} ...\n")
            found.append(FIGURES[name](bench))
    return found
