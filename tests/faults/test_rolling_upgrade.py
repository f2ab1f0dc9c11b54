"""Rolling upgrades: processes of two neighbouring versions on one set of stores."""

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

import doorward
from doorward.storage.relational.statements import newest_version
from faults.client import Client, Reply, clients, ready_hash
from faults.sizes import NEIGHBOUR_SECONDS
from harness import KEY, Process
from servers import Servers
from store_configs import SETUPS

pytestmark = pytest.mark.slow

HASH = ready_hash("pw")
CUSTOMERS = 4
PATIENCE = 10


@pytest.fixture
def settings(setup: str, servers: Servers) -> Iterator[dict[str, str]]:
    with SETUPS[setup](servers) as store:
        yield {**store, "JWT_KEY": KEY}


@pytest.fixture
def next_version(tmp_path: Path) -> Path:
    """Where a made-up next version of the program lies: to every table that there is it adds a column, and one more table."""
    program = tmp_path / "next" / "doorward"
    shutil.copytree(Path(doorward.__file__).parent, program, ignore=shutil.ignore_patterns("__pycache__"))
    migrations = program / "storage" / "relational" / "migrations"
    # Some are made by a step for each kind of database.
    tables = {
        table for file in migrations.glob("*.sql") for table in re.findall(r"CREATE TABLE (\w+)", file.read_text())
    }
    assert {"users", "sessions", "tenants"} <= tables
    steps = [f"ALTER TABLE {table} ADD COLUMN of_the_next_version TEXT DEFAULT 'new';" for table in sorted(tables)]
    steps.append("CREATE TABLE of_the_next_version (id TEXT PRIMARY KEY);")
    (migrations / f"{newest_version() + 1:04d}_next.sql").write_text("\n".join([*steps, ""]))
    return program.parent


@dataclass
class Customer:
    """Somebody who does everything at one of the versions that serve, and then sees that all of them know of it."""

    name: str
    doors: list[Client]
    """One connection to each version that serves by now."""
    over: asyncio.Event
    served: int = 0
    chance: Random = field(default_factory=Random)

    async def live(self) -> None:
        while not self.over.is_set():
            login = f"{self.name}-{self.served}"
            assert await self.ask(lambda door: door.create(login, HASH), 409) == 200  # noqa: B023 - called at once
            token = ""

            async def log_in(door: Client) -> Reply:
                nonlocal token
                answer = await door.login(login)  # noqa: B023 - likewise
                token = answer.body.get("accessToken", "")
                return answer

            assert await self.ask(log_in) == 200
            assert await self.known(token) == {200}
            company = {"company": "A"}
            assert await self.ask(lambda door: door.ask("PATCH", f"/user/{login}", company)) == 200  # noqa: B023
            assert await self.ask(lambda door: door.logout(token), 400) == 200  # noqa: B023 - likewise
            assert await self.known(token) == {400}
            self.served += 1

    async def ask(self, ask: Callable[[Client], Awaitable[Reply]], done: int = 200, door: Client | None = None) -> int:
        """Ask until it is no 503, which is what a migration that holds the tables comes to; return the status.

        `done` is what whoever asks again is told where it was done the first time.
        """
        deadline = asyncio.get_running_loop().time() + PATIENCE
        again = False
        while True:
            answer = await ask(door or self.chance.choice(self.doors))
            if answer.status != 503:
                return 200 if again and answer.status == done else answer.status
            assert asyncio.get_running_loop().time() < deadline, answer
            again = True
            await asyncio.sleep(0.1)

    async def known(self, token: str) -> set[int]:
        return {await self.ask(lambda door: door.verify(token), door=door) for door in self.doors}


def ended(process: Process) -> None:
    if process.process:
        process.kill()


def test_UP4_two_neighbouring_versions_serve_side_by_side(
    settings: dict[str, str], next_version: Path, tmp_path: Path
) -> None:
    def version(name: str, **more: str) -> Process:
        (tmp_path / name).mkdir(exist_ok=True)
        return Process(tmp_path / name, {**settings, "DATA_DIR": str(tmp_path / "data"), **more})

    async def upgrade(old: Process, new: Process) -> int:
        async with clients(old.port, CUSTOMERS) as at_old:
            await at_old[0].register("shop@example.org")
            over = asyncio.Event()
            customers = []
            for number, client in enumerate(at_old):
                client.token = at_old[0].token
                customers.append(Customer(f"c{number}", [client], over))
            lives = [asyncio.create_task(customer.live()) for customer in customers]
            await asyncio.sleep(NEIGHBOUR_SECONDS / 3)
            await asyncio.to_thread(new.start)
            async with clients(new.port, CUSTOMERS, at_old[0].token) as at_new:
                for customer, client in zip(customers, at_new, strict=True):
                    customer.doors.append(client)
                served = sum(customer.served for customer in customers)
                await asyncio.sleep(NEIGHBOUR_SECONDS)
                over.set()
                await asyncio.gather(*lives)
        return sum(customer.served for customer in customers) - served

    old, new = version("old"), version("new", PYTHONPATH=str(next_version))
    with ExitStack() as stack:
        stack.callback(ended, old)
        stack.callback(ended, new)
        assert asyncio.run(upgrade(old.start(), new)) > CUSTOMERS, "hardly anybody was served by both"
        with pytest.raises(RuntimeError, match="this program knows only up to"):
            version("late").start()
