"""The linearizability checker detects violations."""

import pytest

from faults.history import Sighting, Span, linearizable

REVOCATION = Span(100, 200)


def active(start: int, end: int) -> Sighting:
    return Sighting(Span(start, end), active=True)


def inactive(start: int, end: int) -> Sighting:
    return Sighting(Span(start, end), active=False)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param([], id="nobody asked"),
        pytest.param([active(0, 50), inactive(250, 300)], id="before and after"),
        pytest.param([active(110, 190), inactive(110, 190)], id="both while it was revoked, overlapping"),
        pytest.param([active(150, 400), inactive(120, 160)], id="an answer that came long after"),
        pytest.param([active(50, 300), inactive(50, 300)], id="questions around all of it"),
        pytest.param([active(110, 120), active(120, 130), inactive(125, 140), inactive(150, 160)], id="one handover"),
    ],
)
def test_DU5_the_checker_accepts_what_could_have_happened(seen: list[Sighting]) -> None:
    assert linearizable(REVOCATION, seen)
    assert linearizable(REVOCATION, reversed(seen))


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param([active(201, 210)], id="active, asked after the revocation was acknowledged"),
        pytest.param([active(200, 210)], id="active, asked in the moment it was acknowledged"),
        pytest.param([inactive(10, 90)], id="inactive before anybody revoked it"),
        pytest.param([inactive(110, 130), active(140, 150)], id="alive again while it was revoked"),
        pytest.param([inactive(110, 130), active(140, 400)], id="alive again, answered late"),
        pytest.param([active(0, 50), inactive(120, 130), active(131, 132), inactive(140, 150)], id="flickering"),
        pytest.param([inactive(250, 260), active(300, 310), inactive(320, 330)], id="one stale answer among many"),
    ],
)
def test_DU5_the_checker_refuses_what_could_not(seen: list[Sighting]) -> None:
    assert not linearizable(REVOCATION, seen)
    assert not linearizable(REVOCATION, reversed(seen))


def test_DU5_one_wrong_answer_among_thousands_is_found() -> None:
    honest = [active(start, start + 10) for start in range(0, 140, 3)]
    honest += [inactive(start, start + 10) for start in range(145, 3000, 3)]
    assert linearizable(REVOCATION, honest)
    assert not linearizable(REVOCATION, [*honest, active(156, 160)])
    assert not linearizable(REVOCATION, [*honest, inactive(120, 135)])
