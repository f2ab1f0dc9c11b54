"""Rows of a file, one after the other: CSV, NDJSON, or a JSON array, whatever its size."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from io import TextIOWrapper
from typing import IO, Any

from doorward.core.errors import Refusal
from doorward.http.body import parse

_PIECE = 1 << 16
_LONGEST_ROW = 1 << 20
_JSON_CELLS = ("scope", "metadata")
_BOOLEAN_CELLS = ("disabled", "emailVerified")
_SPACE = re.compile(r"[ \t\r\n]*")


class UnreadableFile(Exception):  # noqa: N818 - the sentence is for an operator
    """The file is not what its name says. The message says where, and repeats nothing of it."""


class UnreadableRow:
    """A row that is no JSON, or has a cell that should be."""


def read_rows(file: IO[bytes], ending: str) -> Iterator[Any]:
    """Yield each row as the value a JSON text of it has; UnreadableRow for one that cannot be read.

    `ending` is one of ENDINGS. UnreadableFile where nothing after this place can be read.
    """
    text = TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        yield from ENDINGS[ending](text)
    except UnicodeDecodeError:
        raise UnreadableFile("The file is not UTF-8") from None
    except csv.Error as error:
        raise UnreadableFile(f"The file is no CSV: {error}") from None
    finally:
        # Whoever opened the file closes it.
        text.detach()


def _csv(file: IO[str]) -> Iterator[Any]:
    reader = csv.DictReader(file, strict=True)
    if "login" not in (reader.fieldnames or ()):
        raise UnreadableFile("The first line has to name the columns, and one has to be login")
    for cells in reader:
        row: dict[str, Any] = {name: cell for name, cell in cells.items() if name is not None and cell}
        try:
            row |= {name: parse(row[name].encode()) for name in _JSON_CELLS if name in row}
            # Spreadsheets write TRUE, Python's programs True.
            row |= {name: parse(row[name].lower().encode()) for name in _BOOLEAN_CELLS if name in row}
        except Refusal:
            yield UnreadableRow()
        else:
            yield row


def _ndjson(file: IO[str]) -> Iterator[Any]:
    while line := file.readline(_LONGEST_ROW):
        if len(line) == _LONGEST_ROW and not line.endswith("\n"):
            raise UnreadableFile("A line is longer than any row may be")
        if not line.strip():
            continue
        try:
            yield parse(line.encode())
        except Refusal:
            yield UnreadableRow()


def _json(file: IO[str]) -> Iterator[Any]:
    """Yield the elements of an array without ever holding more than a few of them."""
    decoder = json.JSONDecoder()
    text = file.read(_PIECE)
    place = _skip(text, 0)
    if text[place : place + 1] != "[":
        raise UnreadableFile("The file has to hold one JSON array")
    place = _skip(text, place + 1)
    while text[place : place + 1] != "]":
        try:
            _, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = len(text)
        following = _skip(text, end)
        if text[following : following + 1] not in {",", "]"}:
            # What ends with the piece may go on in the next: a number has no end of its own.
            more = file.read(_PIECE)
            if not more or len(text) - place > _LONGEST_ROW:
                raise UnreadableFile("The file ends, or cannot be read on, within its array")
            text = text[place:] + more
            place = _skip(text, 0)
            continue
        try:
            yield parse(text[place:end].encode())
        except Refusal:
            yield UnreadableRow()
        place = _skip(text, following + 1) if text[following] == "," else following


def _skip(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


ENDINGS: Mapping[str, Callable[[IO[str]], Iterator[Any]]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _ndjson,
    ".ndjson": _ndjson,
}
"""How the file is read whose name ends so."""
