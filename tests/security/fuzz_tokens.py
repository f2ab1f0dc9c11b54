"""Throws mutated tokens at the codec, guided by coverage: `python -m security.fuzz_tokens [options]`.

Needs atheris (requirements/fuzz.txt); the options are libFuzzer's. `spellings.py` says what would be a fault.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["doorward.core"]):
    from security.spellings import CODEC, TOKEN, accepts, check_spellings

if __name__ == "__main__":
    true = CODEC.parse_user(TOKEN)
    assert true is not None
    assert accepts(TOKEN)
    with TemporaryDirectory() as corpus:
        Path(corpus, "token").write_bytes(TOKEN)
        Path(corpus, "claims").write_bytes(true.payload)
        atheris.Setup([*sys.argv, corpus], check_spellings)
        atheris.Fuzz()
