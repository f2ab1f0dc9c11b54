"""The tour and the recipes, pasted into a shell, print what the pages show."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from doorward.http.api.routes import ENDPOINTS
from harness import serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
TOUR = README.partition("## A tour in five minutes")[2].partition("\n## ")[0]
BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WHERE = "URL=http://127.0.0.1:3000\n"
ASKED = re.compile(r"curl -s (?:-f |-o \S+ -D - )?(?:-X (\w+) )?\"?\$URL([^\s\"?]*)")
END = "@end-of-block@"
A_TIME = 1_000_000_000


def agrees(said: Any, written: Any) -> bool:
    """Tell whether an answer is the written one; "..." stands for any text, and one time for another."""
    if isinstance(written, dict):
        return isinstance(said, dict) and list(said) == list(written) and all(agrees(said[k], written[k]) for k in said)
    if isinstance(written, list):
        return isinstance(said, list) and len(said) == len(written) and all(map(agrees, said, written))
    if written == "...":
        return isinstance(said, str)
    if isinstance(written, int) and written > A_TIME:
        return isinstance(said, int) and len(str(said)) == len(str(written))
    return bool(said == written)


def blocks_of(page: str) -> list[tuple[str, str]]:
    blocks = BLOCK.findall(page)
    assert len(blocks) > 10
    assert blocks[0][1].startswith(WHERE)
    return blocks


def paste(blocks: list[tuple[str, str]], url: str) -> None:
    """Paste a page into a shell, and see that it is answered as the page says."""
    script = "".join(f"{text}echo; echo {END}\n" for kind, text in blocks if kind == "sh")
    shell = subprocess.run(
        ["/bin/bash", "-eu", "-c", script.replace(WHERE, f"URL={url}\n")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = [part.strip() for part in shell.stdout.split(END)]
    step = -1
    for kind, text in blocks:
        if kind == "sh":
            step += 1
        else:
            assert agrees(json.loads(said[step]), json.loads(text)), f"{said[step]} is not what the page says: {text}"


LIMITED = {"THROTTLER_MAX": "5", "BUDGET_LOGIN": "10:30", "BUDGET_WRITE": "50:100"}


@pytest.mark.slow
def test_the_recipes_work_when_they_are_pasted(tmp_path: Path) -> None:
    with serving(tmp_path, LIMITED) as process:
        paste(blocks_of(RECIPES), process.url)


@pytest.mark.slow
def test_N4_the_tour_works_after_the_line_of_the_banner_and_a_second_time(tmp_path: Path) -> None:
    with serving(tmp_path, LIMITED) as process:
        line = re.search(r"^  try +(curl .*)$", process.log(), re.MULTILINE)
        assert line
        for _ in range(2):
            subprocess.run(["/bin/bash", "-c", line[1]], check=True, capture_output=True, timeout=60)
            paste(blocks_of(TOUR), process.url)


def test_there_is_an_example_of_every_endpoint() -> None:
    script = "".join(text.replace("\\\n", "") for kind, text in BLOCK.findall(TOUR + RECIPES) if kind == "sh")
    asked = set()
    for match in ASKED.finditer(script):
        line = script[match.end() :].partition("\n")[0]
        asked.add(((match[1] or ("POST" if " -d " in line or "--data" in line else "GET")), match[2]))
    missing = [
        f"{endpoint.method} {endpoint.path}"
        for endpoint in ENDPOINTS
        if endpoint.tag != "Operations"
        and not any(
            method == endpoint.method and re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", endpoint.path), path)
            for method, path in asked
        )
    ]
    assert missing == []
