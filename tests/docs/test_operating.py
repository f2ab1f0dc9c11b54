"""What the page about operating tells an operator to do has the effect it says."""

import re
import shlex
import subprocess
import sys
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


def logged_in(url: str) -> int:
    return httpx.post(f"{url}/tenant/login", json={"email": EMAIL, "password": PASSWORD}).status_code


@pytest.mark.slow
def test_a_backup_made_while_it_runs_is_restored_and_another_key_ends_every_session(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = re.findall(r"^python3 (-c .*)$", PAGE, re.MULTILINE)[0]
    with serving(tmp_path) as process:
        token = registered(process.url)
        asking = {"Authorization": f"Bearer {token}"}
        gateway = {"name": "gateway", "permissions": ["tenant"]}
        made = httpx.post(f"{process.url}/tenant/key", json=gateway, headers=asking).json()
        subprocess.run([sys.executable, *shlex.split(command)], cwd=tmp_path, check=True, timeout=30)
        assert httpx.delete(f"{process.url}/tenant/key/{made['id']}", headers=asking).status_code == 200
        assert httpx.post(f"{process.url}/tenant/logout", json={"token": token}).status_code == 200
        assert verdict(process.url, token) == 400

    def restore() -> None:
        for file in data.glob("doorward.db*"):
            file.unlink()
        (data / "doorward.db").write_bytes((tmp_path / "backup.db").read_bytes())

    restore()
    with serving(tmp_path) as process:
        assert verdict(process.url, token) == 200, "the page warns of this"
    restore()
    (data / "master.key").unlink()
    with serving(tmp_path) as process:
        assert verdict(process.url, token) == 400
        assert logged_in(process.url) == 200
        asking = {"Authorization": f"Bearer {made['key']}"}
        assert httpx.get(f"{process.url}/tenant", headers=asking).status_code == 200, "the page warns of this"


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
