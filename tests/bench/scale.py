"""`make bench-scale`: what many sessions, users and tenants cost, against few. Fills an embedded database first."""

import asyncio
import contextlib
import json
import os
import secrets
import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import httpx

from bench import machine
from bench.load import saturate
from bench.report import as_text, write
from bench.results import Bench, Effort, Figure, Line, Ratio
from bench.servers import SQLITE, Server, call, doorward, fill, verifying
from doorward.settings import Settings
from doorward.storage.relational.accounts import RelationalAccountStore
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.stores import Stores, repeat_until_done, select_stores
from harness import PASSWORD, read_settings

_DOCS = Path(__file__).parents[2] / "docs"
_CHUNK = 20_000
_FEW = 1_000
_AT = 1_800_000_000_000
_ASKED = 40
_SWEPT_FOR = 20.0
_WRITE_EVERY = 0.005
_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN (?, ?)"


@contextlib.contextmanager
def _loading(file: Path, *tables: str) -> Iterator[sqlite3.Connection]:
    """A connection for many rows at once: their indexes are made when all of them are there."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-400000")
        indexes = connection.execute(_INDEXES, tables).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        yield connection
        for _, sql in indexes:
            connection.execute(sql)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # Otherwise the first sync during the measurement waits for all of this.
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _in_chunks(connection: sqlite3.Connection, many: int, label: str, add: Callable[[int, int], None]) -> None:
    with click.progressbar(length=many, label=f"{label:<22}") as bar:
        for start in range(0, many, _CHUNK):
            connection.execute("BEGIN")
            add(start, min(many, start + _CHUNK))
            connection.execute("COMMIT")
            bar.update(min(_CHUNK, many - start))


def fill_sessions(file: Path, many: int) -> None:
    """Add sessions of as many users, each with an epoch of its own, as logins would have."""
    with _loading(file, "sessions", "epochs") as connection:
        connection.execute("INSERT INTO epochs (owner, epoch) VALUES ('users:filled', 1)")

        def add(start: int, end: int) -> None:
            # In order, as a database that grew over months is not, but ten times as fast; look-ups are random anyway.
            owners = [f"user:{number:036}" for number in range(start, end)]
            connection.executemany("INSERT INTO epochs (owner, epoch) VALUES (?, 1)", [(owner,) for owner in owners])
            connection.executemany(
                "INSERT INTO sessions (id, kind, tenant_id, user_id, device_id, key, created_at, expires_at, owner, "
                "epoch, realm, realm_epoch, seen_at) VALUES (?, 'user', 'filled', ?, 'laptop', ?, ?, ?, ?, 1, "
                "'users:filled', 1, ?)",
                [
                    (f"{number:022}", owner[5:], secrets.token_bytes(32), _AT, _AT + 10**12 + number, owner, _AT)
                    for number, owner in enumerate(owners, start)
                ],
            )

        _in_chunks(connection, many, "sessions", add)


def fill_users(file: Path, tenant_id: str, many: int) -> None:
    """Add users to a tenant."""
    with _loading(file, "users", "users") as connection:

        def add(start: int, end: int) -> None:
            connection.executemany(
                "INSERT INTO users (id, tenant_id, login, login_key, email, sub, password_hash, credentials, "
                "registration_date, last_activity) VALUES (?, ?, ?, ?, 'u@example.org', 'sub', '', 1, ?, ?)",
                [
                    (f"{tenant_id[:8]}-{number}", tenant_id, login, login, _AT, _AT)
                    for number in range(start, end)
                    for login in (f"person-{number:08}@example.org",)
                ],
            )

        _in_chunks(connection, many, f"users of a tenant ({many:,})", add)


def bring_in(file: Path, tenant_id: str, many: int) -> None:
    """Bring a tenant's logins into what searches look at, as the service does by and by, in larger batches."""

    async def work() -> None:
        database = SqliteDatabase(file)
        await database.open()
        accounts = RelationalAccountStore(database)
        waiting = {"tenant_id": tenant_id, "piece": "", "beyond": "", "most": many}
        with click.progressbar(length=many, label=f"{'their index':<22}") as bar:
            before = many
            while await accounts.index_logins(limit=_CHUNK):
                [[left]] = await database.scan("count_candidates", waiting)
                bar.update(before - left)
                before = left
        await database.close()

    asyncio.run(work())


