"""The promises as they are written down, and the tests that carry their ids."""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]
FILE = Path(__file__).with_name("promises.toml")
# Ids of one letter are those of faults that tests of their families are named after.
_CARRIED = re.compile(r"test_((?:[A-Z]{1,2}\d{1,2}_)+)")


@dataclass(frozen=True)
class Promise:
    id: str
    says: str
    anchor: str
    section: str
    reason: str | None = None
    """Why no test proves it, where none does."""


def promises() -> list[Promise]:
    """Return every promise, in the order of the page."""
    sections = tomllib.loads(FILE.read_text(encoding="utf-8"))["section"]
    return [
        Promise(id=name, section=section["title"], **words)
        for section in sections
        for name, words in section["promises"].items()
    ]


def carried(name: str) -> list[str]:
    """Return the ids of promises that a test's name carries: `test_OV1_S5_OV2_a_flood` carries two."""
    found = _CARRIED.match(name)
    return [part for part in found[1].split("_") if part[1:2].isalpha()] if found else []


def words(name: str) -> str:
    """Return a test's name as the sentence it is."""
    found = _CARRIED.match(name)
    return name[found.end() if found else len("test_") :].replace("_", " ")


def written(folder: Path = TESTS) -> Iterator[tuple[str, str]]:
    """Yield file and name of every test function below a folder, without running or importing any."""
    for file in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield file.relative_to(folder.parent).as_posix(), node.name
