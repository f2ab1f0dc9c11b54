"""The pages for operators name every command, and their examples work."""

import re
import shlex
from pathlib import Path

import click
import pytest

from doorward.cli import main
from harness import PASSWORD
from terminal import Operator

DOCS = Path(__file__).parents[2] / "docs"


def leaves(group: click.Group = main, before: str = "doorward") -> set[str]:
    found: set[str] = set()
    for name, command in group.commands.items():
        words = f"{before} {name}"
        found |= leaves(command, words) if isinstance(command, click.Group) else {words}
    return found


def test_every_command_is_in_the_overview_and_none_that_does_not_exist() -> None:
    page = (DOCS / "command-line.md").read_text()
    assert set(re.findall(r"^\| `(doorward [\w -]+)` \|", page, re.MULTILINE)) == leaves()


def test_BK4_the_drill_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = Operator(tmp_path / "live", {})
    operator.do("tenant", "create", "--init", "a@example.org", typed=PASSWORD + "\n")
    operator.do("backup", str(tmp_path / "doorward.bak"))
    page = (DOCS / "backup.md").read_text().partition("## Restore drill")[2]
    lines = page.split("```")[1].strip().splitlines()
    assert len(lines) == 2
    monkeypatch.chdir(tmp_path)
    for line in lines:
        words = shlex.split(line.replace("/backups/", f"{tmp_path}/").replace("/tmp/drill", f"{tmp_path}/drill"))  # noqa: S108 - the page's
        settings = dict(word.split("=", 1) for word in words[: words.index("doorward")])
        Operator(tmp_path, settings).do(*words[words.index("doorward") + 1 :])
    there = Operator(tmp_path / "drill", {})
    assert [one["email"] for one in there.read("tenant", "list")] == ["a@example.org"]
