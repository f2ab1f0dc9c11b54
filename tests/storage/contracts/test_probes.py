"""Probe rows: whether a database takes writes, and clock steps between runs."""

import asyncio

import pytest

from doorward.core.model import MAX_CLOCK_SKEW
from factories import NOW, Workers

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("step", [MAX_CLOCK_SKEW + 1, 7_200_000, 30 * 86_400_000])
async def test_F2_one_of_several_workers_is_told_by_how_much_the_clock_was_set_back(
    workers: Workers, step: int
) -> None:
    await workers.one.probes.write(NOW)
    probes = (workers.one.probes, workers.other.probes)
    told = await asyncio.gather(*(probes[number % 2].claim_step(NOW - step) for number in range(6)))
    assert sorted(told) == [0] * 5 + [step]
    assert await workers.other.probes.claim_step(NOW - step) == 0


async def test_F2_a_step_of_the_clock_is_noted_in_its_own_probe_only(workers: Workers) -> None:
    await workers.one.probes.write(NOW)
    await workers.one.probes.check(NOW)
    assert await workers.other.probes.claim_step(NOW - 7_200_000) == 7_200_000
    written = [await workers.one.database.read("probe", {"name": name}) for name in ("written", "ready")]
    assert [rows[0][0] for rows in written] == [NOW - 7_200_000, NOW]


@pytest.mark.parametrize("step", [-1_000_000, 0, MAX_CLOCK_SKEW])
async def test_time_that_passed_and_clocks_that_differ_are_no_step(workers: Workers, step: int) -> None:
    await workers.one.probes.write(NOW)
    assert await workers.other.probes.claim_step(NOW - step) == 0


async def test_F15_a_check_of_readiness_hides_no_step_of_the_clock(workers: Workers) -> None:
    await workers.one.probes.write(NOW)
    await workers.one.probes.check(NOW - 7_200_000)
    assert await workers.other.probes.claim_step(NOW - 7_200_000) == 7_200_000
