"""The prose of the code and of the pages stays within the budget of avoided words, which only goes down."""

import tomllib
from pathlib import Path

import pytest

from docs.language import FLOORS, OPENERS, WHAT, Count, count, count_text, files

ROOT = Path(__file__).parents[2]
BUDGET: dict[str, dict[str, int]] = tomllib.loads(Path(__file__).with_suffix(".toml").with_stem("language").read_text())
GROUPS = sorted(BUDGET)


@pytest.fixture(scope="module")
def counts() -> dict[str, Count]:
    return {group: count(ROOT, paths) for group, paths in files(ROOT).items()}


def test_the_budget_names_each_group_and_each_word(counts: dict[str, Count]) -> None:
    assert sorted(counts) == GROUPS
    assert [set(BUDGET[group]) for group in GROUPS] == [set(FLOORS)] * len(GROUPS)


@pytest.mark.parametrize("name", FLOORS)
@pytest.mark.parametrize("group", GROUPS)
def test_no_word_is_above_its_budget(counts: dict[str, Count], group: str, name: str) -> None:
    found, most = counts[group], BUDGET[group][name]
    places = "\n".join(map(str, found.of(name)))
    assert found.rate(name) <= most, f"'{name}' in {group}: {found.rate(name):.2f}, budget {most}. Reword:\n{places}"


@pytest.mark.parametrize("name", FLOORS)
@pytest.mark.parametrize("group", GROUPS)
def test_no_budget_is_far_above_the_count(counts: dict[str, Count], group: str, name: str) -> None:
    rate, most = counts[group].rate(name), BUDGET[group][name]
    slack = max(2.0, 0.15 * most)
    assert most <= max(FLOORS[name], rate + slack), (
        f"'{name}' in {group}: {rate:.2f}, budget {most}. Lower the budget: python -m docs.language --lower"
    )


def test_words_in_code_are_not_counted() -> None:
    page = Count()
    count_text("page.md", "# Keys\n\n```sh\ntold\n```\n\n`nobody`, [a key](told.md) https://told.example told\n", page)
    module = Count()
    count_text("module.py", 'told = f"{told}"\nnobody("nobody")\nx = 1  # noqa: E501 told\n', module)
    assert [(hit.name, hit.line) for hit in page.hits + module.hits] == [("told", 7)]


def test_comments_docstrings_and_texts_are_counted_where_they_stand() -> None:
    found = Count()
    count_text(
        "module.py", '"""Who is it."""\n\n# This is what\n# is left.\nlog(f"nobody {told} anew\\ntold")\n', found
    )
    assert [(hit.name, hit.line) for hit in found.hits] == [
        (OPENERS, 1), ("nobody", 5), ("told", 5), ("anew", 5), (WHAT, 3),
    ]  # fmt: skip
    assert (found.words, found.titles) == (3 + 3 + 2 + 3, 1)


def test_a_heading_that_asks_is_an_opener() -> None:
    found = Count()
    count_text("page.md", "# Keys\n\n## How keys are made\n", found)
    assert [(hit.name, hit.line) for hit in found.hits] == [(OPENERS, 3)]
    assert found.rate(OPENERS) == 50
