"""Password hashing: hashes, comparisons, queues."""

import asyncio
import os
import re
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.errors import Overloaded
from doorward.core.passwords.formats import LEGACY, HashCost, bcrypt_cost
from doorward.core.passwords.hashing import Argon2Parameters, HashComparison, Hasher, PasswordMatch
from doorward.core.passwords.pool import PasswordHasherPool
from harness import CHEAP

HASHER = Hasher(CHEAP)
EXAMPLES = 2_000 if os.environ.get("DOORWARD_TORTURE") else 100


def bcrypted(password: bytes, prefix: str = "$2b$") -> str:
    return prefix + bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()[4:]


# --- what a hash looks like ---------------------------------------------------------------------------------------

PHC = re.compile(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)")


def test_PW1_the_default_cost_is_the_floor_that_OWASP_sets() -> None:
    form = PHC.fullmatch(Hasher(Argon2Parameters()).hash("pw"))
    assert form
    assert [int(form[n]) for n in (1, 2, 3)] == [19_456, 2, 1]


def test_PW1_the_cost_is_the_one_that_was_asked_for() -> None:
    form = PHC.fullmatch(Hasher(Argon2Parameters(memory=128, passes=3, lanes=2)).hash("pw"))
    assert form
    assert [int(form[n]) for n in (1, 2, 3)] == [128, 3, 2]


def test_PW1_every_hash_has_a_salt_of_its_own_of_16_bytes() -> None:
    forms = [PHC.fullmatch(HASHER.hash("the same")) for _ in range(100)]
    salts = [b64decode(form[4] + "==") for form in forms if form]
    assert len(set(salts)) == 100
    assert {len(salt) for salt in salts} == {16}
    assert {len(b64decode(form[5] + "=")) for form in forms if form} == {32}


# --- every byte counts --------------------------------------------------------------------------------------------

ALIKE = [
    ("a" * 72 + "X", "a" * 72 + "Y"),
    ("a" * 72 + "X", "a" * 72),
    ("a" * 200, "a" * 199),
    ("a" * 256, "a" * 255 + "b"),
    ("a\x00b", "a"),
    ("a\x00b", "a\x00c"),
    ("a\x00b", "ab"),
    ("a", "a\x00"),
    ("\x00", ""),
    ("pw", "PW"),
    ("pw", " pw"),
    ("pw", "pw "),
    ("pw ", "pw\n"),
    (" ", "  "),
    ("p w", "pw"),
    ("\U0001f600", "\U0001f601"),
    ("\U0001f469\u200d\U0001f680", "\U0001f469\U0001f680"),
    ("stra\xdfe", "strasse"),
    ("\uff41", "a"),
    ("\ufb01", "fi"),
    ("\u0131", "i"),
    ("1", "\u0661"),
]


@pytest.mark.parametrize(("right", "wrong"), ALIKE, ids=ascii)
def test_PW2_a_password_is_right_to_the_last_byte(right: str, wrong: str) -> None:
    stored = HASHER.hash(right)
    assert HASHER.match(right, stored).right
    assert not HASHER.match(wrong, stored).right
    assert not HASHER.match(right, HASHER.hash(wrong)).right


@settings(max_examples=EXAMPLES)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256), st.data())
def test_PW2_any_password_matches_itself_and_no_part_of_itself(password: str, data: st.DataObject) -> None:
    stored = HASHER.hash(password)
    assert HASHER.match(password, stored).right
    cut = data.draw(st.integers(0, len(password) - 1))
    assert not HASHER.match(password[:cut], stored).right
    assert not HASHER.match(password + "x", stored).right


def test_PW4_the_same_characters_match_however_they_were_typed() -> None:
    composed, decomposed = "caf\xe9 \xc5ngstr\xf6m", "cafe\u0301 A\u030angstro\u0308m"
    assert composed != decomposed
    assert HASHER.match(decomposed, HASHER.hash(composed)).right
    assert HASHER.match(composed, HASHER.hash(decomposed)).right
    assert HASHER.match("\u212b", HASHER.hash("\xc5")).right


