"""Rate limits and waits, on the embedded database's counters and a turnable clock."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from doorward.core.errors import AccountLocked, TooManyAttempts, TooManyRequests
from doorward.core.ports import Backoff
from doorward.core.rate_limits.budgets import Budget, Budgets
from doorward.core.rate_limits.limiter import TENANTS, RateLimiter, alias_keys
from doorward.storage.relational.counters import RelationalCounterStore
from doorward.storage.sqlite.database import SqliteDatabase
from harness import TurnableClock

ADDRESS = "192.0.2.7"
PEPPERS = alias_keys([b"zIsRPtR3xGdd0CqNEwZ9Bq1vX2mWv7JkLhTyUo4sQfA="])


@pytest.fixture
def throttle(counters: RelationalCounterStore, clock: TurnableClock) -> RateLimiter:
    """A throttle whose attempts do not wait for others in flight."""
    return RateLimiter(counters, clock, PEPPERS, max_wait=0, monotonic=clock.monotonic)


async def refused(asking: Awaitable[object]) -> int:
    """Expect a refusal and return after how many seconds it says to come back."""
    with pytest.raises(TooManyRequests) as refusal:
        await asking
    assert refusal.value.retry_after
    return refusal.value.retry_after


async def fail(throttle: RateLimiter, name: str = "alice", realm: str = "tenant-a") -> None:
    async with throttle.attempt(realm, name) as attempt:
        attempt.succeeded = False


async def succeed(throttle: RateLimiter, name: str = "alice", realm: str = "tenant-a") -> None:
    async with throttle.attempt(realm, name) as attempt:
        attempt.succeeded = True


async def wait_demanded(throttle: RateLimiter, name: str = "alice", realm: str = "tenant-a") -> int:
    """Return the seconds an attempt is told to wait, 0 where it may go on; it ends as never made."""
    try:
        async with throttle.attempt(realm, name):
            return 0
    except TooManyAttempts as refusal:
        return refusal.retry_after or -1


# --- budgets ------------------------------------------------------------------------------------------------------


async def test_an_address_has_its_burst_and_then_one_each_period(throttle: RateLimiter, clock: TurnableClock) -> None:
    throttle.budgets = Budgets(address=Budget(200, 5))
    for _ in range(5):
        await throttle.consume_address(ADDRESS)
    assert await refused(throttle.consume_address(ADDRESS)) == 1
    clock.turn(milliseconds=199)
    await refused(throttle.consume_address(ADDRESS))
    clock.turn(milliseconds=1)
    await throttle.consume_address(ADDRESS)
    await refused(throttle.consume_address(ADDRESS))


async def test_one_address_does_not_pay_for_another(throttle: RateLimiter) -> None:
    throttle.budgets = Budgets(address=Budget(1000, 1))
    await throttle.consume_address(ADDRESS)
    await refused(throttle.consume_address(ADDRESS))
    await throttle.consume_address("192.0.2.8")


@pytest.mark.parametrize("period", [1, 7, 200, 999, 1000, 1001, 60_000])
async def test_BF9_waiting_exactly_as_long_as_told_works_and_asking_meanwhile_costs_nothing(
    throttle: RateLimiter, clock: TurnableClock, period: int
) -> None:
    throttle.budgets = Budgets(address=Budget(period, 3))
    for _ in range(3):
        await throttle.consume_address(ADDRESS)
    told = await refused(throttle.consume_address(ADDRESS))
    assert told == -(-period // 1000)
    for _ in range(20):
        assert await refused(throttle.consume_address(ADDRESS)) <= told
    clock.turn(seconds=told)
    await throttle.consume_address(ADDRESS)


async def test_BF9_no_earlier_than_the_millisecond_and_no_later(throttle: RateLimiter, clock: TurnableClock) -> None:
    throttle.budgets = Budgets(address=Budget(2_500, 1))
    await throttle.consume_address(ADDRESS)
    assert await refused(throttle.consume_address(ADDRESS)) == 3
    clock.turn(milliseconds=2_499)
    assert await refused(throttle.consume_address(ADDRESS)) == 1
    clock.turn(milliseconds=1)
    await throttle.consume_address(ADDRESS)


async def test_BF10_two_workers_share_a_budget(counters: RelationalCounterStore, clock: TurnableClock) -> None:
    workers = [RateLimiter(counters, clock, PEPPERS, Budgets(address=Budget(1000, 4))) for _ in range(2)]
    for turn in range(4):
        await workers[turn % 2].consume_address(ADDRESS)
    for worker in workers:
        await refused(worker.consume_address(ADDRESS))


async def test_spacing_refuses_what_follows_too_soon(throttle: RateLimiter, clock: TurnableClock) -> None:
    throttle.budgets = Budgets(address=Budget(1, 1000), spacing=300)
    await throttle.consume_address(ADDRESS)
    assert await refused(throttle.consume_address(ADDRESS)) == 1
    clock.turn(milliseconds=299)
    await refused(throttle.consume_address(ADDRESS))
    clock.turn(milliseconds=1)
    await throttle.consume_address(ADDRESS)


async def test_BF9_what_spacing_refuses_does_not_use_up_the_budget(throttle: RateLimiter, clock: TurnableClock) -> None:
    throttle.budgets = Budgets(address=Budget(2_000, 5), spacing=1_000)
    await throttle.consume_address(ADDRESS)
    for _ in range(20):
        assert await refused(throttle.consume_address(ADDRESS)) == 1
    clock.turn(seconds=1)
    await throttle.consume_address(ADDRESS)


@pytest.mark.parametrize("budget", [Budget(0, 0), Budget(1000, 0)])
async def test_a_burst_of_nothing_is_no_limit(throttle: RateLimiter, budget: Budget) -> None:
    throttle.budgets = Budgets(address=budget, verify=budget, write=budget, login=budget)
    for _ in range(50):
        await throttle.consume_address(ADDRESS)
        await throttle.consume_login("tenant-a")
        await throttle.consume_write("tenant-a")
        throttle.consume_verify("tenant-a")


@pytest.mark.parametrize("charge", [RateLimiter.consume_login, RateLimiter.consume_write])
async def test_a_tenant_has_budgets_of_its_own(
    throttle: RateLimiter, clock: TurnableClock, charge: Callable[[RateLimiter, str], Awaitable[None]]
) -> None:
    throttle.budgets = Budgets(login=Budget(500, 2), write=Budget(500, 2))
    await charge(throttle, "tenant-a")
    await charge(throttle, "tenant-a")
    await refused(charge(throttle, "tenant-a"))
    await charge(throttle, "tenant-b")
    clock.turn(milliseconds=500)
    await charge(throttle, "tenant-a")


async def test_BF12_questions_have_their_own_budget_of_a_thousand_a_second(
    throttle: RateLimiter, clock: TurnableClock
) -> None:
    for _ in range(2_000):
        throttle.consume_verify("tenant-a")
    with pytest.raises(TooManyRequests) as refusal:
        throttle.consume_verify("tenant-a")
    assert refusal.value.retry_after == 1
    throttle.consume_verify("tenant-b")
    await throttle.consume_login("tenant-a")
    await throttle.consume_write("tenant-a")
    clock.turn(seconds=1)
    for _ in range(1_000):
        throttle.consume_verify("tenant-a")
    with pytest.raises(TooManyRequests):
        throttle.consume_verify("tenant-a")


async def test_a_budget_in_memory_refills_more_often_than_once_a_millisecond(
    throttle: RateLimiter, clock: TurnableClock
) -> None:
    throttle.budgets = Budgets(verify=Budget(0.2, 10_000))
    for _ in range(10_000):
        throttle.consume_verify("tenant-a")
    with pytest.raises(TooManyRequests) as refusal:
        throttle.consume_verify("tenant-a")
    assert refusal.value.retry_after == 1
    for _ in range(3):
        clock.turn(milliseconds=100)
        throttle.consume_verify("tenant-a", 500)
        with pytest.raises(TooManyRequests):
            throttle.consume_verify("tenant-a")


async def test_BF12_questions_that_are_refused_leave_a_tenants_other_requests_alone(
    throttle: RateLimiter, clock: TurnableClock
) -> None:
    throttle.budgets = Budgets(verify=Budget(1_000, 2))
    for _ in range(2):
        throttle.consume_refused("tenant-a", 0, is_verification=True)
    with pytest.raises(TooManyRequests):
        throttle.consume_refused("tenant-a", 0, is_verification=True)
    throttle.check_refused("tenant-a")
    throttle.consume_refused("tenant-a", 0, is_verification=False)
    throttle.check_refused("tenant-a")
    throttle.consume_refused("tenant-a", 0, is_verification=False)
    with pytest.raises(TooManyRequests):
        throttle.check_refused("tenant-a")
    throttle.check_refused("tenant-b")
    clock.turn(seconds=1)
    throttle.check_refused("tenant-a")


async def test_OV6_budgets_in_memory_that_are_full_are_forgotten_where_there_are_many(
    throttle: RateLimiter, clock: TurnableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorward.core.rate_limits.limiter._REMEMBERED_DENIALS", 10)
    for number in range(10):
        throttle.consume_verify(f"tenant-{number}")
    clock.turn(seconds=10)
    throttle.consume_verify("one of ten more")
    assert len(throttle._local) == 1


@pytest.mark.parametrize("step", [-30 * 86_400, -7_200, -10, 7_200])
async def test_F2_waits_in_memory_are_of_time_that_passes_whatever_the_clock_is_set_to(
    throttle: RateLimiter, clock: TurnableClock, step: int
) -> None:
    throttle.budgets = Budgets(verify=Budget(1_000, 2), address=Budget(1_000, 2), spacing=500)
    for _ in range(2):
        throttle.consume_verify("tenant-a")
    await throttle.consume_address(ADDRESS)
    clock.set_by(seconds=step)
    with pytest.raises(TooManyRequests) as refusal:
        throttle.consume_verify("tenant-a")
    assert refusal.value.retry_after == 1
    assert await refused(throttle.consume_address(ADDRESS)) == 1
    clock.turn(seconds=1)
    throttle.consume_verify("tenant-a")
    await throttle.consume_address(ADDRESS)


# --- attempts -----------------------------------------------------------------------------------------------------


async def test_BF1_four_failures_are_free_and_then_the_wait_doubles(
    throttle: RateLimiter, clock: TurnableClock
) -> None:
    waits = []
    for _ in range(18):
        await fail(throttle)
        waits.append(await wait_demanded(throttle))
        clock.turn(seconds=waits[-1])
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]


async def test_BF1_after_a_hundred_failures_even_the_right_password_is_refused_for_good(
    throttle: RateLimiter, clock: TurnableClock
) -> None:
    for _ in range(100):
        await fail(throttle)
        clock.turn(seconds=900)
    for _ in range(3):
        with pytest.raises(AccountLocked) as refusal:
            await succeed(throttle)
        assert refusal.value.retry_after is None
        clock.turn(seconds=365 * 86_400)
    await throttle.reset_failures("tenant-a", "ALICE")
    await succeed(throttle)


async def test_BF1_failures_long_past_are_forgotten_before_the_cap(throttle: RateLimiter, clock: TurnableClock) -> None:
    for _ in range(99):
        await fail(throttle)
        clock.turn(seconds=900)
    clock.turn(seconds=31 * 86_400)
    for _ in range(4):
        await fail(throttle)
    assert await wait_demanded(throttle) == 0


async def test_BF9_waiting_as_long_as_told_works_and_asking_meanwhile_does_not_extend_it(
    throttle: RateLimiter, clock: TurnableClock
) -> None:
    for _ in range(4):
        await fail(throttle)
    await fail(throttle)
    clock.turn(seconds=1)
    await fail(throttle)
    assert await wait_demanded(throttle) == 2
    for _ in range(10):
        clock.turn(milliseconds=199)
        assert await wait_demanded(throttle) in {1, 2}
    clock.turn(milliseconds=9)
    assert await wait_demanded(throttle) == 1
    clock.turn(milliseconds=1)
    await succeed(throttle)


async def test_a_right_password_forgets_all_failures(throttle: RateLimiter, clock: TurnableClock) -> None:
    for _ in range(5):
        await fail(throttle)
    clock.turn(seconds=1)
    await succeed(throttle)
    for _ in range(4):
        await fail(throttle)
        assert await wait_demanded(throttle) == 0


async def test_an_attempt_that_was_never_decided_costs_nothing(throttle: RateLimiter) -> None:
    for _ in range(20):
        assert await wait_demanded(throttle) == 0
    with pytest.raises(ZeroDivisionError):
        async with throttle.attempt("tenant-a", "alice"):
            raise ZeroDivisionError
    assert await wait_demanded(throttle) == 0


VARIANTS = [
    ("Bob", ["bob", "BOB", "bOb", "\uff22\uff2f\uff22", "\u24d1\u24de\u24d1"]),
    ("stra\xdfe", ["STRASSE", "strasse", "Stra\u1e9ee"]),
    ("caf\xe9", ["cafe\u0301", "CAFE\u0301", "CAF\xc9"]),
    ("\u212a", ["k", "K"]),
    ("bob@example.org", ["Bob@Example.ORG", "bob@\uff45xample.org"]),
]


@pytest.mark.parametrize(("name", "spellings"), VARIANTS)
async def test_BF4_every_spelling_of_a_name_has_one_counter(
    throttle: RateLimiter, name: str, spellings: list[str]
) -> None:
    assert {throttle.counter_key("tenant-a", spelling) for spelling in spellings} == {
        throttle.counter_key("tenant-a", name)
    }
    for turn in range(5):
        await fail(throttle, [name, *spellings][turn % (len(spellings) + 1)])
    for spelling in [name, *spellings]:
        assert await wait_demanded(throttle, spelling) == 1


async def test_EN3_a_name_that_does_not_exist_is_counted_and_no_counter_tells_it(
    throttle: RateLimiter, database: SqliteDatabase
) -> None:
    await fail(throttle, "nobody-of-this-name")
    await throttle.counter_store.consume("x", period=1, burst=1, now=1)
    files = b"".join(path.read_bytes() for path in database._path.parent.iterdir())
    assert throttle.counter_key("tenant-a", "nobody-of-this-name").encode() in files
    assert b"nobody-of-this-name" not in files


async def test_TI3_the_same_name_elsewhere_is_somebody_else(throttle: RateLimiter) -> None:
    for _ in range(5):
        await fail(throttle, "alice", "tenant-a")
    assert await wait_demanded(throttle, "alice", "tenant-a") == 1
    assert await wait_demanded(throttle, "alice", "tenant-b") == 0
    assert await wait_demanded(throttle, "alice", TENANTS) == 0
    assert await wait_demanded(throttle, "tenant-a", "alice") == 0


def test_TI3_no_name_can_be_made_to_share_the_counter_of_another_realm(throttle: RateLimiter) -> None:
    assert throttle.counter_key("a", "b") != throttle.counter_key("a\x00b", "")
    assert throttle.counter_key("ab", "c") != throttle.counter_key("a", "bc")
    other = RateLimiter(throttle.counter_store, throttle.clock, alias_keys([b"another master key"]))
    assert other.counter_key("a", "b") != throttle.counter_key("a", "b")


async def test_BF2_of_a_burst_of_wrong_passwords_only_the_free_ones_are_looked_at(
    counters: RelationalCounterStore, clock: TurnableClock
) -> None:
    workers = [RateLimiter(counters, clock, PEPPERS, max_wait=0) for _ in range(4)]
    looked_at, gate = 0, asyncio.Event()

    async def guess(throttle: RateLimiter) -> None:
        nonlocal looked_at
        async with throttle.attempt("tenant-a", "alice") as attempt:
            looked_at += 1
            await gate.wait()
            attempt.succeeded = False

    guesses = [asyncio.create_task(guess(workers[n % 4])) for n in range(200)]
    while sum(task.done() for task in guesses) < 196:  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.01)
    gate.set()
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert looked_at == 4
    assert sum(isinstance(outcome, TooManyAttempts) for outcome in outcomes) == 196


async def test_BF3_right_passwords_in_parallel_wait_for_one_another_and_all_pass(
    counters: RelationalCounterStore, clock: TurnableClock
) -> None:
    throttle = RateLimiter(counters, clock, PEPPERS, max_wait=60)

    async def login() -> None:
        async with throttle.attempt("tenant-a", "alice") as attempt:
            await asyncio.sleep(0.005)
            attempt.succeeded = True

    await asyncio.gather(*(login() for _ in range(20)))


class SlowCounters(RelationalCounterStore):
    """Counters whose failures take a while to be written, as they do on a network."""

    async def settle(self, key: str, rule: Backoff, *, now: int, unknown_in: str = "") -> None:
        await asyncio.sleep(0.01)
        await super().settle(key, rule, now=now, unknown_in=unknown_in)


async def test_BF2_a_client_that_hangs_up_after_a_wrong_password_does_not_get_its_failure_back(
    database: SqliteDatabase, clock: TurnableClock
) -> None:
    throttle = RateLimiter(SlowCounters(database), clock, PEPPERS, max_wait=0)

    async def guess(decided: asyncio.Event) -> None:
        async with throttle.attempt("tenant-a", "alice") as attempt:
            attempt.succeeded = False
            decided.set()
            await asyncio.sleep(60)

    for _ in range(5):
        decided = asyncio.Event()
        task = asyncio.create_task(guess(decided))
        await decided.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # What the caller no longer waits for goes on by itself.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)
    assert await wait_demanded(throttle) == 1
    clock.turn(seconds=1)
    assert await wait_demanded(throttle) == 0


async def test_a_reservation_that_a_crash_left_behind_is_forgotten(throttle: RateLimiter, clock: TurnableClock) -> None:
    key = throttle.counter_key("tenant-a", "alice")
    for _ in range(4):
        assert not (await throttle.counter_store.reserve(key, throttle.backoff, now=clock())).wait
    assert await wait_demanded(throttle) > 0
    clock.turn(milliseconds=throttle.backoff.lease)
    assert await wait_demanded(throttle) == 0


async def test_failures_under_a_former_master_key_are_shown_too(
    counters: RelationalCounterStore, clock: TurnableClock
) -> None:
    old, new = alias_keys([b"o" * 32]), alias_keys([b"n" * 32])
    before = RateLimiter(counters, clock, old, max_wait=0)
    for _ in range(5):
        await fail(before)
    after = RateLimiter(counters, clock, (*new, *old), max_wait=0)
    assert await after.failures("tenant-a", "ALICE") == (5, clock() + 1_000, False)
    assert await after.failures("tenant-a", "bob") == (0, 0, False)
