"""An operator's terminal: commands on the stores of a test."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from doorward.cli import main
from harness import KEY


@dataclass
class Operator:
    """Runs commands as `doorward …` in a folder, with these settings and no terminal."""

    folder: Path
    settings: Mapping[str, str]

    def run(self, *words: str, typed: str | bytes = "", **more: str) -> Result:
        base = {"DATA_DIR": str(self.folder), "JWT_KEY": KEY, "COLUMNS": None, "NO_COLOR": None}
        environment = {name: value or None for name, value in {**base, **self.settings, **more}.items()}
        return CliRunner().invoke(main, list(words), input=typed, env=environment)

    def do(self, *words: str, typed: str | bytes = "", **more: str) -> Result:
        """Run a command that has to work."""
        answer = self.run(*words, typed=typed, **more)
        assert answer.exit_code == 0, (answer.output, answer.exception)
        return answer

    def read(self, *words: str, **more: str) -> list[Any]:
        """Run a command and return the objects it prints, one a line."""
        return [json.loads(line) for line in self.do(*words, "--json", **more).stdout.splitlines()]
