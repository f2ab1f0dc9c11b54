"""Ending all sessions of an owner at once: noted first, then carried out, then swept up bit by bit."""

import secrets
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from doorward.core.errors import StoreUnavailable
from doorward.core.model import Session
from doorward.core.ports import Clock, Revocation, RevocationStore
from doorward.storage.redis.client import Redis
from doorward.storage.redis.records import Epoch, KeyNames, new_epoch, parse_time
from doorward.storage.redis.scripts import Command, load_scripts

_SCRIPTS = load_scripts("sessions.lua")
_TRIES = 5
_REMEMBERED = 100_000
_ENDED = 1
_MORE_WAS_OPENED = 2
_SOME_ARE_LEFT = 3
_REMOVED_AT_ONCE = 100
_DRAWN_KEPT = 86_400_000


class _Leftovers(NamedTuple):
    ended: bytes
    sessions: bytes


class SessionRevoker:
    """Ends epochs."""

    def __init__(self, redis: Redis, revocations: RevocationStore, clock: Clock) -> None:
        """End in `redis` what is noted in `revocations`; `clock` dates epochs."""
        self._redis = redis
        self._revocations = revocations
        self._clock = clock
        # What a crash makes us forget is removed by Redis, but for sessions without an end: they stay, dead.
        self._waste: deque[_Leftovers] = deque(maxlen=_REMEMBERED)

    async def revoke(self, names: KeyNames, keep: Session | None) -> None:
        """End every session of an owner; `keep`, if it is one of them and live, goes on."""
        kept = "" if keep is None else keep.id
        for _ in range(_TRIES):
            epoch = await self._record(names.epoch)
            if epoch is None:
                return
            keys = [names.epoch, names.listed, names.ended(epoch.name), names.session(kept)]
            new = new_epoch(self._clock())
            # As many as a user has as a rule, so that nothing of it is left; the rest later, so that it costs the same.
            now = _REMOVED_AT_ONCE, names.sessions
            step = _SCRIPTS["end"].on(keys, epoch.name, parse_time(epoch.until), new, kept, *now)
            [outcome] = await self._redis.run(step, ending=True)
            if outcome == _SOME_ARE_LEFT:
                self._waste.append(_Leftovers(names.ended(epoch.name), names.sessions))
            if outcome in {_ENDED, _SOME_ARE_LEFT}:
                return
            # Somebody else was quicker, but may have kept a session that is not ours to keep; or more was opened.
        raise StoreUnavailable(retry_after=1)

    async def renew(self, realm: bytes) -> None:
        """End every session of a realm, and keep what the realm demands."""
        for _ in range(_TRIES):
            epoch = await self._record(realm)
            if epoch is None:
                return
            step = _SCRIPTS["renew"].on([realm], epoch.name, parse_time(epoch.until), new_epoch(self._clock()))
            [outcome] = await self._redis.run(step, ending=True)
            if outcome != _MORE_WAS_OPENED:
                return
        raise StoreUnavailable(retry_after=1)

    async def _record(self, place: bytes) -> Epoch | None:
        """Note that what was opened under the present epoch has ended; None where nothing was."""
        [value] = await self._redis.get([place])
        if value is None:
            # Perhaps Redis lost it, and finds it again in an old copy: then the copy's epoch was drawn before now.
            now = self._clock()
            await self._revocations.record(Revocation(place.decode(), f"{now:013}/{secrets.token_hex(8)}", None))
            # The epoch that is drawn here says that nothing was opened since, so that the same is not noted again.
            await self._redis.run(_SCRIPTS["draw"].on([place], new_epoch(now), _DRAWN_KEPT), ending=True)
            return None
        epoch = Epoch.read(value)
        if epoch.until == 0:
            await self._redis.run(Command(place, ("EXISTS", place)), ending=True)
            return None
        # An epoch may be noted again when a session was opened meanwhile that ends later; hence its end in the name.
        name = f"{epoch.name.decode()}/{parse_time(epoch.until)}"
        await self._revocations.record(Revocation(place.decode(), name, epoch.until))
        return epoch

    async def erase(self, owners: Sequence[KeyNames]) -> None:
        """Remove every session of owners who are gone, whether it ended or not."""
        step = _SCRIPTS["sweep"]
        while owners:
            found = await self._redis.run(
                *(step.on([names.listed], _REMOVED_AT_ONCE, names.sessions) for names in owners)
            )
            owners = [names for names, removed in zip(owners, found, strict=True) if removed == _REMOVED_AT_ONCE]

    async def sweep(self, limit: int) -> int:
        """Remove up to `limit` ended sessions; return how many."""
        swept = 0
        while self._waste and swept < limit:
            waste = self._waste[0]
            [found] = await self._redis.run(_SCRIPTS["sweep"].on([waste.ended], limit - swept, waste.sessions))
            swept += found
            if swept < limit and self._waste and self._waste[0] is waste:
                self._waste.popleft()
        return swept
