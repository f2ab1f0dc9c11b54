"""Verification of Redis servers, and replay of revocations to servers that may have lost writes.

A server's identity is its process (`run_id`) and its replication history (`master_replid`). Every restart, failover and
promotion changes it, and may lose writes. So a server with a new identity is used only after every revocation has been
replayed to it.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Self

import hiredis

from doorward.core.ports import Clock, Revocation, RevocationStore
from doorward.storage.redis.connection import RedisConnection, Reply
from doorward.storage.redis.scripts import Command, Word, load_scripts

IDENTITY_COMMANDS: tuple[tuple[Word, ...], ...] = (("INFO", "server"), ("INFO", "replication"))
"""Commands whose replies `ServerIdentity.read` parses."""

_REVOKE = load_scripts("sessions.lua")["revoke"]
_PAGE = 1_000
_NO_HISTORY = "0" * 40
_EPOCHS = (b":user", b":users", b":tenant", b":keys")


class UntrustedServer(Exception):
    """The server is a replica, was superseded, has a new identity, or rejected the replay."""


class ServerIdentity(NamedTuple):
    """Identity of a server. `history` is the id of its data set, `before` that of the data set it took over."""

    run: str
    history: str
    before: str
    role: str

    @classmethod
    def read(cls, server: Reply, replication: Reply) -> Self:
        """Parse the replies to `IDENTITY_COMMANDS`; UntrustedServer if they are errors."""
        fields = {**read_info(server), **read_info(replication)}
        try:
            return cls(fields["run_id"], fields["master_replid"], fields["master_replid2"], fields["role"])
        except KeyError:
            raise UntrustedServer("no identity") from None

    @property
    def name(self) -> str:
        """Unique name of the identity."""
        return f"{self.run}:{self.history}"


def read_info(reply: Reply) -> dict[str, str]:
    """Return the fields of a reply to INFO; UntrustedServer if it is an error."""
    if not isinstance(reply, bytes):
        raise UntrustedServer(str(reply))
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, _, value in lines if value}


def _superseded(history: str) -> str:
    return f"superseded:{history}"


class ServerTrust:
    """Verifies servers and replays revocations. Trusted servers are stored with the revocations, for all processes."""

    def __init__(self, revocations: RevocationStore, clock: Clock) -> None:
        """Store trusted servers in `revocations`."""
        self._revocations = revocations
        self._clock = clock
        self._trusted: set[str] = set()

    async def verify_server(self, connection: RedisConnection) -> None:
        """Verify the server of a connection, with a replay if its identity is new; UntrustedServer on failure."""
        server, replication, probe = await connection.run([*IDENTITY_COMMANDS, ("EXISTS", "dw:probe")])
        identity = await self._check(server, replication)
        if isinstance(probe, hiredis.ReplyError) and not str(probe).startswith("MOVED"):
            raise UntrustedServer(str(probe))
        name = f"{identity.name}:{connection.slot_range}" if connection.slot_range else identity.name
        if name not in self._trusted:
            if not await self._revocations.is_trusted(name):
                await self._replay_revocations(connection, identity, name)
            self._trusted.add(name)
        connection.identity = identity.name

    async def confirm(self, connection: RedisConnection, server: Reply, replication: Reply) -> None:
        """Raise UntrustedServer if the server's identity has changed since it was verified."""
        if (await self._check(server, replication)).name != connection.identity:
            raise UntrustedServer("a new identity")

    async def check_not_superseded(self, connection: RedisConnection) -> None:
        """Raise UntrustedServer if another server is known to have taken over from this one."""
        if await self._revocations.is_trusted(_superseded(connection.identity.partition(":")[2])):
            raise UntrustedServer("superseded")

    async def _check(self, server: Reply, replication: Reply) -> ServerIdentity:
        identity = ServerIdentity.read(server, replication)
        if identity.role != "master":
            raise UntrustedServer("a replica")
        # A master that is cut off from its successor does not know it, so the process that verified that one stores it.
        if await self._revocations.is_trusted(_superseded(identity.history)):
            raise UntrustedServer("superseded")
        return identity

    async def _replay_revocations(self, connection: RedisConnection, identity: ServerIdentity, name: str) -> None:
        # The old server is marked before the revocations are read. A process that stores a revocation and runs it on
        # the old server checks the mark afterwards. So the replay has the revocation, or that process sees the mark.
        if identity.before != _NO_HISTORY:
            await self._revocations.trust(_superseded(identity.before), now=self._clock())
        await _load(connection)
        await each_page(self._revocations, lambda page: _replay_page(connection, page))
        await self._revocations.trust(name, now=self._clock())


async def each_page(revocations: RevocationStore, replay: Callable[[list[Revocation]], Awaitable[None]]) -> None:
    """Call `replay` with each page of revocations."""
    after = ""
    while page := await revocations.page(after=after, limit=_PAGE):
        await replay(page)
        after = page[-1].name


async def _load(connection: RedisConnection) -> None:
    [loaded] = await connection.run([("SCRIPT", "LOAD", _REVOKE.text)])
    if isinstance(loaded, hiredis.ReplyError):
        raise UntrustedServer(str(loaded))


async def _replay_page(connection: RedisConnection, page: Sequence[Revocation]) -> None:
    for reply in await connection.run([_revocation_command(revocation).words for revocation in page]):
        # A slot that was moved has its revocations replayed on its new server.
        if isinstance(reply, hiredis.ReplyError) and not str(reply).startswith("MOVED"):
            raise UntrustedServer(str(reply))


def _revocation_command(revocation: Revocation) -> Command:
    place = revocation.place.encode()
    if place.endswith(_EPOCHS):
        return _REVOKE.on([place], revocation.name.partition("/")[0])
    return Command(place, ("DEL", place))