def fill_tenants(file: Path, many: int) -> None:
    """Add tenants."""
    with _loading(file, "tenants", "tenants") as connection:

        def add(start: int, end: int) -> None:
            connection.executemany(
                "INSERT INTO tenants (id, email, email_key, password_hash, credentials, created_at) "
                "VALUES (?, ?, ?, '', 1, ?)",
                [(f"filled-{n}", f"{n}@filled.example", f"{n}@filled.example", _AT) for n in range(start, end)],
            )

        _in_chunks(connection, many, "tenants", add)


def _cpu(server: Server, effort: Effort, target: Any) -> float:
    before = server.cpu()
    load = saturate(target, effort.seconds, 32)
    return (server.cpu() - before) * 1e6 / load.requests


def sessions(bench: Bench, many: int, tenants: int) -> Figure:
    """CPU of a verification with few sessions and with many."""
    spent: dict[str, list[float]] = {}
    ratios: list[float] = []
    with contextlib.ExitStack() as stack:
        few = stack.enter_context(doorward(SQLITE, bench.folder / "few"))
        lots = stack.enter_context(doorward(SQLITE, bench.folder / "many"))
        asked = [verifying(server, fill(server, bench.effort.tenants)) for server in (few, lots)]
        fill_sessions(bench.folder / "few" / "data" / "doorward.db", _FEW)
        fill_sessions(bench.folder / "many" / "data" / "doorward.db", many)
        fill_tenants(bench.folder / "many" / "data" / "doorward.db", tenants)
        names = (f"{_FEW:,} sessions, few tenants", f"{many:,} sessions, {tenants:,} tenants")
        for _ in range(bench.effort.rounds):
            for name, server, target in zip(names, (few, lots), asked, strict=True):
                spent.setdefault(name, []).append(_cpu(server, bench.effort, target))
            ratios.append(spent[names[1]][-1] / spent[names[0]][-1])
    return Figure(
        "scale-sessions",
        "CPU of one POST /auth/verify by the number of sessions",
        "µs of the server process",
        f"SQLite, {bench.effort.tenants} tokens in turn, 32 busy connections, as in `verify`. `make bench-scale` fills "
        "the database.",
        [Line.of(name, values) for name, values in spent.items()],
        [Ratio("many / few", statistics.median(ratios), 1.2)],
    )


def sweeping(bench: Bench, many: int) -> Figure:
    """Time of a write while expired sessions are swept; `sessions` has filled them in."""
    folder = bench.folder / "many" / "data"
    found, swept = asyncio.run(_write_while_sweeping(read_settings(folder), _SWEPT_FOR))
    lines = [
        Line.of(f"{name}, p{share * 100:.0f}", [sorted(values)[int(share * len(values))]])
        for name, values in found.items()
        for share in (0.5, 0.99)
    ]
    worst = max(line.value for line in lines if line.name.endswith("p99") and "sweeping" in line.name)
    return Figure(
        "scale-sweeping",
        f"A write while {many:,} expired sessions are swept",
        "ms",
        f"SQLite, one write every {_WRITE_EVERY * 1e3:.0f} ms, in the worker that sweeps and in another one, for "
        f"{_SWEPT_FOR:.0f} s; 200 sessions to a batch and as long a pause as each took, as in the service, {swept / _SWEPT_FOR:,.0f} a second.",
        lines,
        [Ratio("p99 while sweeping / 50 ms", worst / 50, 1.0)],
    )


