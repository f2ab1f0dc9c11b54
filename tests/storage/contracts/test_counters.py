"""Contract of counter stores (`doorward.core.ports.CounterStore`)."""

import asyncio
import os
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doorward.core.ports import AttemptPermit, Backoff, CounterStore, Failures
from doorward.storage.redis.counters import _place
from doorward.storage.redis.scripts import Command
from factories import NOW, Workers

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = 300 if os.environ.get("DOORWARD_TORTURE") else 40
RULE = Backoff(free_attempts=3, first_wait=1_000, max_wait=8_000, max_failures=8, lease=10_000, max_memory=100_000)


@pytest.fixture
def key() -> str:
    return uuid4().hex


async def fail(counters: CounterStore, key: str, now: int, rule: Backoff = RULE) -> None:
    assert await counters.reserve(key, rule, now=now) == AttemptPermit(0)
    await counters.settle(key, rule, now=now)


async def test_BF9_a_budget_gives_its_burst_and_then_one_each_period_to_the_millisecond(
    workers: Workers, key: str
) -> None:
    counters, elsewhere = workers.counters

    async def take(now: int) -> int:
        return await workers.counters[now % 2].consume(key, period=100, burst=3, now=now)

    assert [await take(NOW) for _ in range(4)] == [0, 0, 0, 100]
    assert await take(NOW + 60) == 40
    assert await take(NOW + 99) == 1
    assert await take(NOW + 100) == 0
    assert await take(NOW + 100) == 100
    assert [await take(NOW + 1_000) for _ in range(4)] == [0, 0, 0, 100]
    assert await counters.consume(f"{key}-other", period=100, burst=1, now=NOW) == 0
    assert await elsewhere.consume(f"{key}-other", period=100, burst=1, now=NOW) == 100


async def test_BF10_parallel_takers_on_every_worker_get_the_burst_and_no_more(workers: Workers, key: str) -> None:
    taken = await asyncio.gather(
        *(workers.counters[n % 2].consume(key, period=1_000, burst=7, now=NOW) for n in range(40))
    )
    assert taken.count(0) == 7
    assert {wait for wait in taken if wait} == {1_000}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pauses=st.lists(st.integers(0, 250), max_size=30), period=st.integers(1, 300), burst=st.integers(1, 5))
async def test_a_budget_is_gcra_exactly(workers: Workers, pauses: list[int], period: int, burst: int) -> None:
    name, now, full_at = uuid4().hex, NOW, 0
    for pause in pauses:
        now += pause
        wanted = max(full_at, now) + period
        wait = max(0, wanted - now - period * burst)
        full_at = full_at if wait else wanted
        assert await workers.counters[now % 2].consume(name, period=period, burst=burst, now=now) == wait


async def test_failures_are_free_at_first_and_then_double_the_wait_up_to_the_longest(
    workers: Workers, key: str
) -> None:
    counters, elsewhere = workers.counters
    now = NOW
    for wait in [0, 0, 0, 1_000, 2_000, 4_000, 8_000]:
        await fail(counters, key, now)
        if wait:
            assert await elsewhere.reserve(key, RULE, now=now) == AttemptPermit(wait)
            assert await elsewhere.reserve(key, RULE, now=now + wait - 1) == AttemptPermit(1)
        now += wait
    assert await elsewhere.reserve(key, RULE, now=now) == AttemptPermit(0)


