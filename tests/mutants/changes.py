"""Mutants: one changed condition each, as an edit of one file of the product."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

STATEMENTS = "storage/relational/queries"
"""The folder of the SQL statements, whose names are unique in all of its files."""
SCRIPTS = "storage/redis"


class Edit(NamedTuple):
    """A replacement of the bytes from `start` to `end`."""

    start: int
    end: int
    new: str

    def apply(self, source: bytes) -> bytes:
        """Return the source with the edit made."""
        return source[: self.start] + self.new.encode() + source[self.end :]


class Mutant(NamedTuple):
    """One edit of one file.

    `file` is relative to the package, `place` the statement, script or function, `change` what the edit does in words.
    `line` is set where tests are selected by line. `setup` limits the tests to one family of stores: the statement has
    a text of its own there.
    """

    file: str
    place: str
    change: str
    edit: Edit
    line: int = 0
    setup: str = ""

    @property
    def name(self) -> str:
        """The name under which `survivors.toml` lists it; it holds no line number, so that it survives other changes."""
        return f"{self.place}: {self.change}" + (f" [{self.setup}]" if self.setup else "")

    @property
    def key(self) -> tuple[str, str]:
        """File and name, by which mutants are told apart."""
        return self.file, self.name

    @property
    def used(self) -> str:
        """The name that a recording has for what is changed."""
        source = STATEMENTS if self.file.startswith(STATEMENTS) else self.file
        return f"{source}:{self.line or self.place}"


def numbered(mutants: Iterable[Mutant]) -> list[Mutant]:
    """Return the mutants with a number behind each name that is not the first of its kind in its file."""
    seen: Counter[str] = Counter()
    found = []
    for mutant in mutants:
        seen[mutant.name] += 1
        count = seen[mutant.name]
        found.append(mutant if count == 1 else mutant._replace(change=f"{mutant.change} #{count}"))
    return found
