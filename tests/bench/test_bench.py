"""The benchmark program runs and writes its results; no test asserts a speed."""

import json
import shutil
from math import isfinite
from pathlib import Path

import pytest

from bench import load, machine, report
from bench.figures import FIGURES, measure
from bench.results import Bench, Effort
from bench.servers import SQLITE, doorward, fill, foreign, verifying

TINY = Effort(rounds=1, seconds=0.5, tenants=16, logins=2, requests=200, sessions=20)

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_is_taken_and_written_down(name: str, tmp_path: Path) -> None:
    found = measure([name], Bench(tmp_path / "data", TINY))
    for figure in found:
        assert figure.lines
        assert all(isfinite(line.value) and line.value > 0 for line in figure.lines)
        assert all(isfinite(ratio.value) and ratio.value > 0 for ratio in figure.ratios)
    report.write(tmp_path / "docs", machine.describe(), found)
    page = (tmp_path / "docs/benchmarks.md").read_text()
    assert found[0].title in page
    assert f"benchmark-{name}.svg" in page
    assert (tmp_path / f"docs/benchmark-{name}.svg").read_text().startswith("<svg")
    assert name in json.loads((tmp_path / "docs/benchmarks.json").read_text())["figures"]


def test_without_wrk_the_library_client_counts_the_same_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with doorward(SQLITE, tmp_path / "server") as server:
        assert load.saturate(verifying(server, fill(server, 8)), 0.2, connections=2).requests > 0


def test_answers_that_are_no_success_are_no_result(tmp_path: Path) -> None:
    with doorward(SQLITE, tmp_path / "server") as server:
        target = verifying(server, fill(server, 1))
        target.requests = [request.replace(b"Bearer ", b"Bearer x") for request in target.requests]
        with pytest.raises(load.Refused):
            load.saturate(target, 0.3, connections=1)


def test_another_server_is_measured_in_the_same_rounds(tmp_path: Path) -> None:
    with doorward(SQLITE, tmp_path / "other") as other:
        bench = Bench(tmp_path / "data", TINY, other.url, other.group)
        [figure] = measure(["login"], bench)
    assert foreign(other.url, None).port == other.port
    assert other.url in {line.name for line in figure.lines}