# --- ready hashes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_PW3_the_plain_text_of_a_bcrypt_string_matches_and_the_string_does_not(prefix: str) -> None:
    stored = bcrypted(b"Correct-Horse-9", prefix)
    assert HASHER.match("Correct-Horse-9", stored) == (True, True)
    assert not HASHER.match("Correct-Horse-8", stored).right
    assert not HASHER.match(stored, stored).right
    assert not HASHER.match("", stored).right


def test_PW3_a_hash_presented_as_a_password_is_a_password() -> None:
    stored = HASHER.hash("pw")
    assert not HASHER.match(stored, stored).right


_TAIL = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
WELL_FORMED = {f"$2{kind}${cost:02}${_TAIL}": cost for kind in "aby" for cost in (4, 10, 12, 14, 15, 31, 99)}
NOT_BCRYPT = [
    "",
    "password",
    "p" * 60,
    "correct horse battery staple correct horse battery staple 60",
    f"$2b$10${_TAIL[:-1]}",
    f"$2b$10${_TAIL}y",
    f"$2b$10${_TAIL}\n",
    f" $2b$10${_TAIL}"[:60],
    f"$2$10${_TAIL}",
    f"$2x$10${_TAIL}",
    f"$2B$10${_TAIL}",
    f"$3b$10${_TAIL}",
    f"$2b$1${_TAIL}y",
    f"$2b$\u0661\u0660${_TAIL}",
    f"$2b$10${_TAIL[:-1]}+",
    f"$2b$10${_TAIL[:-1]}=",
    f"$2b$10${_TAIL[:-1]}\xe9",
    f"$2b$10.{_TAIL}",
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$aaaaaaaaaaaaaaaa",
]


@pytest.mark.parametrize("text", WELL_FORMED)
def test_PW3_a_well_formed_bcrypt_string_tells_its_cost(text: str) -> None:
    assert len(text) == 60
    assert bcrypt_cost(text) == WELL_FORMED[text]


@pytest.mark.parametrize("text", NOT_BCRYPT, ids=ascii)
def test_PW3_any_other_string_is_a_password_whatever_its_length(text: str) -> None:
    assert bcrypt_cost(text) is None
    if text:
        assert HASHER.match(text, HASHER.hash(text)).right


def test_F22_the_first_72_bytes_of_a_longer_password_are_right_for_bcrypt_and_no_fewer() -> None:
    stored = bcrypted(b"a" * 72)
    for password in ("a" * 72, "a" * 73, "a" * 72 + "\x00"):
        assert HASHER.match(password, stored) == PasswordMatch(right=True, outdated=True)
    assert not HASHER.match("a" * 71, stored).right
    umlauts = bcrypted(("\xe9" * 36).encode())
    assert HASHER.match("\xe9" * 36 + "x", umlauts).right
    assert not HASHER.match("\xe9" * 35 + "x\xe9", umlauts).right


def test_PW3_PW4_over_a_ready_hash_the_exact_bytes_count() -> None:
    composed, decomposed = "\xe9", "e\u0301"
    assert HASHER.match(composed, bcrypted(composed.encode())).right
    assert HASHER.match(decomposed, bcrypted(decomposed.encode())).right
    assert not HASHER.match(decomposed, bcrypted(composed.encode())).right


# --- old and broken hashes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "outdated"),
    [
        (CHEAP, False),
        (Argon2Parameters(memory=32, passes=1, lanes=1), True),
        (Argon2Parameters(memory=64, passes=2, lanes=1), True),
        (Argon2Parameters(memory=128, passes=1, lanes=2), True),
    ],
)
def test_a_hash_of_other_cost_is_right_and_outdated(parameters: Argon2Parameters, *, outdated: bool) -> None:
    stored = Hasher(parameters).hash("pw")
    assert HASHER.match("pw", stored) == (True, outdated)
    assert not HASHER.match("wrong", stored).right


BROKEN = [
    "",
    " ",
    "pw",
    "$2b$",
    "$2b$99$" + _TAIL,
    "$2b$00$" + _TAIL,
    "$argon2id$",
    "$argon2id$v=19$",
    "$1$x",
    "\xe9",
    "!",
    "$2b$\xe9",
]


