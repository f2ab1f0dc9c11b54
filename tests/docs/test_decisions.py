"""Decision records have one shape, and their measurements one page each."""

import re
from datetime import date
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
MEASUREMENTS = sorted((DOCS / "measurements").glob("[0-9]*.md"))
TITLE = re.compile(r"# (?P<number>\d{4}): (?P<title>\S.*)")
STATUS = re.compile(
    r"\*\*Status:\*\* (?:accepted|superseded by \[\d{4}\]\((?P<successor>[\w.-]+)\))"
    r" · \*\*Date:\*\* (?P<date>\d{4}-\d{2}-\d{2})"
)
PARTS = ["Context", "Decision", "Alternatives", "Consequences"]
ROW = re.compile(r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+?) \|", re.MULTILINE)
MOST_WORDS = 500


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_a_decision_has_a_title_a_status_a_date_and_four_parts(page: Path) -> None:
    title, _, status, blank, *_ = read(page).splitlines()
    titled = TITLE.fullmatch(title)
    assert titled
    assert titled["number"] == page.name[:4]
    stated = STATUS.fullmatch(status)
    assert stated, f"not `**Status:** accepted · **Date:** YYYY-MM-DD`: {status}"
    assert date.fromisoformat(stated["date"]).year >= 2026
    assert stated["successor"] is None or (page.parent / stated["successor"]).exists()
    assert blank == ""
    assert re.findall(r"^## (.+)$", read(page), re.MULTILINE) == PARTS


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_a_decision_is_short(page: Path) -> None:
    words = len(read(page).split())
    assert words <= MOST_WORDS, f"{words} words: move figures and details to docs/measurements/{page.name}"


def test_the_index_lists_every_decision_with_its_title() -> None:
    found = [(page.name[:4], page.name, TITLE.match(read(page))) for page in DECISIONS]
    listed = ROW.findall(read(DOCS / "decisions" / "README.md"))
    assert listed == [(number, name, title["title"] if title else "") for number, name, title in found]


def test_numbers_of_decisions_are_unique() -> None:
    numbers = [page.name[:4] for page in DECISIONS]
    assert len(numbers) == len(set(numbers))


def test_the_index_lists_every_page_of_measurements() -> None:
    listed = ROW.findall(read(DOCS / "measurements" / "README.md"))
    assert [name for _, name, _ in listed] == [page.name for page in MEASUREMENTS]
    assert [number for number, _, _ in listed] == [page.name[:4] for page in MEASUREMENTS]


@pytest.mark.parametrize("page", MEASUREMENTS, ids=lambda page: page.name)
def test_measurements_and_their_decision_link_to_each_other(page: Path) -> None:
    decision = DOCS / "decisions" / page.name
    assert decision.exists()
    assert f"](../decisions/{page.name})" in read(page)
    assert f"](../measurements/{page.name})" in read(decision)
