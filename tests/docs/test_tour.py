"""The tour and the recipes are pasted into a shell, and say what the pages say."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from doorward.http.routes import ENDPOINTS
from harness import serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
TOUR = README.partition("## A tour in five minutes")[2].partition("\n## ")[0]
BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WHERE = "URL=http://127.0.0.1:3000\n"
ASKED = re.compile(r"curl -s (?:-o \S+ -D - )?(?:-X (\w+) )?\"?\$URL([^\s\"?]*)")
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


@pytest.mark.slow
@pytest.mark.parametrize("page", [TOUR, RECIPES], ids=["tour", "recipes"])
def test_a_page_works_when_it_is_pasted(page: str, tmp_path: Path) -> None:
    blocks = [(kind, text) for kind, text in BLOCK.findall(page)]
    assert len(blocks) > 10
    assert blocks[0][1].startswith(WHERE)
    with serving(tmp_path, {"THROTTLER_MAX": "5", "BUDGET_LOGIN": "10:30", "BUDGET_WRITE": "50:100"}) as process:
        script = "".join(f"{text}echo; echo {END}\n" for kind, text in blocks if kind == "sh")
        shell = subprocess.run(
            ["/bin/bash", "-eu", "-c", script.replace(WHERE, f"URL={process.url}\n")],
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
