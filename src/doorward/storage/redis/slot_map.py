"""Slot map of a Redis Cluster: the node that serves each slot."""

import asyncio
import hashlib
from binascii import crc_hqx
from collections.abc import Callable
from itertools import count

from doorward.core.errors import StoreUnavailable
from doorward.storage.redis.address import Address, Place
from doorward.storage.redis.connection import CONNECTION_ERRORS, GreetingRejected, RedisConnection, Reply

_SLOTS = 16_384
_SECONDS = 1.0
_PAUSE = 0.2


class SlotMap:
    """Slots of a Cluster, as of the last refresh."""

    def __init__(self, address: Address) -> None:
        """Start without slots; `refresh` reads them from the nodes of `address`."""
        self._address = address
        self._places: dict[int, Place] = {}
        self._refreshing: asyncio.Task[None] | None = None

    @staticmethod
    def slot(key: bytes) -> int:
        """Return the slot of a key, or of its hash tag (Redis Cluster specification)."""
        start = key.find(b"{") + 1
        end = key.find(b"}", start) if start else -1
        return crc_hqx(key[start:end] if end > start else key, 0) % _SLOTS

    def place(self, key: bytes) -> Place | None:
        """Return the node that serves a key; None if there is none."""
        return self._places.get(self.slot(key))

    def key_on(self, place: Place, prefix: str) -> bytes:
        """Return a key that starts with `prefix` and is served by `place`, one of `masters`."""
        return next(key for n in count() if self.place(key := f"{prefix}:{n}".encode()) == place)

    @property
    def masters(self) -> list[Place]:
        """The nodes that serve slots."""
        return sorted(set(self._places.values()))

    def slot_ranges(self) -> dict[Place, str]:
        """Return a short digest of the slots of each node that serves some."""
        slots: dict[Place, list[int]] = {}
        for slot, place in sorted(self._places.items()):
            slots.setdefault(place, []).append(slot)
        return {
            place: hashlib.blake2s(repr(owned).encode(), digest_size=8).hexdigest() for place, owned in slots.items()
        }

    def move_slot(self, key: bytes, place: Place) -> None:
        """Set the node of one slot, from a redirection."""
        self._places[self.slot(key)] = place

    async def refresh(self) -> None:
        """Read the slots from the first node that responds; StoreUnavailable if none does."""
        for place in dict.fromkeys([*self.masters, *self._address.places]):
            try:
                async with asyncio.timeout(_SECONDS):
                    connection = await RedisConnection.connect(*place, self._address.tls, self._address.greeting)
                    try:
                        [ranges] = await connection.run([("CLUSTER", "SLOTS")])
                    finally:
                        connection.close()
            except (*CONNECTION_ERRORS, GreetingRejected):
                continue
            if isinstance(ranges, list) and ranges:
                self._places = _read(ranges, place[0])
                return
        raise StoreUnavailable(retry_after=1)

    def refresh_soon(self, then: Callable[[], None]) -> None:
        """Start a refresh in the background, unless one is under way, and call `then` after it."""

        async def refresh() -> None:
            try:
                await asyncio.sleep(_PAUSE)
                await self.refresh()
                then()
            except StoreUnavailable:
                return
            finally:
                self._refreshing = None

        if self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(refresh())

    def close(self) -> None:
        """Cancel a refresh in the background."""
        if self._refreshing is not None:
            self._refreshing.cancel()


def _read(ranges: list[Reply], source: str) -> dict[int, Place]:
    places: dict[int, Place] = {}
    for first, last, (host, port, *_), *_ in ranges:
        # A node that does not know its own address omits it.
        place = (host.decode() if host else source, port)
        places.update(dict.fromkeys(range(first, last + 1), place))
    return places
