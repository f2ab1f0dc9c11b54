"""Overload: accepted requests are answered, the rest is rejected at once, memory stays bounded."""

import asyncio
import base64
import contextlib
import hashlib
import itertools
import resource
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import argon2
import bcrypt
import pytest

from faults.client import Client, Lost, clients, ready_hash, together
from faults.figures import say
from faults.sizes import COSTLY_LOGINS, FLOOD_CLIENTS, FLOOD_SECONDS, HALF_BODIES, SLOW_CLIENTS, TORTURE, VERIFIES
from harness import PASSWORD, Process, serving

pytestmark = [pytest.mark.slow, pytest.mark.alone]

HASH = ready_hash("pw")
MIB = 1024
"""In KiB, which is what the kernel counts memory in."""
HASH_MEMORY = 19_456
QUIET = {"HASH_THREADS": "1"}


def memory(process: Process, line: str = "VmRSS") -> int:
    """Return what the service has in memory, in KiB; `VmHWM` is the most it ever had."""
    assert process.process
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(next(row for row in status.splitlines() if row.startswith(line)).split()[1])


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[int((len(times) - 1) * share)] if times else float("nan")


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """Let this process have as many connections open as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.asynccontextmanager
async def shop_with_a_session(process: Process) -> AsyncIterator[tuple[Client, str]]:
    async with clients(process.port, 1) as [shop]:
        await shop.register("shop@example.org")
        await shop.create("alice", HASH)
        yield shop, await shop.session("alice")


def test_OV1_OV2_a_flood_of_logins_is_partly_served_partly_refused_and_verify_goes_on(
    store: dict[str, str], tmp_path: Path
) -> None:
    answers: Counter[tuple[int, str]] = Counter()
    latencies: list[float] = []
    accepted: dict[int, list[float]] = {200: [], 404: []}

    async def flood(client: Client, number: int, until: float) -> None:
        for guess in itertools.count():
            begin = time.monotonic()
            if begin > until:
                return
            # Every fourth is a user who is right; the rest are names that nobody has.
            login = f"user-{number}" if number % 4 == 0 else f"nobody-{number}-{guess}"
            answer = await client.login(login)
            answers[answer.status, (answer.body or {}).get("code", "")] += 1
            if answer.status in {429, 503}:
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.body["code"] in {"overloaded", "too_many_attempts"}, answer
                await asyncio.sleep(0.05)  # far less than it was told
            else:
                accepted[answer.status].append(time.monotonic() - begin)

    async def ask(shop: Client, token: str, until: float) -> None:
        while time.monotonic() < until:
            begin = time.monotonic()
            assert (await shop.verify(token)).status == 200
            latencies.append(time.monotonic() - begin)
            await asyncio.sleep(0.01)

    async def story() -> None:
        async with (
            shop_with_a_session(process) as (shop, token),
            clients(process.port, FLOOD_CLIENTS, shop.token) as crowd,
        ):
            logins = [f"user-{number}" for number in range(0, FLOOD_CLIENTS, 4)]
            await together(crowd, logins, lambda client, login: client.create(login, HASH))
            base = memory(process)
            until = time.monotonic() + FLOOD_SECONDS
            await asyncio.gather(
                ask(shop, token, until), *(flood(client, number, until) for number, client in enumerate(crowd))
            )
            grown = memory(process, "VmHWM") - base
            say(f"flood: {dict(answers)}")
            say(f"verify p99 {percentile(latencies, 0.99) * 1000:.1f} ms, memory +{grown // MIB} MiB")
            for status, times in accepted.items():
                say(f"logins that were looked at and answered {status}: p95 {percentile(times, 0.95):.2f} s")
            assert grown < HASH_MEMORY * 1.2 + 48 * MIB
            # And as soon as it is over, it is over.
            assert (await shop.login("alice")).status == 200

    with serving(tmp_path, {**store, **QUIET, "HASH_QUEUE_TIMEOUT": "1000"}) as process:
        asyncio.run(story())
    assert {status for status, _ in answers} <= {200, 403, 404, 429, 503}
    assert answers[200, ""] > 0, "nobody who was right got in"
    assert answers[404, "user_not_found"] > 0
    assert answers[503, "overloaded"] > answers[200, ""], "that was no flood"
    assert len(latencies) > FLOOD_SECONDS, "verify hardly answered"


def _pbkdf2() -> str:
    digest = hashlib.pbkdf2_hmac("sha256", b"pw", b"saltsalt", 2_000_000)
    return f"pbkdf2_sha256$2000000$saltsalt${base64.b64encode(digest).decode()}"


COSTLY: dict[str, tuple[Callable[[], str], int]] = {
    "PBKDF2 of 2 M iterations": (_pbkdf2, 3),
    "bcrypt of cost 10, from 16 connections": (lambda: bcrypt.hashpw(b"pw", bcrypt.gensalt(10)).decode(), 16),
    "argon2 of 128 MiB and 16 lanes": (lambda: argon2.PasswordHasher(2, 131_072, 16).hash("pw"), 3),
}


@pytest.mark.parametrize(("make", "connections"), COSTLY.values(), ids=COSTLY)
def test_S1_costly_hashes_of_one_tenant_leave_another_its_logins(
    make: Callable[[], str], connections: int, tmp_path: Path
) -> None:
    over = asyncio.Event()
    refused: Counter[int] = Counter()

    async def attack(client: Client, number: int) -> None:
        for guess in itertools.count(number, connections):
            answer = await client.login(f"user-{guess % 100}")
            refused[answer.status] += 1
            if over.is_set():
                return
            await asyncio.sleep(0.02 if answer.status == 503 else 0)

    async def log_in(victim: Client) -> list[float]:
        times = []
        for _ in range(COSTLY_LOGINS):
            begin = time.monotonic()
            assert (await victim.login("alice")).status == 200
            times.append(time.monotonic() - begin)
            tenant = {"email": "victim@example.org", "password": PASSWORD}
            assert (await victim.ask("POST", "/tenant/login", tenant)).status == 200
        return times

    async def story() -> None:
        async with clients(process.port, 1) as [victim], clients(process.port, connections) as crowd:
            await victim.register("victim@example.org")
            await victim.create("alice", "pw")
            await crowd[0].register("attacker@example.org")
            stored = make()
            users = [{"login": f"user-{n}", "email": "a@b", "sub": "s", "passwordHash": stored} for n in range(100)]
            for start in range(0, 100, 25):
                body = {"users": users[start : start + 25]}
                assert (await crowd[0].ask("POST", "/users/import", body)).status == 200
            alone, base = await log_in(victim), memory(process)
            attacks = []
            for number, client in enumerate(crowd):
                client.token = crowd[0].token
                attacks.append(asyncio.create_task(attack(client, number)))
            await asyncio.sleep(1)
            beside, grown = await log_in(victim), memory(process, "VmHWM") - base
            over.set()
            await asyncio.gather(*attacks)
            say(f"victim alone {statistics.median(alone):.3f} s, beside {statistics.median(beside):.3f} s, {refused}")
            assert statistics.median(beside) < 8 * statistics.median(alone) + 0.1
            # Its own thread's hash, and what imported ones may take together.
            assert grown < HASH_MEMORY + (128 + 48) * MIB
            assert refused.keys() <= {200, 503}

    with serving(tmp_path, QUIET) as process:
        asyncio.run(story())


def test_OV5_a_thousand_half_sent_bodies_cost_their_bytes_and_no_more(store: dict[str, str], tmp_path: Path) -> None:
    half = b"x" * 8000

    async def story() -> None:
        async with shop_with_a_session(process) as (shop, token):
            head = (
                f"POST /user HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shop.token}\r\n"
                "Content-Type: application/json\r\nContent-Length: 16000\r\n\r\n"
            ).encode()
            base = memory(process)
            writers = []
            for _ in range(HALF_BODIES):
                _, writer = await asyncio.open_connection("127.0.0.1", process.port)
                writer.write(head + half)
                writers.append(writer)
            assert (await shop.verify(token)).status == 200
            await asyncio.sleep(0.5)
            grown = memory(process) - base
            say(f"{HALF_BODIES} half-sent bodies: {grown / HALF_BODIES:.1f} KiB each")
            # Their bytes, and the connection with its buffers.
            assert grown < HALF_BODIES * (16 + 40)
            for asked in range(50):
                assert (await shop.verify(token)).status == 200, asked
            assert (await shop.create("bob", HASH)).status == 200
            for writer in writers:
                writer.close()

    with serving(tmp_path, {**store, **QUIET}) as process:
        asyncio.run(story())


LARGE = ("/auth/verify/batch", "/users/import")


@pytest.mark.one_setup
@pytest.mark.parametrize("caller", ["nobody", "a tenant", "a tenant without a budget"])
def test_S3_half_sent_large_bodies_cost_little_and_their_memory_is_given_back(
    store: dict[str, str], tmp_path: Path, caller: str
) -> None:
    # Six hundred of them took seven hundred megabytes.
    sent = b"x" * 1_000_000

    async def send(port: int, head: str) -> tuple[asyncio.StreamWriter, int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + sent)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(3):
                return writer, int((await reader.readuntil(b"\r\n")).split()[1])
        return writer, 0

    async def story() -> None:
        async with shop_with_a_session(process) as (shop, token):
            base = memory(process)
            proof = "" if caller == "nobody" else f"Authorization: Bearer {shop.token}\r\n"
            head = "POST {} HTTP/1.1\r\nHost: x\r\n" + proof
            head += "Content-Type: application/json\r\nContent-Length: 1048576\r\n\r\n"
            found = await asyncio.gather(
                *(send(process.port, head.format(LARGE[n % 2])) for n in range(HALF_BODIES // 5))
            )
            statuses = Counter(status for _, status in found)
            assert (await shop.verify(token)).status == 200
            grown = (memory(process, "VmHWM") - base) // MIB
            for writer, _ in found:
                writer.close()
            for _ in range(60):
                if memory(process) < base + 20 * MIB:
                    break
                await asyncio.sleep(0.5)
            left = (memory(process) - base) // MIB
            say(f"half-sent large bodies of {caller}: {dict(statuses)}, +{grown} MiB at most, +{left} MiB afterwards")
            # Sixteen at a time, each of them some times over, and what one read of the socket brings.
            assert grown < 120
            assert left < 20
            refusal = {"nobody": 401, "a tenant": 429}.get(caller, 503)
            assert statuses[refusal] > statuses.total() // 2

    more = {"BUDGET_VERIFY": {"a tenant": "1000:2000"}.get(caller, "off")}
    with serving(tmp_path, {**store, **QUIET, **more}) as process:
        asyncio.run(story())


async def drip(port: int, start: bytes, drop: bytes) -> float:
    """Send a request drop by drop; return after how many seconds the service hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begin = time.monotonic()
    ended = asyncio.create_task(reader.read())
    writer.write(start)
    try:
        while not ended.done():
            if drop:
                writer.write(drop)
            await asyncio.wait([ended], timeout=1)
    finally:
        writer.close()
    with contextlib.suppress(ConnectionError):
        answer = ended.result()
        assert not answer or answer.startswith(b"HTTP/1.1 408"), answer
    return time.monotonic() - begin