async def test_BF1_at_the_cap_nothing_helps_but_forgetting(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    now = NOW
    for _ in range(RULE.max_failures):
        await fail(counters, key, now)
        now += RULE.max_wait
    assert (await elsewhere.reserve(key, RULE, now=now)).locked
    assert (await elsewhere.reserve(key, RULE, now=now + 5 * RULE.max_memory)).locked
    await counters.reset(key)
    assert await elsewhere.reserve(key, RULE, now=now) == AttemptPermit(0)


async def test_BF2_no_more_are_in_flight_than_may_fail_without_a_wait(workers: Workers, key: str) -> None:
    verdicts = await asyncio.gather(*(workers.counters[n % 2].reserve(key, RULE, now=NOW) for n in range(20)))
    assert verdicts.count(AttemptPermit(0)) == RULE.free_attempts
    assert all(verdict.busy and verdict.wait > 0 for verdict in verdicts if verdict != AttemptPermit(0))


async def test_BF2_failures_that_were_counted_leave_less_room_in_flight(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    await fail(counters, key, NOW)
    await fail(counters, key, NOW)
    verdicts = await asyncio.gather(*(elsewhere.reserve(key, RULE, now=NOW) for _ in range(5)))
    assert verdicts.count(AttemptPermit(0)) == 1


async def test_BF3_right_secrets_in_parallel_all_pass_one_after_another(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    for _ in range(3):
        for _ in range(RULE.free_attempts):
            assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
        assert (await elsewhere.reserve(key, RULE, now=NOW)).busy
        for _ in range(RULE.free_attempts):
            await elsewhere.reset(key)


async def test_a_reservation_given_back_counts_as_never_made(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    for _ in range(4 * RULE.free_attempts):
        assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
        await elsewhere.release(key)
    verdicts = [await counters.reserve(key, RULE, now=NOW) for _ in range(RULE.free_attempts + 1)]
    assert verdicts.count(AttemptPermit(0)) == RULE.free_attempts


async def test_giving_back_what_nobody_reserved_gains_nothing(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    for _ in range(3):
        await counters.release(key)
        await elsewhere.reset(key)
    verdicts = [await counters.reserve(key, RULE, now=NOW) for _ in range(RULE.free_attempts + 1)]
    assert verdicts.count(AttemptPermit(0)) == RULE.free_attempts


async def test_success_forgets_failures_but_not_who_is_still_in_flight(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    await fail(counters, key, NOW)
    assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
    assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
    await elsewhere.reset(key)
    verdicts = [await counters.reserve(key, RULE, now=NOW) for _ in range(RULE.free_attempts + 1)]
    assert verdicts.count(AttemptPermit(0)) == RULE.free_attempts - 1


async def test_clearing_forgets_failures_and_blocks_of_the_names_it_is_given_and_no_reservation(
    workers: Workers, key: str
) -> None:
    counters, elsewhere = workers.counters
    names = [key, f"{key}-session", f"{key}-bystander", f"{key}-reserved"]
    for name in names:
        for _ in range(RULE.max_failures if name == key else RULE.free_attempts + 1):
            await counters.settle(name, RULE, now=NOW)
    await elsewhere.reset(names[3])
    for _ in range(RULE.free_attempts):
        assert await counters.reserve(names[3], RULE, now=NOW) == AttemptPermit(0)
    await elsewhere.clear([names[1], key, names[3], f"{key}-unknown"], now=NOW)
    verdicts = [await counters.reserve(name, RULE, now=NOW) for name in names]
    assert verdicts[:2] == [AttemptPermit(0), AttemptPermit(0)]
    assert verdicts[2] == AttemptPermit(RULE.first_wait)
    assert verdicts[3].busy
    await counters.release(key)
    assert await failures(elsewhere, key, NOW) == 0


async def test_a_reservation_that_nobody_concluded_is_forgotten_after_its_lease(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    for _ in range(RULE.free_attempts):
        assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
    assert (await elsewhere.reserve(key, RULE, now=NOW + RULE.lease - 1)).busy
    assert await elsewhere.reserve(key, RULE, now=NOW + RULE.lease) == AttemptPermit(0)


async def test_failures_are_forgotten_after_their_memory(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    for _ in range(RULE.free_attempts):
        await fail(counters, key, NOW)
    later = NOW + RULE.max_memory
    verdicts = [await elsewhere.reserve(key, RULE, now=later) for _ in range(RULE.free_attempts)]
    assert verdicts == [AttemptPermit(0)] * RULE.free_attempts


async def test_BF10_parallel_failures_are_all_counted(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    await asyncio.gather(*(workers.counters[n % 2].settle(key, RULE, now=NOW) for n in range(6)))
    assert await elsewhere.reserve(key, RULE, now=NOW) == AttemptPermit(4_000)
    assert await counters.reserve(f"{key}-other", RULE, now=NOW) == AttemptPermit(0)


async def test_OV6_a_sweep_removes_only_counters_that_say_nothing_any_more(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    assert await counters.consume(key, period=100, burst=1, now=NOW) == 0
    for _ in range(RULE.free_attempts + 1):
        await fail(counters, key, NOW)
    while await elsewhere.sweep(NOW + 50, limit=2):
        continue
    assert await counters.consume(key, period=100, burst=1, now=NOW + 50) == 50
    assert await counters.reserve(key, RULE, now=NOW + 50) == AttemptPermit(950)
    while found := await elsewhere.sweep(NOW + RULE.max_memory, limit=1):
        assert found in {1, 2}
    assert await counters.sweep(NOW + RULE.max_memory, limit=10) == 0
    assert await counters.consume(key, period=100, burst=1, now=NOW + RULE.max_memory) == 0
    assert await counters.reserve(key, RULE, now=NOW + RULE.max_memory) == AttemptPermit(0)


async def test_KR4_BF1_failures_are_counted_on_under_another_name(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    former = f"{key}-former"
    for step in range(5):
        await fail(counters, former, NOW + 10_000 * step)
    now = NOW + 41_000
    wait = (await counters.reserve(former, RULE, now=now)).wait
    assert wait > 0
    await elsewhere.transfer(key, former, now=now)
    assert await counters.reserve(key, RULE, now=now) == AttemptPermit(wait)
    assert await counters.reserve(former, RULE, now=now) == AttemptPermit(0), "it is counted under two names"
    await counters.release(former)
    # Whatever still failed under the former name meanwhile is added.
    await fail(counters, former, now)
    await counters.transfer(key, former, now=now)
    later = now + 8_000
    await fail(counters, key, later)
    await fail(elsewhere, key, later + 8_000)
    assert (await counters.reserve(key, RULE, now=later + 50_000)).locked, "eight have failed"


async def test_N6_what_an_account_brings_along_makes_a_counter_of_an_unknown_name_its_own(
    workers: Workers, key: str
) -> None:
    counters, elsewhere = workers.counters
    rule, realm = RULE._replace(max_unknown=0), uuid4().hex
    await counters.settle(f"{key}-former", rule, now=NOW)
    await counters.settle(key, rule, now=NOW, unknown_in=realm)
    await counters.transfer(key, f"{key}-former", now=NOW)
    while await elsewhere.evict(rule, now=NOW, limit=10) or await counters.evict(rule, now=NOW, limit=10):
        pass
    assert await failures(elsewhere, key, NOW) == 2


async def test_N6_failures_that_are_forgotten_do_not_come_back_with_those_of_another_name(
    workers: Workers, key: str
) -> None:
    counters, elsewhere = workers.counters
    for step in range(7):
        await fail(counters, key, NOW + 60_000 * step)
    later = NOW + 60_000 * 6 + RULE.max_memory
    await fail(counters, f"{key}-former", later)
    assert (await counters.failures(key, RULE, now=later)).in_a_row == 0
    await elsewhere.transfer(key, f"{key}-former", now=later)
    assert (await counters.failures(key, RULE, now=later)).in_a_row == 1


async def test_N6_what_one_unknown_name_takes_over_from_another_is_of_an_unknown_name(
    workers: Workers, key: str
) -> None:
    counters, elsewhere = workers.counters
    rule, realm = RULE._replace(max_unknown=0), uuid4().hex
    for name in (key, f"{key}-former"):
        await counters.settle(name, rule, now=NOW, unknown_in=realm)
    await counters.transfer(key, f"{key}-former", now=NOW)
    while await elsewhere.evict(rule, now=NOW, limit=10) or await counters.evict(rule, now=NOW, limit=10):
        pass
    assert await failures(elsewhere, key, NOW) == 0


async def test_KR4_of_many_who_inherit_at_once_one_does(workers: Workers, key: str) -> None:
    counters, _ = workers.counters
    former = f"{key}-former"
    for step in range(5):
        await fail(counters, former, NOW + 10_000 * step)
    now = NOW + 60_000
    await asyncio.gather(*(workers.counters[n % 2].transfer(key, former, now=now) for n in range(8)))
    for step in range(2):
        await fail(counters, key, now + 10_000 * step)
    assert await counters.reserve(key, RULE, now=now + 20_000) == AttemptPermit(0), "some failure was counted twice"
    await counters.release(key)


async def test_KR4_what_says_nothing_any_more_is_not_inherited(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    former = f"{key}-former"
    for step in range(5):
        await fail(counters, former, NOW + 10_000 * step)
    now = NOW + 50_000 + RULE.max_memory
    # One failure of its own, so that anything inherited is added to what is still remembered.
    await fail(counters, key, now)
    await elsewhere.transfer(key, former, now=now)
    await elsewhere.transfer(key, f"{key}-unknown", now=now)
    for _ in range(2):
        await fail(counters, key, now)
    assert await elsewhere.reserve(key, RULE, now=now) == AttemptPermit(0)
    await counters.settle(key, RULE, now=now)
    assert await elsewhere.reserve(key, RULE, now=now) == AttemptPermit(RULE.first_wait)


# --- bystanders: what is done to one name is done to no other -----------------------------------------------------


async def waits(counters: CounterStore, key: str, now: int) -> int:
    """Return the wait that a name has, and leave it as it is."""
    verdict = await counters.reserve(key, RULE, now=now)
    if not verdict.wait:
        await counters.release(key)
    return verdict.wait


async def test_T2_a_right_secret_forgets_the_failures_of_its_own_name_only(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    bystander = f"{key}-bystander"
    for name in (key, bystander):
        for _ in range(RULE.free_attempts + 1):
            await counters.settle(name, RULE, now=NOW)
    await elsewhere.reset(key)
    assert await waits(counters, key, NOW) == 0
    assert await waits(counters, bystander, NOW) == RULE.first_wait


async def test_T2_reservations_of_a_bystander_survive_what_others_conclude(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    bystander = f"{key}-bystander"
    for _ in range(RULE.free_attempts):
        assert await counters.reserve(bystander, RULE, now=NOW) == AttemptPermit(0)
    assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
    assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
    await elsewhere.release(key)
    await elsewhere.reset(key)
    assert (await elsewhere.reserve(bystander, RULE, now=NOW)).busy


async def test_T2_releasing_twice_gives_back_one_reservation(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
    for _ in range(3):
        await elsewhere.release(key)
    verdicts = [await counters.reserve(key, RULE, now=NOW) for _ in range(RULE.free_attempts + 1)]
    assert verdicts.count(AttemptPermit(0)) == RULE.free_attempts


async def test_T2_inheriting_leaves_the_reservations_of_a_bystander(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    former, bystander = f"{key}-former", f"{key}-bystander"
    await fail(counters, former, NOW)
    for _ in range(RULE.free_attempts):
        assert await counters.reserve(bystander, RULE, now=NOW) == AttemptPermit(0)
    await elsewhere.transfer(key, former, now=NOW)
    assert (await counters.reserve(bystander, RULE, now=NOW)).busy


async def test_T2_an_expired_name_passes_no_failure_on_to_one_that_counts(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    former, later = f"{key}-former", NOW + RULE.max_memory
    for _ in range(RULE.free_attempts + 1):
        await counters.settle(former, RULE, now=NOW)
    await fail(counters, key, later)
    await elsewhere.transfer(key, former, now=later)
    for _ in range(RULE.free_attempts - 1):
        await fail(counters, key, later)
    assert await waits(counters, key, later) == 0


async def test_BF2_a_failure_ends_its_own_reservation_and_no_other(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    for _ in range(2):
        assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
    await elsewhere.settle(key, RULE, now=NOW)
    # One has failed and one is in flight, of three that may fail.
    assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
    assert (await elsewhere.reserve(key, RULE, now=NOW)).busy


async def test_BF2_a_failure_without_a_reservation_makes_no_room_for_another(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
    for _ in range(2):
        await elsewhere.settle(key, RULE, now=NOW)
    assert await counters.reserve(key, RULE, now=NOW) == AttemptPermit(0)
    assert (await elsewhere.reserve(key, RULE, now=NOW)).busy


async def test_BF2_a_lease_that_is_over_makes_room_beside_failures_that_are_remembered(
    workers: Workers, key: str
) -> None:
    counters, elsewhere = workers.counters
    await fail(counters, key, NOW)
    for now in (NOW, NOW + RULE.lease):
        for _ in range(RULE.free_attempts - 1):
            assert await counters.reserve(key, RULE, now=now) == AttemptPermit(0)
        assert (await elsewhere.reserve(key, RULE, now=now)).busy


async def test_BF2_a_block_is_judged_by_the_rule_of_the_attempt(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    for _ in range(RULE.free_attempts + 1):
        await counters.settle(key, RULE, now=NOW)
    assert await elsewhere.reserve(key, RULE, now=NOW) == AttemptPermit(RULE.first_wait)
    assert await elsewhere.reserve(key, RULE._replace(free_attempts=10), now=NOW) == AttemptPermit(0)


@pytest.mark.parametrize("later", ["own", "former"])
async def test_KR4_of_two_blocks_the_one_that_ends_later_goes_on(workers: Workers, key: str, later: str) -> None:
    counters, elsewhere = workers.counters
    former, rule = f"{key}-former", RULE._replace(max_failures=20)
    for name in (key, former):
        for _ in range(RULE.free_attempts + 1):
            await counters.settle(name, rule, now=NOW + 500 if (name == key) == (later == "own") else NOW)
    await elsewhere.transfer(key, former, now=NOW + 500)
    assert await counters.reserve(key, rule, now=NOW + 500) == AttemptPermit(RULE.first_wait)


@pytest.mark.parametrize("later", ["own", "former"])
async def test_KR4_failures_of_both_names_are_remembered_as_long_as_the_later_ones(
    workers: Workers, key: str, later: str
) -> None:
    counters, elsewhere = workers.counters
    former = f"{key}-former"
    for name in (key, former):
        await counters.settle(name, RULE, now=NOW + 50_000 if (name == key) == (later == "own") else NOW)
    await elsewhere.transfer(key, former, now=NOW + 60_000)
    assert await failures(counters, key, NOW + 50_000 + RULE.max_memory - 1) == 2


async def test_KR4_failures_that_demand_no_wait_neither_lift_a_block_nor_lengthen_it(
    workers: Workers, key: str
) -> None:
    counters, elsewhere = workers.counters
    former = f"{key}-former"
    for _ in range(RULE.free_attempts + 1):
        await counters.settle(former, RULE, now=NOW)
    for _ in range(2):
        await counters.settle(key, RULE, now=NOW + 900)
    await elsewhere.transfer(key, former, now=NOW + 900)
    assert await counters.reserve(key, RULE, now=NOW + 900) == AttemptPermit(100)
    assert await counters.reserve(key, RULE, now=NOW + 1_000) == AttemptPermit(0)


async def is_stored(workers: Workers, key: str) -> bool:
    """Tell whether a store still has anything of a name, after a sweep."""
    while await workers.one.counters.sweep(NOW, limit=100):
        pass
    if workers.one.redis is None:
        return bool(await workers.one.database.read("attempts", {"key": key}))
    place = _place("attempts", key)
    return bool((await workers.one.redis.run(Command(place, ("EXISTS", place))))[0])


@pytest.mark.parametrize("left", ["failures", "a released reservation", "a reservation whose lease is over"])
@pytest.mark.parametrize("how", ["forget", "clear"])
async def test_S5_a_name_without_failures_and_attempts_leaves_nothing(
    workers: Workers, key: str, how: str, left: str
) -> None:
    counters, elsewhere = workers.counters
    await counters.settle(key, RULE, now=NOW - RULE.lease)
    if left != "failures":
        await counters.reserve(key, RULE, now=NOW if left == "a released reservation" else NOW - RULE.lease)
    if left == "a released reservation":
        await counters.release(key)
    assert await is_stored(workers, key)
    if how == "forget":
        await elsewhere.reset(key)
    else:
        await elsewhere.clear([key], now=NOW)
    assert not await is_stored(workers, key)


# --- what strangers leave behind ----------------------------------------------------------------------------------


async def failures(counters: CounterStore, key: str, now: int, rule: Backoff = RULE) -> int:
    """Return how many failures of a name are remembered, fewer than the free ones; they stay as they are."""
    reserved = 0
    while reserved < rule.free_attempts and not (await counters.reserve(key, rule, now=now)).wait:
        reserved += 1
    for _ in range(reserved):
        await counters.release(key)
    return rule.free_attempts - reserved


@pytest.mark.parametrize(("count", "life"), [(1, 10_000), (2, 20_000), (3, 25_000)])
async def test_S5_failures_are_remembered_the_longer_the_more_there_are(
    workers: Workers, key: str, count: int, life: int
) -> None:
    counters, elsewhere = workers.counters
    rule = RULE._replace(free_attempts=4, memory_per_failure=10_000, max_memory=25_000)
    # Two names, since asking reserves, which keeps a counter for the lease.
    for name in (key, f"{key}-later"):
        for step in range(count):
            await fail(counters, name, NOW + step, rule)
    last = NOW + count - 1
    assert await failures(elsewhere, key, last + life - 1, rule) == count
    assert await failures(elsewhere, f"{key}-later", last + life, rule) == 0


async def test_S5_three_failures_a_day_are_the_most_that_is_never_slowed_down(workers: Workers, key: str) -> None:
    counters, _ = workers.counters
    now, guesses = NOW, 0
    while now < NOW + 30 * 86_400_000:
        for _ in range(Backoff().free_attempts):
            await fail(counters, key, now, Backoff())
            guesses += 1
        now += Backoff().memory_per_failure * Backoff().free_attempts
    assert guesses <= 99


async def test_S5_a_full_realm_gives_up_the_newest_of_the_fewest_failures_first(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    rule, realm, later = RULE._replace(max_unknown=4), uuid4().hex, NOW + 20_000
    for name, count, at in (("a", 1, NOW), ("b", 1, NOW + 1_000), ("c", 1, NOW + 2_000), ("two", 2, NOW + 3_000)):
        for _ in range(count):
            await counters.settle(key + name, rule, now=at, unknown_in=realm)
    for name in ("fresh-1", "fresh-2"):
        await counters.settle(key + name, rule, now=later, unknown_in=realm)
    await counters.settle(f"{key}known", rule, now=NOW + 2_500)
    await counters.settle(f"{key}elsewhere", rule, now=NOW + 2_500, unknown_in=uuid4().hex)
    evicted = 0
    while found := await counters.evict(rule, now=later, limit=1):
        evicted += found
    assert evicted == 2
    left = {"a": 1, "b": 0, "c": 0, "two": 2, "fresh-1": 1, "fresh-2": 1, "known": 1, "elsewhere": 1}
    assert {name: await failures(elsewhere, key + name, later) for name in left} == left
    assert await elsewhere.evict(rule, now=later, limit=10) == 0


async def test_S5_where_all_are_fresh_the_newest_go(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    rule, realm = RULE._replace(max_unknown=2), uuid4().hex
    for number in range(5):
        await counters.settle(f"{key}{number}", rule, now=NOW + 1_000 * number, unknown_in=realm)
    while await counters.evict(rule, now=NOW + 5_000, limit=10):
        continue
    assert [await failures(elsewhere, f"{key}{number}", NOW + 5_000) for number in range(5)] == [1, 1, 0, 0, 0]


async def test_S5_the_counter_of_an_account_is_never_given_up(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    rule, realm = RULE._replace(max_unknown=0), uuid4().hex
    # The name of an account that there is only since the first failure.
    await counters.settle(key, rule, now=NOW, unknown_in=realm)
    await elsewhere.settle(key, rule, now=NOW)
    await counters.settle(f"{key}-unknown", rule, now=NOW, unknown_in=realm)
    while await counters.evict(rule, now=NOW, limit=10):
        continue
    assert await failures(elsewhere, key, NOW) == 2
    assert await failures(elsewhere, f"{key}-unknown", NOW) == 0


async def test_S5_what_is_forgotten_anyway_pushes_nothing_out(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    rule, realm, later = RULE._replace(max_unknown=2, memory_per_failure=50_000), uuid4().hex, NOW + 60_000
    for name, at in (("old-1", NOW), ("old-2", NOW), ("new-1", NOW + 30_000), ("new-2", NOW + 40_000)):
        await counters.settle(key + name, rule, now=at, unknown_in=realm)
    while await elsewhere.sweep(later, limit=100):
        continue
    while await counters.evict(rule, now=later, limit=10):
        continue
    assert [await failures(elsewhere, f"{key}new-{number}", later) for number in (1, 2)] == [1, 1]


async def test_S5_a_realm_that_has_room_again_gives_nothing_up(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    rule, realm, later = RULE._replace(max_unknown=2, memory_per_failure=50_000), uuid4().hex, NOW + 60_000
    for number in range(3):
        await counters.settle(f"{key}old-{number}", rule, now=NOW, unknown_in=realm)
    await counters.settle(f"{key}remembered", rule, now=NOW + 30_000, unknown_in=realm)
    while await elsewhere.sweep(later, limit=100):
        continue
    while await counters.evict(rule, now=later, limit=10):
        continue
    assert await failures(elsewhere, f"{key}remembered", later) == 1


# --- a clock that is set back -------------------------------------------------------------------------------------

STEPS = {"5 s": 5_000, "10 s": 10_000, "2 h": 7_200_000, "30 d": 30 * 86_400_000}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_F2_a_budget_used_up_before_the_clock_was_set_back_is_full(workers: Workers, key: str, step: int) -> None:
    counters, elsewhere = workers.counters
    while await counters.consume(key, period=200, burst=5, now=NOW + step) == 0:
        continue
    assert [await elsewhere.consume(key, period=200, burst=5, now=NOW) for _ in range(6)] == [0, 0, 0, 0, 0, 200]
    assert await counters.consume(key, period=200, burst=5, now=NOW + 200) == 0


@pytest.mark.parametrize("behind", [1, 500, 1_500, 2_000])
@pytest.mark.parametrize("burst", [1, 5])
async def test_BF10_F2_a_worker_whose_clock_is_behind_gets_nothing_out_of_a_budget_that_is_used_up(
    workers: Workers, key: str, behind: int, burst: int
) -> None:
    counters, elsewhere = workers.counters
    for _ in range(burst):
        assert await counters.consume(key, period=200, burst=burst, now=NOW + behind) == 0
    for _ in range(3):
        assert 0 < await elsewhere.consume(key, period=200, burst=burst, now=NOW) <= 200 * burst
        assert await counters.consume(key, period=200, burst=burst, now=NOW + behind) == 200


@pytest.mark.parametrize("failed", [4, 8])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_F2_a_wait_begun_before_the_clock_was_set_back_is_over(
    workers: Workers, key: str, step: int, failed: int
) -> None:
    counters, elsewhere = workers.counters
    rule = RULE._replace(max_failures=9, max_wait=7_000)
    for _ in range(failed):
        await counters.settle(key, rule, now=NOW + step)
    own = rule.wait(failed)
    assert await counters.reserve(key, rule, now=NOW + step) == AttemptPermit(own)
    assert await elsewhere.reserve(key, rule, now=NOW) == AttemptPermit(0)
    await elsewhere.settle(key, rule, now=NOW)
    assert (await counters.reserve(key, rule, now=NOW)).wait == rule.wait(failed + 1), "the failures were forgotten"


@pytest.mark.parametrize("behind", [1, 500, 2_000])
async def test_BF2_F2_a_worker_whose_clock_is_behind_does_not_cut_a_wait_short(
    workers: Workers, key: str, behind: int
) -> None:
    counters, elsewhere = workers.counters
    for _ in range(RULE.free_attempts + 1):
        await counters.settle(key, RULE, now=NOW + behind)
    assert await elsewhere.reserve(key, RULE, now=NOW) == AttemptPermit(RULE.first_wait)
    assert (await elsewhere.reserve(key, RULE, now=NOW + RULE.first_wait + behind)).wait == 0


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_F2_reservations_left_behind_before_the_clock_was_set_back_are_forgotten(
    workers: Workers, key: str, step: int
) -> None:
    counters, elsewhere = workers.counters
    rule = RULE._replace(lease=5_000)
    for _ in range(rule.free_attempts):
        assert await counters.reserve(key, rule, now=NOW + step) == AttemptPermit(0)
    assert (await counters.reserve(key, rule, now=NOW + step)).busy
    assert (await counters.reserve(key, rule, now=NOW + step - 2_000)).busy, "clocks may be apart by that"
    assert await elsewhere.reserve(key, rule, now=NOW) == AttemptPermit(0)


async def test_BF1_F2_a_clock_that_is_set_back_does_not_lift_the_cap(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters
    for _ in range(RULE.max_failures):
        await counters.settle(key, RULE, now=NOW + 7_200_000)
    assert (await elsewhere.reserve(key, RULE, now=NOW)).locked


async def test_failures_are_read_without_changing_anything(workers: Workers, key: str) -> None:
    counters, elsewhere = workers.counters

    async def read(now: int) -> Failures:
        return await elsewhere.failures(key, RULE, now=now)

    assert await read(NOW) == Failures()
    for count in range(1, 4):
        await fail(counters, key, NOW)
        assert await read(NOW) == Failures(count)
    await fail(counters, key, NOW)
    for _ in range(3):
        assert await read(NOW) == Failures(4, NOW + 1_000), "and no attempt is reserved"
    assert await read(NOW + 1_000) == Failures(4)
    assert await read(NOW - 60_000) == Failures(4), "a block from before the clock was set back"
    now = NOW
    for _ in range(RULE.max_failures - 4):
        now += 8_000
        await fail(counters, key, now)
    assert (await read(now)).locked
    await counters.clear([key], now=now)
    assert await read(now) == Failures()


async def test_failures_that_are_forgotten_are_none(workers: Workers, key: str) -> None:
    await fail(workers.counters[0], key, NOW)
    assert await workers.counters[1].failures(key, RULE, now=NOW + RULE.max_memory - 1) == Failures(1)
    assert await workers.counters[1].failures(key, RULE, now=NOW + RULE.max_memory) == Failures()
