"""The doctor looks at everything, says what to do, and ends with 3 where something fails."""

from pathlib import Path

import pytest

from harness import Service
from operators.desk import Operator


def test_a_healthy_installation_has_no_failure(operator: Operator, shared: Service) -> None:
    found = {one["name"]: one["state"] for one in operator.read("doctor")}
    assert {"master key", "schema", "database", "disk", "hashing", "workers", "open files"} <= set(found)
    assert ("clock" in found) == shared.settings.on_postgresql
    assert ("sessions" in found) == bool(shared.settings.redis_url)
    assert "fail" not in found.values()
    said = operator.do("doctor").stdout
    assert len(said.splitlines()) == len(found)
    assert "\x1b" not in said


SICK = {
    "a server that is not there": (
        {"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c", "DATABASE_WAIT": "0"},
        "stores",
        "fail",
        3,
    ),
    "more workers than cores": ({"WORKERS": "64"}, "workers", "warn", 0),
}


@pytest.mark.parametrize("name", SICK)
def test_what_is_wrong_is_found(tmp_path: Path, name: str) -> None:
    settings, about, state, code = SICK[name]
    tmp_path.chmod(0o755)
    answer = Operator(tmp_path, settings).run("doctor")
    assert answer.exit_code == code, answer.output
    assert any(line.startswith(state) and line[6:].startswith(about) for line in answer.stdout.splitlines())


def test_a_database_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {})
    tmp_path.chmod(0o755)
    operator.do("migrate")
    assert {one["name"]: one["state"] for one in operator.read("doctor")}["files"] == "warn"
    tmp_path.chmod(0o700)
    assert {one["name"]: one["state"] for one in operator.read("doctor")}["files"] == "ok"