SLACK = 10.0
"""Seconds that a busy machine may add to a deadline; a connection that is never closed takes far longer."""


def test_TR3_slow_senders_are_hung_up_on_while_others_are_served(store: dict[str, str], tmp_path: Path) -> None:
    head = b"POST /auth/verify HTTP/1.1\r\nHost: x\r\n"
    body = head + b"Content-Type: application/json\r\nContent-Length: 10000\r\n\r\n{"
    # What is sent first, what then keeps coming, and by when it is over at last: deadline, timer and grace together.
    kinds = [(head, b"X-A: b\r\n", 7.5), (b"P", b"", 7.5), (b"GET /", b"a", 7.5), (body, b" ", 12.5)]
    if TORTURE:
        kinds.append((b"", b"", 17.5))

    async def ask(shop: Client, token: str, until: asyncio.Event) -> list[float]:
        latencies = []
        while not until.is_set():
            begin = time.monotonic()
            assert (await shop.verify(token)).status == 200
            latencies.append(time.monotonic() - begin)
            await asyncio.sleep(0.02)
        return latencies

    async def story() -> None:
        async with shop_with_a_session(process) as (shop, token):
            over = asyncio.Event()
            asking = asyncio.create_task(ask(shop, token, over))
            slow = list(itertools.islice(itertools.cycle(kinds), SLOW_CLIENTS))
            ends = await asyncio.gather(*(drip(process.port, start, drop) for start, drop, _ in slow))
            over.set()
            latencies = await asking
            say(
                f"{SLOW_CLIENTS} slow clients, the last hung up on after {max(ends):.1f} s; "
                f"verify p99 {percentile(latencies, 0.99) * 1000:.1f} ms"
            )
            late = [(end, due) for end, (_, _, due) in zip(ends, slow, strict=True) if end > due + SLACK]
            assert not late, "still connected after the deadline"

    with serving(tmp_path, {**store, **QUIET}) as process:
        asyncio.run(story())


