"""Which node of a Cluster serves which slot."""

import asyncio
import hashlib
from binascii import crc_hqx
from collections.abc import Callable
from itertools import count

from doorward.core.errors import StoreUnavailable
from doorward.storage.redis.address import Address, Place
from doorward.storage.redis.connection import RedisConnection, Refused, Reply, Trouble

_SLOTS = 16_384
_SECONDS = 1.0
_PAUSE = 0.2


class SlotMap:
    """The slots of a Cluster, as its nodes last told."""

    def __init__(self, address: Address) -> None:
        """Begin with the nodes of `address`, and no slots."""
        self._address = address
        self._places: dict[int, Place] = {}
        self._drawing: asyncio.Task[None] | None = None

    @staticmethod
    def slot(key: bytes) -> int:
        """Return a key's slot: that of its hash tag, if it has one (Redis Cluster Specification)."""
        start = key.find(b"{") + 1
        end = key.find(b"}", start) if start else -1
        return crc_hqx(key[start:end] if end > start else key, 0) % _SLOTS

    def place(self, key: bytes) -> Place | None:
        """Return the node that serves a key, None where none does."""
        return self._places.get(self.slot(key))

    def key_on(self, place: Place, prefix: str) -> bytes:
        """Return a key that one of `masters` serves; it begins with `prefix`."""
        return next(key for n in count() if self.place(key := f"{prefix}:{n}".encode()) == place)

    @property
    def masters(self) -> list[Place]:
        """The nodes that serve slots."""
        return sorted(set(self._places.values()))

    def slot_ranges(self) -> dict[Place, str]:
        """Return the nodes that serve slots, and a short name of all the slots that each serves."""
        slots: dict[Place, list[int]] = {}
        for slot, place in sorted(self._places.items()):
            slots.setdefault(place, []).append(slot)
        return {
            place: hashlib.blake2s(repr(owned).encode(), digest_size=8).hexdigest() for place, owned in slots.items()
        }

    def move_slot(self, key: bytes, place: Place) -> None:
        """Take over what a node said of one slot."""
        self._places[self.slot(key)] = place

    async def refresh(self) -> None:
        """Ask the nodes, one after another until one answers; StoreUnavailable where none does."""
        for place in dict.fromkeys([*self.masters, *self._address.places]):
            try:
                async with asyncio.timeout(_SECONDS):
                    link = await RedisConnection.connect(*place, self._address.tls, self._address.greeting)
                    try:
                        [ranges] = await link.run([("CLUSTER", "SLOTS")])
                    finally:
                        link.close()
            except (*Trouble, Refused):
                continue
            if isinstance(ranges, list) and ranges:
                self._places = _read(ranges, place[0])
                return
        raise StoreUnavailable(retry_after=1)

    def refresh_soon(self, then: Callable[[], None]) -> None:
        """Ask the nodes in the background, unless that is under way, and call `then` when they answered."""

        async def draw() -> None:
            try:
                await asyncio.sleep(_PAUSE)
                await self.refresh()
                then()
            except StoreUnavailable:
                return
            finally:
                self._drawing = None

        if self._drawing is None:
            self._drawing = asyncio.get_running_loop().create_task(draw())

    def close(self) -> None:
        """Stop asking."""
        if self._drawing is not None:
            self._drawing.cancel()


def _read(ranges: list[Reply], asked: str) -> dict[int, Place]:
    places: dict[int, Place] = {}
    for first, last, (host, port, *_), *_ in ranges:
        # A node that does not know its own address leaves it out.
        place = (host.decode() if host else asked, port)
        places.update(dict.fromkeys(range(first, last + 1), place))
    return places
