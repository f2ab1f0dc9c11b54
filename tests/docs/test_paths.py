"""Paths of the repository that pages name in code spans exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "doorward"
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))]
)
FOLDERS = {"src", "tests", "tools", "deploy", "docs", "clients", "requirements", ".github", "api"}
"""Folders of the root. A path that starts with another one is a path of an installation."""
PACKAGES = {folder.name for folder in SOURCE.iterdir() if folder.is_dir()}
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w.*-]+(?:/[\w.*-]+)+/?|[\w.-]+/")
MODULE = re.compile(r"\w+\.py")
FILES = {file.name for folder in sorted(FOLDERS) if (ROOT / folder).is_dir() for file in (ROOT / folder).rglob("*.py")}


def spans(page: Path) -> list[str]:
    return SPAN.findall(FENCE.sub("", page.read_text(encoding="utf-8")))


def words(page: Path) -> Iterator[str]:
    """Yield the words of a page's code spans; a span may be a command."""
    for span in spans(page):
        for word in span.split():
            yield word.partition("::")[0].removeprefix("./").rstrip(",;:")


def exists(path: str, folder: Path) -> bool:
    return any(folder.glob(path.rstrip("/")))


def paths(page: Path) -> Iterator[tuple[str, Path]]:
    """Yield each path of the repository that a page names, with the folder that it is relative to."""
    for word in words(page):
        if not PATH.fullmatch(word):
            continue
        first = word.partition("/")[0]
        if first in FOLDERS:
            yield word, ROOT
        # A value such as `http/protobuf` has neither a suffix nor a slash at its end.
        elif first in PACKAGES and (word.endswith("/") or "." in word.rpartition("/")[2]):
            yield word, SOURCE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    assert [path for path, folder in paths(page) if not exists(path, folder)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_module_that_a_page_names_without_its_folder_exists(page: Path) -> None:
    assert [span for span in spans(page) if MODULE.fullmatch(span) and span not in FILES] == []


def test_a_path_that_does_not_exist_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`python tests/missing.py`, `http/missing.py`, `http/protobuf`, `data/master.key`, `docs/`, `missing/`"
    )
    assert [path for path, folder in paths(page) if not exists(path, folder)] == ["tests/missing.py", "http/missing.py"]
