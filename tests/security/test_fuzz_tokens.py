"""The codec against random and fuzzed texts that are nearly tokens."""

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from security.spellings import CODEC, TOKEN, check_spellings

RUNS = 5_000_000 if os.environ.get("DOORWARD_TORTURE") else 20_000
TEXTS = 3_000


def nearly(text: bytes, choice: random.Random) -> bytes:
    """Return a text with some bytes changed, left out, put in or moved."""
    for _ in range(choice.randint(1, 3)):
        start, end = sorted(choice.sample(range(len(text) + 1), 2))
        piece = choice.choice(
            [b"", bytes([choice.randrange(256)]), text[start:end][::-1], text[start:end] * 2, b".", b"="]
        )
        text = text[:start] + piece + text[choice.choice([start, start + 1, end]) :]
        if not text:
            break
    return text


def test_TK4_TK8_no_text_that_is_nearly_a_token_is_a_second_spelling() -> None:
    true = CODEC.parse_user(TOKEN)
    assert true is not None
    choice = random.Random(1)
    check_spellings(TOKEN)
    for _ in range(TEXTS):
        check_spellings(nearly(choice.choice([TOKEN, true.payload]), choice))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="make torture installs the fuzzer")
@pytest.mark.timeout(3600)
def test_TK4_TK8_a_fuzzer_finds_no_second_spelling_and_no_fault(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "security.fuzz_tokens", f"-runs={RUNS}", "-max_len=8300", "-seed=1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=3600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {RUNS} runs" in done.stderr
