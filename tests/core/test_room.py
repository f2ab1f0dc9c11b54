import pytest

from doorward.core.errors import Overloaded
from doorward.core.fairness import FairSeats
from doorward.core.passwords import Argon2Parameters, Hasher, Passwords


async def test_who_would_have_to_wait_too_long_is_told_before_taking_a_seat() -> None:
    seats = FairSeats(1, patience=0.01, service_time=1.0)
    seats.check("a")
    async with seats.seat("a"):
        with pytest.raises(Overloaded):
            seats.check("b")
        assert seats.waiting == 0
    seats.check("b")


async def test_asking_for_room_hashes_nothing() -> None:
    passwords = Passwords(Hasher(Argon2Parameters(64, 1, 1)), threads=1)
    passwords.check_room("a")
    assert passwords.hashed == 0
    passwords.close()
