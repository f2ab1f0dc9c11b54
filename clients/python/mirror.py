"""Generates the synchronous client from the asynchronous one, so that they cannot differ.

`python mirror.py` writes the file; `python mirror.py --check` exits with 1 if the file is outdated.
"""

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "src" / "doorward_client"
SOURCE = PACKAGE / "asynchronous.py"
MADE = PACKAGE / "synchronous.py"
WORDS = (
    (r"^\"\"\".*?\"\"\"", '"""Synchronous client. Generated from `asynchronous.py` by `mirror.py`: edit that file."""'),
    (r"\bawait asyncio\.sleep\b", "time.sleep"),
    (r"^import asyncio$", "import time"),
    (r"\bawait ", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"\baclose\b", "close"),
    (r"\b(aread|aiter_bytes)\b", lambda match: match[1][1:]),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"(?<!an )(?<!An )\bAsync(Client|Doorward|Sender|Users|Sessions|TenantAccount|Keys)\b", r"\1"),
)


def mirrored() -> str:
    """Return the source of the synchronous client."""
    text = SOURCE.read_text(encoding="utf-8")
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    for command in (["check", "--select", "I", "--fix", "--quiet", "-"], ["format", "--quiet", "-"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(MADE)]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
    return text


def main() -> int:
    """Write the file, or check it with `--check`."""
    if "--check" in sys.argv[1:]:
        return 0 if MADE.read_text(encoding="utf-8") == mirrored() else 1
    MADE.write_text(mirrored(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
