"""The Lua scripts, by name: what has to be one step in Redis."""

import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)

Word = bytes | str | int


class Command(NamedTuple):
    """What is sent, and the key that says to which node of a Cluster. `text` is the script that it runs, if it does."""

    key: bytes
    words: tuple[Word, ...]
    text: str = ""

    @property
    def in_full(self) -> tuple[Word, ...]:
        """The same command for a server that does not know the script yet."""
        return ("EVAL", self.text, *self.words[2:])


class Script(NamedTuple):
    """A script, and the SHA-1 that servers know it by."""

    text: str
    digest: str

    def on(self, keys: Sequence[bytes], *arguments: Word) -> Command:
        """Return the command that runs the script on keys of one slot."""
        return Command(keys[0], ("EVALSHA", self.digest, len(keys), *keys, *arguments), self.text)


def load_scripts(file: str) -> dict[str, Script]:
    """Return every script of a file of this package by name."""
    text = resources.files("doorward.storage.redis").joinpath(file).read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return {name: _script(body.strip()) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _script(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
