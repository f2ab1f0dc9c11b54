"""Estimates of the CPU time of hashes."""

import pytest

from doorward.core.passwords.costs import CostModel
from doorward.core.passwords.formats import HashCost

NATIVE = HashCost("argon2/25", 0.02, 19 << 20)
BCRYPT = HashCost("bcrypt", 0.25)
PBKDF2 = HashCost("pbkdf2/sha256", 0.5)


def test_S1_what_was_never_measured_is_estimated_by_how_fast_the_machine_is() -> None:
    slow = CostModel(NATIVE, 0.06)
    assert slow.estimate(NATIVE) == pytest.approx(0.06)
    assert slow.estimate(BCRYPT) == pytest.approx(0.75)


def test_S1_estimates_follow_the_measurements_of_their_algorithm_and_of_no_other() -> None:
    model = CostModel(NATIVE, 0.02)
    for _ in range(30):
        model.observe(BCRYPT, 0.5)
    assert model.estimate(BCRYPT) == pytest.approx(0.5)
    assert model.estimate(HashCost("bcrypt", 1.0)) == pytest.approx(2.0)
    assert model.estimate(PBKDF2) == pytest.approx(0.5)
    assert model.estimate(NATIVE) == pytest.approx(0.02)


def test_a_first_hash_that_was_slow_is_forgotten_after_some_others() -> None:
    model = CostModel(NATIVE, 2.0)
    for _ in range(20):
        model.observe(NATIVE, 0.02)
    assert model.estimate(NATIVE) < 0.1
    assert model.estimate(BCRYPT) < 1.25


def test_one_outlier_moves_little() -> None:
    model = CostModel(NATIVE, 0.02)
    for _ in range(20):
        model.observe(BCRYPT, 0.25)
    model.observe(BCRYPT, 0.5)
    assert model.estimate(BCRYPT) < 0.3


def test_S1_hashes_of_next_to_no_cost_cannot_make_others_look_dear() -> None:
    model = CostModel(NATIVE, 0.02)
    for _ in range(100):
        # One iteration: what is measured is the call.
        model.observe(HashCost("pbkdf2/sha256", 2.5e-7), 0.00005)
    assert model.estimate(PBKDF2) == pytest.approx(0.5)
