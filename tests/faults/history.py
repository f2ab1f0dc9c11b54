"""What was seen of one token while it was revoked, and whether that could have happened on one machine."""

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """From before a request was sent until after its answer was read, in nanoseconds of one clock."""

    start: int
    end: int


class Sighting(NamedTuple):
    """One question whether the token is active, and what was answered."""

    span: Span
    active: bool


def linearizable(revocation: Span, sightings: Iterable[Sighting]) -> bool:
    """Tell whether there is one moment at which the token died that agrees with everything seen.

    A token is a register that is written once. It died at some moment while the revocation ran; whoever saw it active
    had asked before that moment, whoever saw it inactive got the answer after it. Nothing else binds the moment, so it
    exists exactly where the latest of its lower bounds lies before the earliest of its upper ones.
    """
    seen = list(sightings)
    not_before = max(revocation.start, *(sighting.span.start for sighting in seen if sighting.active), 0)
    not_after = min([revocation.end, *(sighting.span.end for sighting in seen if not sighting.active)])
    return not_before < not_after
