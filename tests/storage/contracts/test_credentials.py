"""Contract of stores of API keys and reset codes (`doorward.core.ports.credentials`)."""

import asyncio
import secrets
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from doorward.core.model import MAX_CLOCK_SKEW, Event
from doorward.core.ports import ApiKey, ResetCode
from factories import NOW, Workers, kept_tenant, made_event, make_user

pytestmark = pytest.mark.asyncio(loop_scope="module")


def make_key(tenant_id: str, **more: Any) -> ApiKey:
    made = ApiKey(secrets.token_urlsafe(16), tenant_id, "gateway", "verify", secrets.token_bytes(32), NOW, None)
    return made._replace(**more)


def make_code(tenant_id: str, user_id: str, *, expires_at: int = NOW + 600_000) -> ResetCode:
    return ResetCode(secrets.token_bytes(32), tenant_id, user_id, 1, expires_at)


async def told(workers: Workers, tenant_id: str) -> list[str]:
    return [entry.text for entry in await workers.other.audit.page(tenant_id, before=None, limit=100)]


async def test_keys_come_back_as_they_were_kept_oldest_first(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    kept = [
        make_key(tenant.id, created_at=NOW + 2, name="Ünïcode ' \" %"),
        make_key(tenant.id, created_at=NOW + 1, expires_at=NOW + 9, permissions="sessions verify"),
        make_key(tenant.id, created_at=NOW + 3),
    ]
    for key in kept:
        assert await workers.one.api_keys.add(key, cap=10)
    assert await workers.other.api_keys.list_of_tenant(tenant.id) == [kept[1], kept[0], kept[2]]
    for key in kept:
        assert await workers.other.api_keys.find(tenant.id, key.id) == key


async def test_TI3_a_key_is_found_and_forgotten_by_its_own_tenant_only(workers: Workers) -> None:
    mine, theirs = await kept_tenant(workers.one.accounts), await kept_tenant(workers.one.accounts)
    key = make_key(mine.id)
    assert await workers.one.api_keys.add(key, cap=10)
    assert await workers.other.api_keys.find(theirs.id, key.id) is None
    assert await workers.other.api_keys.list_of_tenant(theirs.id) == []
    assert not await workers.other.api_keys.delete(theirs.id, key.id, events=[made_event(theirs.id)])
    assert await told(workers, theirs.id) == []
    assert await workers.other.api_keys.find(mine.id, key.id) == key


async def test_a_key_is_forgotten_once_and_that_is_told_once(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    key = make_key(tenant.id)
    assert await workers.one.api_keys.add(key, cap=10, events=[made_event(tenant.id, "key.create")])
    keys = (workers.one.api_keys, workers.other.api_keys)
    gone = await asyncio.gather(
        *(keys[n % 2].delete(tenant.id, key.id, events=[made_event(tenant.id)]) for n in range(6))
    )
    assert sum(gone) == 1
    assert len(await told(workers, tenant.id)) == 2
    assert await workers.other.api_keys.find(tenant.id, key.id) is None
    assert await workers.other.api_keys.list_of_tenant(tenant.id) == []


async def test_a_tenant_has_no_more_keys_than_the_cap_and_what_was_refused_is_not_told(workers: Workers) -> None:
    tenant, neighbour = await kept_tenant(workers.one.accounts), await kept_tenant(workers.one.accounts)
    assert await workers.one.api_keys.add(make_key(neighbour.id), cap=1)
    for expected in (True, True, False, False):
        added = await workers.one.api_keys.add(make_key(tenant.id), cap=2, events=[made_event(tenant.id)])
        assert added == expected
    assert len(await told(workers, tenant.id)) == 2
    [first, _] = await workers.other.api_keys.list_of_tenant(tenant.id)
    assert await workers.other.api_keys.delete(tenant.id, first.id)
    assert await workers.one.api_keys.add(make_key(tenant.id), cap=2)


async def test_keys_of_a_tenant_that_is_disabled_or_gone_are_not_found(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    key = make_key(tenant.id)
    assert await workers.one.api_keys.add(key, cap=10)
    assert await workers.one.accounts.change_tenant(replace(tenant, disabled=True))
    assert await workers.other.api_keys.find(tenant.id, key.id) is None
    assert await workers.other.api_keys.list_of_tenant(tenant.id) == [key]
    assert await workers.one.accounts.change_tenant(replace(tenant, version=2))
    assert await workers.other.api_keys.find(tenant.id, key.id) == key
    assert await workers.one.accounts.delete_tenant(tenant.id)
    assert await workers.other.api_keys.find(tenant.id, key.id) is None
    assert await workers.other.api_keys.find(str(uuid4()), key.id) is None


async def test_the_last_use_of_a_key_moves_forward_only_and_resurrects_none(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    one, other, gone = (make_key(tenant.id, created_at=NOW + n) for n in range(3))
    for key in (one, other, gone):
        assert await workers.one.api_keys.add(key, cap=10)
    assert await workers.one.api_keys.delete(tenant.id, gone.id)
    await workers.one.api_keys.touch({one.id: NOW + 10, other.id: NOW + 20, gone.id: NOW + 30}, now=NOW)
    await workers.other.api_keys.touch({one.id: NOW + 5, other.id: NOW + 25}, now=NOW)
    await workers.other.api_keys.touch({}, now=NOW)
    assert await workers.one.api_keys.list_of_tenant(tenant.id) == [
        one._replace(last_used=NOW + 10),
        other._replace(last_used=NOW + 25),
    ]


async def test_F2_a_key_used_before_the_clock_was_set_back_is_used_now(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    one, bystander = make_key(tenant.id), make_key(tenant.id, created_at=NOW + 1)
    for key in (one, bystander):
        assert await workers.one.api_keys.add(key, cap=10)
    later = NOW + MAX_CLOCK_SKEW
    await workers.one.api_keys.touch({one.id: later, bystander.id: later}, now=later)
    for now, last_used in ((NOW, later), (NOW - 1, NOW - 1)):
        await workers.other.api_keys.touch({one.id: now}, now=now)
        found = await workers.one.api_keys.list_of_tenant(tenant.id)
        assert [key.last_used for key in found] == [last_used, later]


async def test_PW9_of_many_who_take_a_code_one_gets_it(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    code = make_code(tenant.id, str(uuid4()))
    await workers.one.reset_codes.add(code, events=[made_event(tenant.id)])
    codes = (workers.one.reset_codes, workers.other.reset_codes)
    taken = await asyncio.gather(*(codes[n % 2].consume(tenant.id, code.digest) for n in range(8)))
    assert sorted(found is not None for found in taken) == [False] * 7 + [True]
    assert code in taken
    assert len(await told(workers, tenant.id)) == 1


async def test_PW9_a_newer_code_of_a_user_makes_the_older_one_void(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    user_id = str(uuid4())
    older, newer, neighbours = make_code(tenant.id, user_id), make_code(tenant.id, user_id), make_code(tenant.id, "x")
    for code in (older, neighbours, newer):
        await workers.one.reset_codes.add(code)
    assert await workers.other.reset_codes.consume(tenant.id, older.digest) is None
    assert await workers.other.reset_codes.consume(tenant.id, newer.digest) == newer
    assert await workers.other.reset_codes.consume(tenant.id, neighbours.digest) == neighbours


async def test_TI3_a_code_is_taken_by_its_own_tenant_only(workers: Workers) -> None:
    mine, theirs = await kept_tenant(workers.one.accounts), await kept_tenant(workers.one.accounts)
    code = make_code(mine.id, str(uuid4()))
    await workers.one.reset_codes.add(code)
    assert await workers.other.reset_codes.consume(theirs.id, code.digest) is None
    assert await workers.other.reset_codes.consume(mine.id, b"nothing") is None
    assert await workers.other.reset_codes.consume(mine.id, code.digest) == code


async def test_S14_a_code_that_was_taken_is_put_back_and_taken_once_more(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    code, bystander = make_code(tenant.id, str(uuid4())), make_code(tenant.id, str(uuid4()))
    for one in (code, bystander):
        await workers.one.reset_codes.add(one)
        assert await workers.other.reset_codes.consume(tenant.id, one.digest) == one
    await workers.other.reset_codes.restore(code)
    assert await workers.one.reset_codes.consume(tenant.id, code.digest) == code
    assert await workers.one.reset_codes.consume(tenant.id, code.digest) is None
    assert await workers.one.reset_codes.consume(tenant.id, bystander.digest) is None


@pytest.mark.parametrize("is_taken", [False, True], ids=["unused", "taken"])
async def test_S14_a_voided_code_is_not_put_back_over_a_newer_one(workers: Workers, *, is_taken: bool) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    user_id = str(uuid4())
    older, newer = make_code(tenant.id, user_id), make_code(tenant.id, user_id)
    await workers.one.reset_codes.add(older)
    assert await workers.one.reset_codes.consume(tenant.id, older.digest) == older
    await workers.other.reset_codes.add(newer)
    if is_taken:
        assert await workers.other.reset_codes.consume(tenant.id, newer.digest) == newer
    await workers.one.reset_codes.restore(older)
    assert await workers.other.reset_codes.consume(tenant.id, older.digest) is None
    await workers.other.reset_codes.restore(newer)
    assert await workers.other.reset_codes.consume(tenant.id, newer.digest) == newer


async def test_S14_a_code_is_not_put_back_once_its_user_is_gone(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    user = make_user(tenant.id)
    assert await workers.one.accounts.add_user(user)
    code = make_code(tenant.id, user.id)
    await workers.one.reset_codes.add(code)
    assert await workers.other.reset_codes.consume(tenant.id, code.digest) == code
    assert await workers.other.accounts.delete_user(tenant.id, user.id)
    await workers.one.reset_codes.restore(code)
    assert await workers.other.reset_codes.consume(tenant.id, code.digest) is None


async def test_a_users_code_goes_with_the_user(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    user = make_user(tenant.id)
    assert await workers.one.accounts.add_user(user)
    code = make_code(tenant.id, user.id)
    await workers.one.reset_codes.add(code)
    assert await workers.other.accounts.delete_user(tenant.id, user.id)
    assert await workers.one.reset_codes.consume(tenant.id, code.digest) is None


async def test_a_sweep_removes_expired_codes_in_pieces_and_no_other(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    while await workers.one.reset_codes.sweep(NOW, limit=100):
        pass
    old = [make_code(tenant.id, str(uuid4()), expires_at=NOW - n) for n in range(3)]
    good = make_code(tenant.id, str(uuid4()), expires_at=NOW + 1)
    for code in [*old, good]:
        await workers.one.reset_codes.add(code)
    assert [await workers.other.reset_codes.sweep(NOW, limit=2) for _ in range(3)] == [2, 1, 0]
    assert [await workers.one.reset_codes.consume(tenant.id, code.digest) for code in old] == [None] * 3
    assert await workers.one.reset_codes.consume(tenant.id, good.digest) == good


async def test_no_event_is_lost_among_parallel_writers(workers: Workers) -> None:
    tenant = await kept_tenant(workers.one.accounts)
    keys = (workers.one.api_keys, workers.other.api_keys)
    events: list[Event] = [made_event(tenant.id, f"e{n}") for n in range(20)]
    assert all(
        await asyncio.gather(*(keys[n % 2].add(make_key(tenant.id), cap=99, events=[events[n]]) for n in range(20)))
    )
    assert len(set(await told(workers, tenant.id))) == 20
