"""Results of a measurement, and the effort it is given."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.servers import Server, foreign

# Each may ask 1000 times a second by default, and the load has to stay below all of them together.
_TENANTS = 32
_NEW = 96
"""Logins of each tenant's user: times the tenants, more tokens than a process keeps in parts."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds of every contender, seconds of every round, tenants to spread the load over, and so on."""

    rounds: int = 7
    seconds: float = 3.0
    tenants: int = _TENANTS
    logins: int = _NEW
    requests: int = 100_000
    sessions: int = 100_000
    idle: int = 10_000
    slow: int = 500


QUICK = Effort(rounds=3, seconds=1.0, requests=10_000, sessions=10_000)


class Line(NamedTuple):
    """One line of a figure: the median of its rounds, and the least and greatest of them."""

    name: str
    value: float
    low: float
    high: float
    note: str = ""

    @classmethod
    def of(cls, name: str, values: Sequence[float], note: str = "") -> "Line":
        return cls(name, statistics.median(values), min(values), max(values), note)


class Ratio(NamedTuple):
    """How two lines compare, and what is aimed at. Less is better unless `at_least`."""

    name: str
    value: float
    target: float | None = None
    at_least: bool = False


@dataclass
class Figure:
    """What one measurement found."""

    name: str
    title: str
    unit: str
    how: str
    lines: list[Line]
    ratios: list[Ratio]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "how": self.how,
            "lines": [line._asdict() for line in self.lines],
            "ratios": [ratio._asdict() for ratio in self.ratios],
        }


@dataclass(frozen=True)
class Bench:
    """What every figure is given: a folder for data, how much effort to spend, and whom else to measure."""

    folder: Path
    effort: Effort
    against: str = ""
    pid: int | None = None

    def others(self) -> list[Server]:
        return [foreign(self.against, self.pid)] if self.against else []
