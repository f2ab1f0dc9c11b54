"""What the doctor found: a line of what it prints."""

from typing import NamedTuple


class Finding(NamedTuple):
    """What was looked at, how it is (`ok`, `warn` or `fail`), and what to do about it."""

    name: str
    state: str
    said: str
    todo: str = ""
