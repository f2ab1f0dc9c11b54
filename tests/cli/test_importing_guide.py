import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from doorward.cli import main
from doorward.core.passwords import formats
from doorward.core.passwords.formats import HashLimits, HashTooCostly, UnsupportedHash
from harness import KEY, read_settings, running

GUIDE = (Path(__file__).parents[2] / "docs" / "importing-users.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    return [line.split()[1:] for line in re.findall(r"^doorward user .*$", GUIDE, re.MULTILINE)]


def test_the_example_of_the_guide_works_when_it_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    Path("users.ndjson").write_text(example, encoding="utf-8")
    with running(read_settings(tmp_path)) as service:
        tenant = service.tenant("shop@example.org")
        assert len(commands()) == 3
        for words in commands():
            result = CliRunner().invoke(main, words, env={"DATA_DIR": str(tmp_path), "JWT_KEY": KEY})
            assert result.exit_code == 0, result.output
        assert tenant.login("alice", "correct horse battery staple").status_code == 200
        assert tenant.login("bob", "correct horse battery staple").status_code == 403
        body = re.findall(r"-d '(\{.*\})'", GUIDE)[0]
        assert tenant.post("/users/import", json.loads(body)).json()["exists"] == 1
    out = [json.loads(line) for line in Path("users.ndjson").read_text().splitlines()]
    assert [(user["login"], "passwordHash" in user) for user in out] == [("alice", True), ("bob", False)]


@pytest.mark.parametrize("code", [UnsupportedHash.code, HashTooCostly.code, "validation_error", "malformed_json"])
def test_the_guide_says_what_to_do_about_a_refused_row(code: str) -> None:
    assert f"| `{code}` |" in GUIDE


def sizes(bounds: HashLimits) -> list[int]:
    return [bounds.memory >> 20, bounds.argon2, bounds.scrypt, bounds.pbkdf2, bounds.bcrypt, 1 << bounds.phpass]


@pytest.mark.parametrize("bound", [*sizes(formats.STANDARD), *sizes(formats.RAISED), formats.MAX_HASH_LENGTH])
def test_the_guide_names_the_bounds(bound: int) -> None:
    bounds = GUIDE.partition("Bounds of cost")[2].partition("\n## ")[0]
    assert re.search(rf"(?<![\d,]){bound:,}(?![\d,])", bounds)
