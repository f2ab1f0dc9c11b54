"""Detection of clock steps."""

import pytest

from doorward.core.clock import ClockStepDetector, monotonic_clock, system_clock
from harness import TurnableClock


@pytest.fixture
def moved() -> list[int]:
    """By how much the clock was set, as the watch says."""
    return []


@pytest.fixture
def watch(clock: TurnableClock, moved: list[int]) -> ClockStepDetector:
    return ClockStepDetector(clock, clock.monotonic, moved.append)


def test_time_that_passes_is_no_step(watch: ClockStepDetector, clock: TurnableClock, moved: list[int]) -> None:
    began = clock()
    for seconds in (0.1, 1, 3_600, 30 * 86_400):
        clock.turn(seconds=seconds)
        assert watch.since() == began
        assert watch.is_settled()
    assert moved == []


@pytest.mark.parametrize("step", [-1, -10, -7_200, -30 * 86_400])
def test_F2_a_clock_that_is_set_back_is_told_of_once(
    watch: ClockStepDetector, clock: TurnableClock, moved: list[int], step: int
) -> None:
    clock.turn(seconds=60)
    clock.set_by(seconds=step)
    noticed = clock()
    assert watch.since() == noticed
    clock.turn(seconds=60)
    watch.check()
    assert watch.since() == noticed
    assert moved == [step * 1000]
    assert watch.is_settled()


def test_F2_each_step_is_told_of(watch: ClockStepDetector, clock: TurnableClock, moved: list[int]) -> None:
    for step in (-10, -20):
        clock.set_by(seconds=step)
        clock.turn(seconds=1)
        watch.check()
    assert moved == [-10_000, -20_000]


def test_what_clocks_drift_apart_is_no_step(watch: ClockStepDetector, clock: TurnableClock, moved: list[int]) -> None:
    began = clock()
    for _ in range(100):
        clock.turn(seconds=1)
        clock.set_by(seconds=-0.05)
        watch.check()
    assert watch.since() == began
    assert moved == []


def test_F2_after_a_jump_forward_nothing_is_settled_for_an_hour(
    watch: ClockStepDetector, clock: TurnableClock, moved: list[int]
) -> None:
    clock.set_by(seconds=299)
    assert watch.is_settled()
    clock.set_by(seconds=300)
    assert not watch.is_settled()
    clock.turn(seconds=3_599)
    assert not watch.is_settled()
    clock.turn(seconds=1)
    assert watch.is_settled()
    assert moved == [300_000]


def test_a_process_that_is_held_up_between_two_readings_sees_no_step(clock: TurnableClock, moved: list[int]) -> None:
    held_up = iter([0, 0, 600])

    def read() -> int:
        clock.turn(seconds=next(held_up, 0))
        return clock()

    watch = ClockStepDetector(read, clock.monotonic, moved.append)
    watch.check()
    watch.check()
    assert moved == []


def test_the_machines_clocks_run(moved: list[int]) -> None:
    watch, before = ClockStepDetector(system_clock, monotonic_clock, moved.append), monotonic_clock()
    assert watch.since() <= system_clock()
    assert monotonic_clock() >= before
    assert moved == []
