"""Findings of `doorward doctor`."""

from typing import NamedTuple


class Finding(NamedTuple):
    """The checked subject, its state (`ok`, `warn` or `fail`), what was found, and what to do about it."""

    name: str
    state: str
    said: str
    todo: str = ""
