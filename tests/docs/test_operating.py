"""Procedures of the operating page have the described effect."""

import re
from pathlib import Path

import httpx
import pytest

from harness import KEY, PASSWORD, serving

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
EMAIL = "shop@example.org"


def verdict(url: str, token: str) -> int:
    return httpx.post(f"{url}/tenant/verify", json={"token": token}).status_code


def registered(url: str) -> str:
    token: str = httpx.post(f"{url}/tenant", json={"email": EMAIL, "password": PASSWORD}).json()["token"]
    return token


@pytest.mark.slow
def test_KR1_KR2_the_master_key_is_replaced_without_ending_sessions(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        before = registered(process.url)
    old = (tmp_path / "data" / "master.key").read_text().strip().removeprefix("1:")
    with serving(tmp_path, {"JWT_KEY": f"2:{KEY},1:{old}"}) as process:
        assert verdict(process.url, before) == 200
        after = httpx.post(f"{process.url}/tenant/login", json={"email": EMAIL, "password": PASSWORD}).json()["token"]
    with serving(tmp_path, {"JWT_KEY": f"2:{KEY}"}) as process:
        assert verdict(process.url, before) == 400
        assert verdict(process.url, after) == 200


@pytest.mark.slow
def test_an_example_of_a_log_line_is_one(tmp_path: Path) -> None:
    example = re.findall(r'^\{"event".*$', PAGE, re.MULTILINE)[0]
    names = re.findall(r'"(\w+)":', example)
    with serving(tmp_path) as process:
        line = next(line for line in process.log().splitlines() if '"event": "ready"' in line)
    assert re.findall(r'"(\w+)":', line) == names
