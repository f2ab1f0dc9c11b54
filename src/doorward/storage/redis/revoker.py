"""Revocation of all sessions of an owner: stored in the revocation log, then done in Redis, then swept in batches."""

import secrets
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from doorward.core.errors import StoreUnavailable
from doorward.core.model import Session
from doorward.core.ports import Clock, Revocation, RevocationStore
from doorward.storage.redis.client import Redis
from doorward.storage.redis.records import Epoch, KeyNames, format_time, new_epoch
from doorward.storage.redis.scripts import Command, load_scripts

_SCRIPTS = load_scripts("sessions.lua")
_TRIES = 5
_REMEMBERED = 100_000
_REVOKED = 1
_MORE_OPENED = 2
_SOME_LEFT = 3
_REMOVE_BATCH = 100
_DRAWN_TTL = 86_400_000


class _Leftovers(NamedTuple):
    ended: bytes
    sessions: bytes


class SessionRevoker:
    """Revokes sessions by replacing epochs."""

    def __init__(self, redis: Redis, revocations: RevocationStore, clock: Clock) -> None:
        """Revoke sessions in `redis`, after storing each revocation in `revocations`."""
        self._redis = redis
        self._revocations = revocations
        self._clock = clock
        # After a crash, Redis expires what was left; sessions without an expiry stay, invalid.
        self._leftovers: deque[_Leftovers] = deque(maxlen=_REMEMBERED)

    async def revoke(self, names: KeyNames, keep: Session | None) -> None:
        """Revoke every session of an owner but `keep`."""
        kept_id = "" if keep is None else keep.id
        for _ in range(_TRIES):
            epoch = await self._record(names.epoch)
            if epoch is None:
                return
            keys = [names.epoch, names.index_key, names.ended(epoch.name), names.session(kept_id)]
            new = new_epoch(self._clock())
            # Enough for almost every user. The rest is swept later, so that the script has a bounded cost.
            batch = _REMOVE_BATCH, names.sessions
            step = _SCRIPTS["end"].on(keys, epoch.name, format_time(epoch.until), new, kept_id, *batch)
            [outcome] = await self._redis.run(step, revoking=True)
            if outcome == _SOME_LEFT:
                self._leftovers.append(_Leftovers(names.ended(epoch.name), names.sessions))
            if outcome in {_REVOKED, _SOME_LEFT}:
                return
            # Another process was first and may have kept another session, or more sessions were opened: try again.
        raise StoreUnavailable(retry_after=1)

    async def renew(self, realm: bytes) -> None:
        """Revoke every session of a realm; its policy stays."""
        for _ in range(_TRIES):
            epoch = await self._record(realm)
            if epoch is None:
                return
            step = _SCRIPTS["renew"].on([realm], epoch.name, format_time(epoch.until), new_epoch(self._clock()))
            [outcome] = await self._redis.run(step, revoking=True)
            if outcome != _MORE_OPENED:
                return
        raise StoreUnavailable(retry_after=1)

    async def _record(self, place: bytes) -> Epoch | None:
        """Store the revocation of the current epoch and return it; None where it has no sessions."""
        [value] = await self._redis.get([place])
        if value is None:
            # Redis may have lost the epoch and recover it from an old copy: that epoch was drawn before now.
            now = self._clock()
            await self._revocations.record(Revocation(place.decode(), f"{now:013}/{secrets.token_hex(8)}", None))
            # The new epoch marks that no session was opened since, so that the revocation is not stored again.
            await self._redis.run(_SCRIPTS["draw"].on([place], new_epoch(now), _DRAWN_TTL), revoking=True)
            return None
        epoch = Epoch.read(value)
        if epoch.until == 0:
            await self._redis.run(Command(place, ("EXISTS", place)), revoking=True)
            return None
        # An epoch is stored again if a session with a later expiry was opened meanwhile; so the name has the expiry.
        name = f"{epoch.name.decode()}/{format_time(epoch.until)}"
        await self._revocations.record(Revocation(place.decode(), name, epoch.until))
        return epoch

    async def erase(self, owners: Sequence[KeyNames]) -> None:
        """Remove every session of deleted owners."""
        step = _SCRIPTS["sweep"]
        while owners:
            found = await self._redis.run(
                *(step.on([names.index_key], _REMOVE_BATCH, names.sessions) for names in owners)
            )
            owners = [names for names, removed in zip(owners, found, strict=True) if removed == _REMOVE_BATCH]

    async def sweep(self, limit: int) -> int:
        """Remove up to `limit` revoked sessions; return their number."""
        swept = 0
        while self._leftovers and swept < limit:
            waste = self._leftovers[0]
            [found] = await self._redis.run(_SCRIPTS["sweep"].on([waste.ended], limit - swept, waste.sessions))
            swept += found
            if swept < limit and self._leftovers and self._leftovers[0] is waste:
                self._leftovers.popleft()
        return swept