@pytest.mark.parametrize("stored", BROKEN, ids=ascii)
@pytest.mark.parametrize("password", ["pw", "decoy", "", "!", "\xe9"], ids=ascii)
def test_a_stored_hash_that_is_none_matches_no_password(stored: str, password: str) -> None:
    assert not HASHER.match(password, stored).right


@pytest.mark.parametrize("password", ["", "decoy", "password", "pw", "None", "null"])
def test_EN1_who_does_not_exist_has_no_password(password: str) -> None:
    assert HASHER.match(password, None) == (False, False)


def test_EN2_who_does_not_exist_costs_exactly_one_hash() -> None:
    # Processor time of this thread, so that other load does not count; the least of several, as noise only adds.
    hasher = Hasher(Argon2Parameters(memory=8_192))
    stored = hasher.hash("pw")

    def cost(password: str, against: str | None) -> float:
        spent = []
        for _ in range(7):
            begin = time.thread_time()
            hasher.match(password, against)
            spent.append(time.thread_time() - begin)
        return min(spent)

    known = cost("wrong", stored)
    for against in (None, ""):
        assert 0.6 < cost("wrong", against) / known < 1.6
    assert 0.6 < cost("pw", stored) / known < 1.6


# --- the pool -----------------------------------------------------------------------------------------------------


class HeldHasher(Hasher):
    """A cheap hasher whose hashes begin when they are told to end, so that a test sees them under way."""

    def __init__(self) -> None:
        super().__init__(CHEAP)
        self.go = threading.Event()
        self.running = 0
        self.most = 0
        self.niceness: set[int] = set()
        self._lock = threading.Lock()

    def hash(self, password: str) -> str:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.niceness.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert self.go.wait(30)
        with self._lock:
            self.running -= 1
        return super().hash(password)


@pytest.fixture
def held() -> Iterator[HeldHasher]:
    hasher = HeldHasher()
    yield hasher
    hasher.go.set()


async def until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


async def a_moment() -> None:
    """Give whatever could wrongly happen the time to happen."""
    for _ in range(20):
        await asyncio.sleep(0.002)


async def test_OV1_no_more_hashes_run_at_once_than_there_are_threads(held: HeldHasher) -> None:
    passwords = PasswordHasherPool(held, threads=2, max_wait=60)
    tasks = [asyncio.create_task(passwords.hash("pw", group=f"tenant-{n % 3}")) for n in range(8)]
    await until(lambda: held.running == 2)
    await a_moment()
    assert (held.running, passwords.hashed) == (2, 2)
    held.go.set()
    assert len(set(await asyncio.gather(*tasks))) == 8
    assert (held.most, passwords.hashed) == (2, 8)
    passwords.close()


async def test_OV1_who_would_wait_too_long_is_refused_before_a_hash_is_begun(held: HeldHasher) -> None:
    for _ in range(100):
        held.costs.observe(held.costs.native, 2.0)
    passwords = PasswordHasherPool(held, threads=1, max_wait=400.0)
    tasks = [asyncio.create_task(passwords.hash("pw", group="shop")) for _ in range(300)]
    await until(lambda: held.running == 1)
    # At 2 seconds each, 200 are 400 seconds of work; the first one runs.
    refused = [task for task in tasks if task.done()]
    assert 95 <= len(refused) <= 100
    for task in refused:
        with pytest.raises(Overloaded) as refusal:
            await task
        assert refusal.value.retry_after in range(400, 403)
    with pytest.raises(Overloaded):
        passwords.check_capacity("shop")
    passwords.check_capacity("another")
    assert passwords.hashed == 1
    held.go.set()
    await asyncio.gather(*(task for task in tasks if task not in refused))
    assert passwords.hashed == 300 - len(refused)
    assert not (await passwords.matches("pw", None, group="shop")).right
    passwords.close()


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_OV1_a_caller_that_goes_away_keeps_its_slot_until_the_thread_is_free(
    held: HeldHasher, times: int
) -> None:
    passwords = PasswordHasherPool(held, threads=1, max_wait=60)
    gone = asyncio.create_task(passwords.hash("pw", group="shop"))
    await until(lambda: held.running == 1)
    following = asyncio.create_task(passwords.hash("pw", group="shop"))
    for _ in range(times):
        gone.cancel()
        await a_moment()
    assert not gone.done()
    assert passwords.hashed == 1
    held.go.set()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert (await following).startswith("$argon2id$")
    assert held.most == 1
    passwords.close()