def test_a_worker_stays_small_and_is_ready_soon(store: dict[str, str], tmp_path: Path) -> None:
    async def story() -> None:
        async with shop_with_a_session(process) as (shop, token), clients(process.port, 8, shop.token) as askers:
            begin = time.monotonic()
            for answer in await together(askers, range(VERIFIES), lambda client, _: client.verify(token)):
                assert answer.status == 200
            took = time.monotonic() - begin
        say(f"ready after {ready:.2f} s; {memory(process) / MIB:.0f} MiB after {VERIFIES} verifies in {took:.1f} s")

    begin = time.monotonic()
    with serving(tmp_path, {**store, **QUIET}) as process:
        ready = time.monotonic() - begin
        asyncio.run(story())
        # Printed to be read; these bounds only catch what is broken: 80 MiB and 2 s are the aims.
        assert memory(process) < 160 * MIB
        assert ready < 15


def test_OV4_the_service_may_open_as_many_files_as_it_has_connections(store: dict[str, str], tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # What an operator's shell gives: far fewer than the connections that one worker takes.
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        many = {"MAX_CONNECTIONS": "300", "MAX_CONNECTIONS_PER_ADDRESS": "300"}
        process = Process(tmp_path, {**store, **many}).start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        assert asyncio.run(knock(process.port, 350)) == {200: 300, 503: 50}
    finally:
        process.kill()


async def knock(port: int, number: int) -> Counter[int]:
    """Connect that many times without hanging up, and count what each is answered."""
    found: Counter[int] = Counter()
    async with clients(port, number) as crowd:
        for client in crowd:
            try:
                found[(await client.ask("GET", "/health/live")).status] += 1
            except Lost:
                found[0] += 1
    return found
