"""Loader of the Lua scripts, which make several operations atomic in Redis."""

import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)

Word = bytes | str | int


class Command(NamedTuple):
    """Command, and the key that selects its node in a Cluster. `text` is the script for EVALSHA commands."""

    key: bytes
    words: tuple[Word, ...]
    text: str = ""

    @property
    def in_full(self) -> tuple[Word, ...]:
        """The command with the whole script, for a server that does not have it."""
        return ("EVAL", self.text, *self.words[2:])


class Script(NamedTuple):
    """Script, and its SHA-1 for EVALSHA."""

    text: str
    digest: str

    def on(self, keys: Sequence[bytes], *arguments: Word) -> Command:
        """Return the command that runs the script on keys of one slot."""
        return Command(keys[0], ("EVALSHA", self.digest, len(keys), *keys, *arguments), self.text)


def load_scripts(file: str) -> dict[str, Script]:
    """Return the scripts of a file of this package by name."""
    text = resources.files("doorward.storage.redis").joinpath(file).read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return {name: _script(body.strip()) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _script(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