async def test_OV1_a_caller_that_goes_away_in_the_line_costs_no_hash(held: HeldHasher) -> None:
    passwords = PasswordHasherPool(held, threads=1, max_wait=60)
    first = asyncio.create_task(passwords.hash("pw", group="shop"))
    await until(lambda: held.running == 1)
    gone = asyncio.create_task(passwords.hash("pw", group="shop"))
    await a_moment()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    held.go.set()
    await first
    await passwords.hash("pw", group="other")
    assert passwords.hashed == 2
    passwords.close()


async def test_OV2_hashing_threads_give_way_to_everything_else(held: HeldHasher) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    passwords = PasswordHasherPool(held, threads=2)
    held.go.set()
    await asyncio.gather(*(passwords.hash("pw", group="shop") for _ in range(4)))
    assert held.niceness == {min(own + 10, 19)}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
    passwords.close()


class HeldComparisons(Hasher):
    """A cheap hasher whose comparisons of one password begin when they are told to end."""

    def __init__(self) -> None:
        super().__init__(CHEAP)
        self.go = threading.Event()
        self.held = 0
        self.niceness: set[int] = set()

    def compare(self, password: str, against: HashComparison) -> PasswordMatch:
        if password == "held":
            self.held += 1
            self.niceness.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            assert self.go.wait(30)
        return super().compare(password, against)


COSTLY = bcrypted(b"held")
"""Many times as dear as the hashes of a cheap hasher."""


@pytest.fixture
def comparisons() -> Iterator[HeldComparisons]:
    hasher = HeldComparisons()
    yield hasher
    hasher.go.set()


async def test_S1_hashes_that_cost_far_more_than_our_own_run_one_at_a_time_beside_the_threads(
    comparisons: HeldComparisons,
) -> None:
    passwords = PasswordHasherPool(comparisons, threads=1, max_wait=60)
    costly = [asyncio.create_task(passwords.matches("held", COSTLY, group=f"tenant-{n}")) for n in range(3)]
    await until(lambda: comparisons.held == 1)
    for _ in range(3):
        assert (await passwords.matches("pw", HASHER.hash("pw"), group="victim")).right
        passwords.check_capacity("victim")
    assert (comparisons.held, passwords.busy_slots, passwords.waiting) == (1, 1, 2)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert comparisons.niceness == {min(own + 15, 19)}
    comparisons.go.set()
    assert [match.right for match in await asyncio.gather(*costly)] == [True] * 3
    passwords.close()


async def test_S1_a_hash_that_costs_little_more_than_our_own_needs_no_extra_thread(
    comparisons: HeldComparisons,
) -> None:
    stored = Hasher(Argon2Parameters(memory=64, passes=3, lanes=1)).hash("held")
    passwords = PasswordHasherPool(comparisons, threads=2, max_wait=60)
    tasks = [asyncio.create_task(passwords.matches("held", stored, group="shop")) for _ in range(3)]
    await until(lambda: comparisons.held == 2)
    await a_moment()
    assert (comparisons.held, passwords.waiting) == (2, 1)
    comparisons.go.set()
    await asyncio.gather(*tasks)
    passwords.close()


async def test_S1_the_memory_of_large_hashes_in_flight_is_bounded_whatever_the_threads() -> None:
    class Held(HeldComparisons):
        def __init__(self) -> None:
            super().__init__()
            # As on a machine where even a hash of 64 MiB is no costly one.
            self.costs.observe(HashCost("argon2/27", 1.0), 0.001)

    hasher = Held()
    large = f"$argon2id$v=19$m=65536,t=1,p=1${'c2l4dGVlbiBieXRlcyBvZg'}${'A' * 43}"
    passwords = PasswordHasherPool(hasher, threads=8, max_wait=60)
    tasks = [asyncio.create_task(passwords.matches("held", large, group="shop")) for _ in range(5)]
    await until(lambda: hasher.held == 2)
    await a_moment()
    # Two of 64 MiB are all that is shared; what needs none of it goes on.
    assert (hasher.held, passwords.busy_slots, passwords.waiting) == (2, 2, 3)
    assert (await passwords.matches("pw", HASHER.hash("pw"), group="victim")).right
    hasher.go.set()
    await asyncio.gather(*tasks)
    passwords.close()


