"""Readers of CSV, NDJSON and JSON files, row by row."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from typing import IO, Any, NamedTuple

from doorward.core.errors import Refusal
from doorward.http.json_body import parse

_PIECE = 1 << 16
_MAX_ROW_CHARS = 1 << 20
_MAX_PAGE_CHARS = 1 << 28
_JSON_CELLS = ("scope", "metadata")
_BOOLEAN_CELLS = ("disabled", "emailVerified")
_SPACE = re.compile(r"[ \t\r\n]*")


class UnreadableFile(Exception):
    """The file is not of the format of its name. The message gives the position and no content."""


class UnreadableRow:
    """A row or cell that is not valid JSON, or a row whose number of cells differs from that of the columns."""


class Format(NamedTuple):
    """Reader of a file format, and the `newline` argument for opening the file."""

    read: Callable[[IO[str]], Iterator[Any]]
    newline: str


def read_rows(file: IO[bytes], ending: str) -> Iterator[Any]:
    """Yield each row as a JSON value, or UnreadableRow for a row that cannot be read.

    `ending` is one of ENDINGS. Memory does not grow with the size of the file.

    Raises:
        UnreadableFile: The rest of the file cannot be read.
    """
    file_format = ENDINGS[ending]
    with _text(file, file_format.newline) as text:
        yield from file_format.read(text)


def read_export(file: IO[bytes], ending: str, columns: Sequence[str] = ()) -> Iterator[Any]:
    """Yield the values of another system's file: CSV rows as text, or a sequence of JSON values.

    An NDJSON file is read line by line, with UnreadableRow for a line that is not valid JSON. Any other file that is
    not CSV is read as a whole. `columns` are the columns of CSV without a header line.

    Raises:
        UnreadableFile: The rest of the file cannot be read.
    """
    if ending == ".csv":
        # Exports without a header line may have fewer columns in older versions of the system.
        file_format = Format(partial(_table, columns=columns, is_exact=not columns), "")
    elif ending in {".jsonl", ".ndjson"}:
        file_format = Format(partial(_lines, max_length=_MAX_PAGE_CHARS), "\n")
    else:
        file_format = Format(_sequence, "")
    with _text(file, file_format.newline) as text:
        yield from file_format.read(text)


@contextmanager
def _text(file: IO[bytes], newline: str) -> Iterator[IO[str]]:
    text = TextIOWrapper(file, encoding="utf-8-sig", newline=newline)
    try:
        yield text
    except UnicodeDecodeError:
        raise UnreadableFile("The file is not UTF-8") from None
    except csv.Error as error:
        raise UnreadableFile(f"The file is not valid CSV: {error}") from None
    finally:
        # The caller closes the file.
        text.detach()


def _table(file: IO[str], columns: Sequence[str] = (), *, is_exact: bool = True) -> Iterator[Any]:
    """Yield the rows of a CSV file, each by the names of its columns.

    A row with more cells than columns is unreadable, and with `is_exact` also one with fewer.
    """
    # The default limit of the csv module (128 KiB) is too small for an image in a user's metadata.
    csv.field_size_limit(_MAX_ROW_CHARS)
    reader = csv.DictReader(file, columns or None, strict=True)
    names = reader.fieldnames or ()
    if len(set(names)) < len(names):
        raise UnreadableFile("The first line has a duplicate column")
    for cells in reader:
        # csv.DictReader puts additional cells under None, and None into missing cells.
        yield UnreadableRow() if None in cells or (is_exact and None in cells.values()) else cells


def _csv(file: IO[str]) -> Iterator[Any]:
    names = csv.DictReader(file, strict=True).fieldnames or ()
    if "login" not in names:
        raise UnreadableFile("The first line has to list the columns, including login")
    for cells in _table(file, names):
        if isinstance(cells, UnreadableRow):
            yield cells
            continue
        row: dict[str, Any] = {name: cell for name, cell in cells.items() if cell}
        try:
            row |= {name: parse(row[name].encode()) for name in _JSON_CELLS if name in row}
            # Spreadsheets write TRUE, Python programs True.
            row |= {name: parse(row[name].lower().encode()) for name in _BOOLEAN_CELLS if name in row}
        except Refusal:
            yield UnreadableRow()
        else:
            yield row


def _lines(file: IO[str], max_length: int = _MAX_ROW_CHARS) -> Iterator[Any]:
    """Yield the JSON value of each line; only LF ends a line."""
    while line := file.readline(max_length):
        if len(line) == max_length and not line.endswith("\n"):
            raise UnreadableFile("A line exceeds the maximum length of a row")
        if not line.strip(" \t\r\n"):
            continue
        try:
            yield parse(line.encode())
        except Refusal:
            yield UnreadableRow()


def _sequence(file: IO[str]) -> Iterator[Any]:
    """Yield a sequence of JSON values that are separated by white space."""
    decoder, text = json.JSONDecoder(object_pairs_hook=_unique), file.read()
    position = _skip(text, 0)
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise UnreadableFile(
                f"The file is not valid JSON from line {error.lineno}, column {error.colno} on"
            ) from None
        except (ValueError, RecursionError):
            raise UnreadableFile("The file has JSON that nests too deep, or a number that is too long") from None
        yield value
        position = _skip(text, position)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise UnreadableFile("The file has a JSON object with a duplicate name")
    return fields


def _json(file: IO[str]) -> Iterator[Any]:
    """Yield the elements of a JSON array, with only a few of them in memory at a time."""
    decoder = json.JSONDecoder()
    text = file.read(_PIECE)
    position = _skip(text, 0)
    if text[position : position + 1] != "[":
        raise UnreadableFile("The file has to contain one JSON array")
    position = _skip(text, position + 1)
    while text[position : position + 1] != "]":
        try:
            _, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = len(text)
        following = _skip(text, end)
        if text[following : following + 1] not in {",", "]"}:
            # A value at the end of the piece may continue in the next: a number has no terminator.
            more = file.read(_PIECE)
            if not more or len(text) - position > _MAX_ROW_CHARS:
                raise UnreadableFile("The file ends or is invalid within its array")
            text = text[position:] + more
            position = _skip(text, 0)
            continue
        try:
            yield parse(text[position:end].encode())
        except Refusal:
            yield UnreadableRow()
        position = _skip(text, following + 1) if text[following] == "," else following
    rest = text[position + 1 :]
    while rest:
        if _skip(rest, 0) < len(rest):
            raise UnreadableFile("The file has content after its array")
        rest = file.read(_PIECE)


def _skip(text: str, position: int) -> int:
    spaces = _SPACE.match(text, position)
    return spaces.end() if spaces else position


ENDINGS: Mapping[str, Format] = {
    ".csv": Format(_csv, ""),
    ".json": Format(_json, ""),
    ".jsonl": Format(_lines, "\n"),
    ".ndjson": Format(_lines, "\n"),
}
"""File formats by the ending of the file's name."""
