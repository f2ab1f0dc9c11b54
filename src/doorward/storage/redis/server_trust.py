"""Which servers are believed, and how one that may have forgotten is told what was ended.

A server's life is its process (`run_id`) and its history (`master_replid`). Every restart, failover or promotion begins
a new one, and every new one may have lost writes. So nothing it says counts before it was told every ending again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Self

import hiredis

from doorward.core.ports import Clock, Revocation, RevocationStore
from doorward.storage.redis.connection import RedisConnection, Reply
from doorward.storage.redis.scripts import Command, Word, load_scripts

IDENTITY_COMMANDS: tuple[tuple[Word, ...], ...] = (("INFO", "server"), ("INFO", "replication"))
"""The commands whose replies `Life.read` understands."""

_REVOKE = load_scripts("sessions.lua")["revoke"]
_PAGE = 1_000
_NO_HISTORY = "0" * 40
_EPOCHS = (b":user", b":users", b":tenant", b":keys")


class UntrustedServer(Exception):
    """The server is a replica, was superseded, begins a new life, or refused to be told."""


class ServerIdentity(NamedTuple):
    """What a server says of itself. `history` names the data set it goes on with, `before` the one it took over."""

    run: str
    history: str
    before: str
    role: str

    @classmethod
    def read(cls, server: Reply, replication: Reply) -> Self:
        """Read the replies to `ASK_LIFE`; NotBelieved where they are none."""
        said = {**read_info(server), **read_info(replication)}
        try:
            return cls(said["run_id"], said["master_replid"], said["master_replid2"], said["role"])
        except KeyError:
            raise UntrustedServer("no life") from None

    @property
    def name(self) -> str:
        """What tells this life from every other one."""
        return f"{self.run}:{self.history}"


def read_info(reply: Reply) -> dict[str, str]:
    """Return the fields of a reply to INFO; NotBelieved where it is an error."""
    if not isinstance(reply, bytes):
        raise UntrustedServer(str(reply))
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, _, value in lines if value}


def _superseded(history: str) -> str:
    return f"superseded:{history}"


class ServerTrust:
    """Admits servers, and reminds them. What it vouches for is kept where revocations are, for every process."""

    def __init__(self, revocations: RevocationStore, clock: Clock) -> None:
        """Remember with `revocations`; `clock` dates what is kept."""
        self._revocations = revocations
        self._clock = clock
        self._trusted: set[str] = set()

    async def verify_server(self, link: RedisConnection) -> None:
        """Believe a connection's server from now on, after telling it everything if need be. NotBelieved if not."""
        server, replication, probe = await link.run([*IDENTITY_COMMANDS, ("EXISTS", "dw:probe")])
        life = await self._check(server, replication)
        if isinstance(probe, hiredis.ReplyError) and not str(probe).startswith("MOVED"):
            raise UntrustedServer(str(probe))
        name = f"{life.name}:{link.territory}" if link.territory else life.name
        if name not in self._trusted:
            if not await self._revocations.is_trusted(name):
                await self._replay_revocations(link, life, name)
            self._trusted.add(name)
        link.life = life.name

    async def confirm(self, link: RedisConnection, server: Reply, replication: Reply) -> None:
        """Go on believing a connection; NotBelieved where its server's life is not the one it was admitted in."""
        if (await self._check(server, replication)).name != link.life:
            raise UntrustedServer("a new life")

    async def refuse_superseded(self, link: RedisConnection) -> None:
        """NotBelieved where another server has taken over from this one, as far as anybody knows."""
        if await self._revocations.is_trusted(_superseded(link.life.partition(":")[2])):
            raise UntrustedServer("superseded")

    async def _check(self, server: Reply, replication: Reply) -> ServerIdentity:
        life = ServerIdentity.read(server, replication)
        if life.role != "master":
            raise UntrustedServer("a replica")
        # A master that is cut off from its successor does not know of it, but whoever told the successor does.
        if await self._revocations.is_trusted(_superseded(life.history)):
            raise UntrustedServer("superseded")
        return life

    async def _replay_revocations(self, link: RedisConnection, life: ServerIdentity, name: str) -> None:
        # First the mark, then the reading: whoever notes an ending and carries it out on the server before this one
        # looks for the mark afterwards. One of the two sees the other.
        if life.before != _NO_HISTORY:
            await self._revocations.trust(_superseded(life.before), now=self._clock())
        await _load(link)
        await each_page(self._revocations, lambda page: _replay_page(link, page))
        await self._revocations.trust(name, now=self._clock())


async def each_page(revocations: RevocationStore, tell: Callable[[list[Revocation]], Awaitable[None]]) -> None:
    """Hand every revocation to `tell`, page by page."""
    after = ""
    while page := await revocations.page(after=after, limit=_PAGE):
        await tell(page)
        after = page[-1].name


async def _load(link: RedisConnection) -> None:
    [loaded] = await link.run([("SCRIPT", "LOAD", _REVOKE.text)])
    if isinstance(loaded, hiredis.ReplyError):
        raise UntrustedServer(str(loaded))


async def _replay_page(link: RedisConnection, page: Sequence[Revocation]) -> None:
    for reply in await link.run([_revocation_command(ended).words for ended in page]):
        # What is moved elsewhere is told there.
        if isinstance(reply, hiredis.ReplyError) and not str(reply).startswith("MOVED"):
            raise UntrustedServer(str(reply))


def _revocation_command(ended: Revocation) -> Command:
    place = ended.place.encode()
    if place.endswith(_EPOCHS):
        return _REVOKE.on([place], ended.name.partition("/")[0])
    return Command(place, ("DEL", place))