async def test_S1_hashes_with_several_lanes_are_computed_in_parallel_and_charged_by_the_time_of_the_thread() -> None:
    hasher = Hasher(Argon2Parameters(memory=19_456, passes=2, lanes=4))
    assert hasher.costs.estimate(hasher.costs.native) > 0.005
    stored = hasher.hash("pw")
    assert hasher.match("pw", stored) == PasswordMatch(right=True)
    assert hasher.match("no", stored) == PasswordMatch(right=False)
    passwords = PasswordHasherPool(hasher, threads=1)
    assert (await passwords.matches("pw", stored, group="shop")).right
    assert not (await passwords.matches("pw", None, group="shop")).right
    passwords.close()


async def test_asking_for_room_hashes_nothing() -> None:
    passwords = PasswordHasherPool(HASHER, threads=1)
    passwords.check_capacity("a")
    assert passwords.hashed == 0
    passwords.close()


async def test_an_accident_in_a_thread_reaches_the_caller_and_frees_the_slot() -> None:
    class Broken(Hasher):
        def hash(self, password: str) -> str:
            raise MemoryError(len(password))

    passwords = PasswordHasherPool(Broken(CHEAP), threads=1)
    for _ in range(3):
        with pytest.raises(MemoryError):
            await passwords.hash("pw", group="shop")
    assert (await passwords.matches("pw", HASHER.hash("pw"), group="shop")).right
    passwords.close()


# --- hashes of the predecessor ------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_UP6_a_hash_of_the_predecessors_matches_as_it_did_there_and_is_renewed(prefix: str) -> None:
    stored = LEGACY + bcrypted("пароль".encode(), prefix)
    assert HASHER.match("пароль", stored) == (True, True)
    assert not HASHER.match("пароль ", stored).right
    assert not HASHER.match("", stored).right


def test_UP6_only_72_bytes_count_for_a_hash_of_the_predecessors_and_all_of_them_for_the_one_that_follows() -> None:
    stored = LEGACY + bcrypted(b"a" * 72)
    for password in ("a" * 72, "a" * 73, "a" * 72 + "b"):
        assert HASHER.match(password, stored).right
        assert not HASHER.match(password[:71], stored).right
    renewed = HASHER.hash("a" * 72 + "b")
    assert HASHER.match("a" * 72 + "b", renewed).right
    assert not HASHER.match("a" * 72, renewed).right
    cut_inside_a_character = LEGACY + bcrypted(("a" + "é" * 36).encode()[:72])
    assert HASHER.match("a" + "é" * 36, cut_inside_a_character).right


def test_a_hasher_of_several_lanes_compares_hashes_that_are_not_its_own() -> None:
    hasher, other = Hasher(Argon2Parameters(memory=64, passes=1, lanes=2)), Hasher(CHEAP)
    for stored in (hasher.hash("right"), other.hash("right"), bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()):
        comparison = hasher.parse(stored)
        assert comparison.compare(b"right")
        assert not comparison.compare(b"wrong")


def test_UP6_the_predecessors_hash_goes_over_password_and_nul_again_and_again() -> None:
    stored = LEGACY + bcrypted(b"ab")
    for password, right in {"ab": True, "ab\0ab": True, "ab\0ab\0ab": True, "ab\0": False, "ab\0a": False}.items():
        assert HASHER.match(password, stored).right is right


def test_UP6_the_predecessors_normal_form_is_the_bytes_as_they_were() -> None:
    stored = LEGACY + bcrypted("e\u0301".encode())
    assert HASHER.match("e\u0301", stored).right
    assert not HASHER.match("\xe9", stored).right


@pytest.mark.parametrize(
    "broken", ["", "$2a$", "$2a$10$short", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaA", "pppp"]
)
def test_what_is_no_hash_behind_the_predecessors_mark_matches_nothing(broken: str) -> None:
    for password in ("", "p", broken, LEGACY + broken):
        assert not HASHER.match(password, LEGACY + broken).right
