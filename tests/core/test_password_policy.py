"""Password policies: the bounds of their rules."""

import pytest

from doorward.core.passwords.policy import guessable, user_password_violations
from doorward.core.tenants.settings import PasswordPolicy


@pytest.mark.parametrize(("password", "fits"), [("k7#", False), ("k7#w", True), ("k7#wé", True)])
def test_a_password_of_the_least_length_is_long_enough(password: str, *, fits: bool) -> None:
    assert (user_password_violations(PasswordPolicy(min_length=4), password, []) == []) == fits


@pytest.mark.parametrize(("name", "is_guessed"), [("ada", False), ("anna", True), ("x.anna@example.org", True)])
def test_a_name_of_four_characters_is_guessed_and_a_shorter_one_is_not(name: str, *, is_guessed: bool) -> None:
    word = name.removeprefix("x.").partition("@")[0]
    assert bool(guessable(f"{word}!2024", [name])) == is_guessed
