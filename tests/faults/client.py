"""A client that costs little: many can ask at once from one event loop, each on one connection that it keeps."""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import bcrypt

from harness import PASSWORD

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 30.0
"""Seconds after which a client gives up on an answer; no answer takes that long on a machine that works at all."""


class Lost(Exception):
    """The connection ended before the answer was there: whether the request was carried out is not known."""


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def worker(self) -> str:
        """Which process answered: request ids begin with what is unique to one."""
        return self.headers["x-request-id"].partition("-")[0]


@dataclass
class Client:
    """One connection, opened when it is needed."""

    port: int
    token: str = ""
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: object = None) -> Reply:
        """Send one request and return the answer; Lost where there is none, TimeoutError where there is nothing."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._ask(method, path, body)
        except TimeoutError:
            self.close()
            raise
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Lost(repr(error)) from error

    async def _ask(self, method: str, path: str, body: object) -> Reply:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(content)}"]
        lines += ["Content-Type: application/json"] if content else []
        lines += [f"Authorization: Bearer {self.token}"] if self.token else []
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        answer = await self._reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return Reply(int(head[0].split()[1]), headers, json.loads(answer) if answer else None)

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def register(self, email: str, password: str = PASSWORD) -> Reply:
        """Register a tenant, and speak as that tenant from now on."""
        answer = await self.ask("POST", "/tenant", {"email": email, "password": password})
        if answer.status == 200:
            self.token = answer.body["token"]
        return answer

    async def create(self, login: str, password: str = "pw") -> Reply:
        body = {"login": login, "email": "user@example.org", **secret(password), "sub": "sub-1"}
        return await self.ask("POST", "/user", body)

    async def delete(self, login: str) -> Reply:
        return await self.ask("DELETE", f"/user/{login}")

    async def login(self, login: str, password: str = "pw") -> Reply:
        return await self.ask("POST", "/auth", {"login": login, "password": password, "deviceId": "laptop"})

    async def verify(self, token: str) -> Reply:
        return await self.ask("POST", "/auth/verify", {"token": token})

    async def logout(self, token: str) -> Reply:
        return await self.ask("POST", "/auth/logout", {"token": token})

    async def session(self, login: str, password: str = "pw") -> str:
        """Log in, again and again while the service is busy, and return the token."""
        token: str = (await patient(lambda: self.login(login, password))).body["accessToken"]
        return token

    async def logins(self) -> list[str]:
        """Return the logins of all of the tenant's users."""
        found: list[str] = []
        cursor = "0"
        while True:
            page = (await self.ask("GET", f"/user?limit=500&cursor={cursor}")).body
            found += [user["login"] for user in page["users"]]
            cursor = page["nextCursor"]
            if cursor == "0":
                return found


@dataclass
class PatientClient(Client):
    """A client that asks again while the service says that it cannot answer just now, as it is told to."""

    async def ask(self, method: str, path: str, body: object = None) -> Reply:
        """See `Client.ask`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await super().ask(method, path, body)
                if answer.status != 503:
                    return answer
                await asyncio.sleep(0.1)


class ReadyHash(str):
    """A hash of a password, in the place of the password."""

    __slots__ = ()


def ready_hash(password: str) -> ReadyHash:
    """Return a hash that the service takes over, so that creating a user costs it no hashing."""
    return ReadyHash(bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode())


def secret(password: str) -> dict[str, str]:
    """Return the field of a body that sets a password, or takes over a hash."""
    return {"passwordHash" if isinstance(password, ReadyHash) else "password": password}


async def patient(ask: Callable[[], Awaitable[Reply]]) -> Reply:
    """Ask until the answer is no `overloaded`: then it has to be 200."""
    while True:
        answer = await ask()
        if answer.status != 503 or answer.body["code"] != "overloaded":
            assert answer.status == 200, answer
            return answer
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def clients(port: int, number: int, token: str = "", kind: type[Client] = Client) -> AsyncIterator[list[Client]]:
    """Give that many clients, whose connections end with the block."""
    made = [kind(port, token) for _ in range(number)]
    try:
        yield made
    finally:
        for client in made:
            client.close()


@contextlib.asynccontextmanager
async def spread(port: int, *, workers: int, each: int, token: str = "") -> AsyncIterator[list[Client]]:
    """Give clients of which `each` are connected to every one of `workers` processes, in turn."""
    seats: dict[str, list[Client]] = defaultdict(list)
    spare: list[Client] = []
    try:
        async with asyncio.timeout(60):
            while len(seats) < workers or any(len(seated) < each for seated in seats.values()):
                fresh = [Client(port, token) for _ in range(workers * each)]
                spare += fresh
                # At once: whoever is busy with a connection leaves the next one to another worker.
                for client, reply in zip(
                    fresh, await asyncio.gather(*(client.ask("GET", "/health/live") for client in fresh)), strict=True
                ):
                    seats[reply.worker].append(client)
        assert len(seats) == workers, "more processes answer than were started"
        yield [client for row in zip(*(seated[:each] for seated in seats.values()), strict=True) for client in row]
    finally:
        for client in spare:
            client.close()


async def together(
    clients: list[Client], items: Iterable[Item], work: Callable[[Client, Item], Awaitable[Result]]
) -> list[Result]:
    """Share the items out among the clients, which work in parallel, and return every result in order."""
    queue = list(enumerate(items))[::-1]
    results: dict[int, Result] = {}

    async def serve(client: Client) -> None:
        while queue:
            number, item = queue.pop()
            results[number] = await work(client, item)

    await asyncio.gather(*map(serve, clients))
    return [results[number] for number in sorted(results)]