async def _write_while_sweeping(settings: Settings, seconds: float) -> tuple[dict[str, list[float]], int]:
    sweeper, other = select_stores(settings), select_stores(settings)
    for stores in (sweeper, other):
        await stores.open()
    found: dict[str, list[float]] = {}
    swept = 0

    async def write(name: str, stores: Stores) -> None:
        until = perf_counter() + seconds
        while perf_counter() < until:
            began = perf_counter()
            await stores.counters.consume(name, period=1, burst=1_000_000, now=_AT)
            found.setdefault(name, []).append((perf_counter() - began) * 1e3)
            await asyncio.sleep(_WRITE_EVERY)

    until = 0.0

    async def sweep() -> bool:
        nonlocal swept
        swept += await sweeper.sessions.sweep(_AT + 10**13, limit=200)
        return perf_counter() < until

    await asyncio.gather(write("nothing swept", other))
    until = perf_counter() + seconds
    await asyncio.gather(
        repeat_until_done(sweep), write("sweeping, same worker", sweeper), write("sweeping, another worker", other)
    )
    for stores in (sweeper, other):
        await stores.close()
    return found, swept


def users(bench: Bench, many: int) -> Figure:
    """Time of a first page, a deep page, and a search, of a tenant with few users and of one with many."""
    found: dict[str, list[float]] = {}
    with doorward(SQLITE, bench.folder / "users", {"BUDGET_VERIFY": "off"}) as server:
        file = bench.folder / "users" / "data" / "doorward.db"
        tokens: dict[int, str] = {}
        for size in (_FEW, many):
            tenant = call(server, "/tenant", {"email": f"{size}@example.org", "password": PASSWORD})
            tokens[size] = tenant["token"]
            fill_users(file, tenant["id"], size)
            bring_in(file, tenant["id"], size)
        with httpx.Client(base_url=server.url, timeout=60) as http:
            for _ in range(_ASKED):
                for size, token in tokens.items():
                    deep = httpx.QueryParams(cursor=_cursor(f"person-{size // 2:08}@example.org"))
                    rare = httpx.QueryParams(q=f"{size - 7:08}"[-6:])
                    queries = {"first page": "", "deep page": str(deep), "search": str(rare)}
                    for kind, query in queries.items():
                        began = perf_counter()
                        answer = http.get(f"/user?{query}", headers={"Authorization": f"Bearer {token}"})
                        taken = (perf_counter() - began) * 1e3
                        assert json.loads(answer.text)["users"], answer.text
                        found.setdefault(f"{kind}, {size:,} users", []).append(taken)
    ratios = [
        Ratio(
            f"{kind}: many / few",
            statistics.median(found[f"{kind}, {many:,} users"]) / statistics.median(found[f"{kind}, {_FEW:,} users"]),
            1.5,
        )
        for kind in ("first page", "deep page", "search")
    ]
    return Figure(
        "scale-users",
        "GET /user by the number of a tenant's users",
        "ms from request to answer",
        "SQLite; a page of 100 from the beginning, one from the middle, and a search for six digits that one login or "
        "a few have, once the service has brought the logins into its index.",
        [Line.of(name, values) for name, values in found.items()],
        ratios,
    )


def _cursor(last: str) -> str:
    from doorward.core.users.cursor import encode_cursor

    return encode_cursor(last)


@click.command()
@click.option("--sessions", "many_sessions", default=10_000_000, show_default=True, help="Sessions to fill in.")
@click.option("--users", "many_users", default=1_000_000, show_default=True, help="Users of the large tenant.")
@click.option("--tenants", default=10_000, show_default=True, help="Tenants to fill in.")
@click.option("--keep", is_flag=True, help="Write what was measured into docs/benchmarks.md.")
def main(*, many_sessions: int, many_users: int, tenants: int, keep: bool) -> None:
    """Fill an embedded database and measure what its size costs."""
    machine.go_first()
    with tempfile.TemporaryDirectory() as folder, machine.pinned(machine.cores()[1]):
        bench = Bench(Path(folder), Effort(rounds=5, seconds=2.0))
        found = [sessions(bench, many_sessions, tenants), sweeping(bench, many_sessions), users(bench, many_users)]
    about = machine.describe()
    click.echo(as_text(found))
    if keep:
        write(_DOCS, about, found)


if __name__ == "__main__":
    main()
