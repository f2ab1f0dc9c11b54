"""The codec against texts that a fuzzer finds by looking at which lines they reach."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNS = 5_000_000 if os.environ.get("DOORWARD_TORTURE") else 20_000


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="make torture installs the fuzzer")
@pytest.mark.timeout(3600)
def test_TK4_TK8_a_fuzzer_finds_no_second_spelling_and_no_fault(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(Path(__file__).with_name("fuzz_tokens.py")),
        f"-runs={RUNS}",
        "-max_len=8300",
        "-seed=1",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {RUNS} runs" in done.stderr
