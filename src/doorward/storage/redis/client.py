"""Client of Redis or Valkey, one node or a Cluster: runs commands by key, follows redirections.

Commands run in their own tasks, so a cancelled caller neither interrupts a command nor affects other replies.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import hiredis

from doorward.core.errors import StoreUnavailable
from doorward.storage.batching import Coalescer
from doorward.storage.full_store import REDIS_MEMORY, FullStoreReporter
from doorward.storage.redis.address import Address, Place
from doorward.storage.redis.connection import Reply
from doorward.storage.redis.node import Node
from doorward.storage.redis.scripts import Command, Word
from doorward.storage.redis.server_trust import ServerTrust
from doorward.storage.redis.slot_map import SlotMap
from doorward.storage.redis.startup import check_server

log = logging.getLogger(__name__)

_SECONDS = 1.0
_START_SECONDS = 10.0
_REDIRECTIONS = 5
_PROBE = "dw:ready"
_PROBE_TTL = 60_000
_MOVING_PAUSE = 0.05
_OUT_OF_MEMORY = "OOM"


class Redis:
    """Runs commands. Every method raises StoreUnavailable where a server does not reply within a second."""

    def __init__(self, address: Address, trust: ServerTrust) -> None:
        """Take the address of the servers; `open` connects."""
        self._address = address
        self._trust = trust
        self._full = FullStoreReporter(REDIS_MEMORY)
        self._nodes: dict[Place, Node] = {}
        self._map = SlotMap(address) if address.cluster else None
        self._reads: Coalescer[bytes, bytes] = Coalescer(self._get, max_wait=_SECONDS)
        self._tasks: set[asyncio.Task[list[Reply]]] = set()

    async def open(self) -> None:
        """Check the servers, inside the event loop that uses them; CannotStart if one is unreachable or unfit."""
        await check_server(self._address, wait=_START_SECONDS)
        if self._map:
            await self._map.refresh()
            self._assign()

    async def close(self) -> None:
        """Wait for commands under way, and close every connection."""
        await self._reads.close()
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._map:
            self._map.close()
        for node in self._nodes.values():
            node.close()

    def get(self, keys: Sequence[bytes]) -> Coroutine[Any, Any, list[bytes | None]]:
        """Return the values of keys. Calls in one iteration of the event loop share a round trip."""
        return self._reads.get(keys)

    async def run(self, *commands: Command, revoking: bool = False) -> list[Reply]:
        """Run commands, each on its own node, and return their replies. For `revoking` see `Node.run`."""
        task = asyncio.get_running_loop().create_task(self._run(commands, _deadline(), revoking=revoking))
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return await asyncio.shield(task)

    async def probe(self) -> None:
        """Write to every node; StoreUnavailable where one rejects it, for example for lack of memory."""
        keys = [self._map.key_on(place, _PROBE) for place in self._map.masters] if self._map else [_PROBE.encode()]
        await self.run(*(Command(key, ("SET", key, "", "PX", _PROBE_TTL)) for key in keys))

    def _finish(self, task: "asyncio.Task[list[Reply]]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, StoreUnavailable):
            log.error("redis command failed", exc_info=error)

    async def _get(self, keys: Sequence[bytes], deadline: float) -> Mapping[bytes, bytes]:
        if self._map is None:
            [values] = await self._node(self._address.places[0]).run([("MGET", *keys)], deadline)
            if isinstance(values, hiredis.ReplyError):
                raise self._error_for(values)
            return {key: value for key, value in zip(keys, values, strict=True) if value is not None}
        groups: dict[int, list[bytes]] = {}
        for key in keys:
            groups.setdefault(self._map.slot(key), []).append(key)
        commands = [Command(group[0], ("MGET", *group)) for group in groups.values()]
        found = await self._run(commands, deadline, revoking=False)
        return {
            key: value
            for group, values in zip(groups.values(), found, strict=True)
            for key, value in zip(group, values, strict=True)
            if value is not None
        }

    async def _run(self, commands: Sequence[Command], deadline: float, *, revoking: bool) -> list[Reply]:
        replies: list[Reply] = [None] * len(commands)
        pending = {n: (self._place(command), command.words, False) for n, command in enumerate(commands)}
        for _ in range(_REDIRECTIONS):
            await self._round(pending, replies, deadline, revoking=revoking)
            pending = {
                n: retry for n in pending if (retry := await self._redirection(commands[n], replies[n])) is not None
            }
            if not pending:
                return replies
        raise StoreUnavailable(retry_after=1)

    async def _round(
        self,
        pending: Mapping[int, tuple[Place, tuple[Word, ...], bool]],
        replies: list[Reply],
        deadline: float,
        *,
        revoking: bool,
    ) -> None:
        """Run the commands without a reply, concurrently with a batch for each node."""
        batches: dict[Place, list[int]] = {}
        for n, (place, _, _) in pending.items():
            batches.setdefault(place, []).append(n)

        async def run(place: Place, numbers: Sequence[int]) -> None:
            batch: list[tuple[Word, ...]] = []
            positions: list[int] = []
            for n in numbers:
                _, words, asking = pending[n]
                batch += [("ASKING",), words] if asking else [words]
                positions.append(len(batch) - 1)
            all_replies = await self._node(place).run(batch, deadline, revoking=revoking)
            for n, place_in_batch in zip(numbers, positions, strict=True):
                replies[n] = all_replies[place_in_batch]

        if len(batches) == 1:
            [(place, numbers)] = batches.items()
            results: list[BaseException | None] = [await _caught(run(place, numbers))]
        else:
            results = await asyncio.gather(*(_caught(run(*batch)) for batch in batches.items()))
        for error in results:
            if error is not None:
                self._refresh_map()
                raise error

    async def _redirection(self, command: Command, reply: Reply) -> tuple[Place, tuple[Word, ...], bool] | None:
        """Return where and how to run a command again; None where it has a final reply."""
        if not isinstance(reply, hiredis.ReplyError):
            return None
        word, _, rest = str(reply).partition(" ")
        if word == "NOSCRIPT":
            return self._place(command), command.in_full, False
        if self._map and word in {"MOVED", "ASK"}:
            host, _, port = rest.partition(" ")[2].rpartition(":")
            place = (host or self._place(command)[0], int(port))
            if word == "MOVED":
                self._map.move_slot(command.key, place)
                self._assign()
                self._refresh_map()
            return place, command.in_full if command.text else command.words, word == "ASK"
        if self._map and word == "TRYAGAIN":
            await asyncio.sleep(_MOVING_PAUSE)
            return self._place(command), command.words, False
        raise self._error_for(reply)

    def _error_for(self, reply: hiredis.ReplyError) -> StoreUnavailable:
        self._refresh_map()
        reason = str(reply).partition(" ")[0]
        if reason == _OUT_OF_MEMORY:
            return self._full.error()
        log.error("redis command rejected", extra={"reason": reason})
        return StoreUnavailable(retry_after=1)

    def _place(self, command: Command) -> Place:
        if self._map is None:
            return self._address.places[0]
        place = self._map.place(command.key)
        if place is None:
            self._refresh_map()
            raise StoreUnavailable(retry_after=1)
        return place

    def _node(self, place: Place) -> Node:
        if place not in self._nodes:
            self._nodes[place] = Node(place, self._address, self._trust)
        return self._nodes[place]

    def _refresh_map(self) -> None:
        if self._map:
            self._map.refresh_soon(self._assign)

    def _assign(self) -> None:
        """Set the slots of the nodes, and close nodes that serve none."""
        if self._map is None:
            return
        slot_ranges = self._map.slot_ranges()
        for place, slot_range in slot_ranges.items():
            self._node(place).serve_slots(slot_range)
        for place in self._nodes.keys() - slot_ranges.keys():
            self._nodes.pop(place).close()


async def _caught(coroutine: Coroutine[object, object, None]) -> BaseException | None:
    try:
        await coroutine
    except Exception as error:  # noqa: BLE001 - raised after the other batches
        return error
    return None


def _deadline() -> float:
    return asyncio.get_running_loop().time() + _SECONDS
