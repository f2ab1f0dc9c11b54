"""Rows of a file, one after the other: CSV, NDJSON, or JSON."""

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
_LONGEST_ROW = 1 << 20
_LONGEST_PAGE = 1 << 28
_JSON_CELLS = ("scope", "metadata")
_BOOLEAN_CELLS = ("disabled", "emailVerified")
_SPACE = re.compile(r"[ \t\r\n]*")


class UnreadableFile(Exception):
    """The file is not what its name says. The message says where, and repeats nothing of it."""


class UnreadableRow:
    """A row that is no JSON, has a cell that should be, or has another number of cells than there are columns."""


class Form(NamedTuple):
    """Reader of a form of file, and the `newline` that the file is opened with."""

    read: Callable[[IO[str]], Iterator[Any]]
    newline: str


def read_rows(file: IO[bytes], ending: str) -> Iterator[Any]:
    """Yield each row as the value a JSON text of it has; UnreadableRow for one that cannot be read.

    `ending` is one of ENDINGS. UnreadableFile where nothing after this place can be read. Memory does not grow with the
    file.
    """
    form = ENDINGS[ending]
    with _text(file, form.newline) as text:
        yield from form.read(text)


def read_export(file: IO[bytes], ending: str, columns: Sequence[str] = ()) -> Iterator[Any]:
    """Yield the values of a file of another system: rows of CSV as text, or JSON values that follow one another.

    A file with the ending of NDJSON is read line by line, with UnreadableRow for a line that is no JSON; any other that
    is not CSV is read as a whole. CSV without a line of names has `columns`. UnreadableFile as for `read_rows`.
    """
    if ending == ".csv":
        # Older versions of a system that names no columns may have fewer of them.
        form = Form(partial(_table, columns=columns, is_exact=not columns), "")
    elif ending in {".jsonl", ".ndjson"}:
        form = Form(partial(_lines, longest=_LONGEST_PAGE), "\n")
    else:
        form = Form(_sequence, "")
    with _text(file, form.newline) as text:
        yield from form.read(text)


@contextmanager
def _text(file: IO[bytes], newline: str) -> Iterator[IO[str]]:
    text = TextIOWrapper(file, encoding="utf-8-sig", newline=newline)
    try:
        yield text
    except UnicodeDecodeError:
        raise UnreadableFile("The file is not UTF-8") from None
    except csv.Error as error:
        raise UnreadableFile(f"The file is no CSV: {error}") from None
    finally:
        # The caller, who opened the file, closes it.
        text.detach()


def _table(file: IO[str], columns: Sequence[str] = (), *, is_exact: bool = True) -> Iterator[Any]:
    """Yield the rows of CSV, each by the names of its columns.

    A row with more cells than columns is unreadable; unless `is_exact` is False, one with fewer is as well.
    """
    # The module's own limit is less than a picture in a user's metadata.
    csv.field_size_limit(_LONGEST_ROW)
    reader = csv.DictReader(file, columns or None, strict=True)
    names = reader.fieldnames or ()
    if len(set(names)) < len(names):
        raise UnreadableFile("The first line names a column twice")
    for cells in reader:
        # Cells beyond the columns have no name, and missing ones no text.
        yield UnreadableRow() if None in cells or (is_exact and None in cells.values()) else cells


def _csv(file: IO[str]) -> Iterator[Any]:
    names = csv.DictReader(file, strict=True).fieldnames or ()
    if "login" not in names:
        raise UnreadableFile("The first line has to name the columns, and one has to be login")
    for cells in _table(file, names):
        if isinstance(cells, UnreadableRow):
            yield cells
            continue
        row: dict[str, Any] = {name: cell for name, cell in cells.items() if cell}
        try:
            row |= {name: parse(row[name].encode()) for name in _JSON_CELLS if name in row}
            # Spreadsheets write TRUE, Python's programs True.
            row |= {name: parse(row[name].lower().encode()) for name in _BOOLEAN_CELLS if name in row}
        except Refusal:
            yield UnreadableRow()
        else:
            yield row


def _lines(file: IO[str], longest: int = _LONGEST_ROW) -> Iterator[Any]:
    """Yield the JSON values of lines, which end at LF and nowhere else."""
    while line := file.readline(longest):
        if len(line) == longest and not line.endswith("\n"):
            raise UnreadableFile("A line is longer than any row may be")
        if not line.strip(" \t\r\n"):
            continue
        try:
            yield parse(line.encode())
        except Refusal:
            yield UnreadableRow()


def _sequence(file: IO[str]) -> Iterator[Any]:
    """Yield JSON values that follow one another, with nothing but white space between them."""
    decoder, text = json.JSONDecoder(object_pairs_hook=_unique), file.read()
    place = _skip(text, 0)
    while place < len(text):
        try:
            value, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise UnreadableFile(f"The file is no JSON from line {error.lineno}, column {error.colno} on") from None
        except (ValueError, RecursionError):
            raise UnreadableFile("The file has JSON that nests too deep, or a number that is too long") from None
        yield value
        place = _skip(text, place)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise UnreadableFile("The file has a JSON object with a name twice")
    return fields


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
    rest = text[place + 1 :]
    while rest:
        if _skip(rest, 0) < len(rest):
            raise UnreadableFile("The file has something after its array")
        rest = file.read(_PIECE)


def _skip(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


ENDINGS: Mapping[str, Form] = {
    ".csv": Form(_csv, ""),
    ".json": Form(_json, ""),
    ".jsonl": Form(_lines, "\n"),
    ".ndjson": Form(_lines, "\n"),
}
"""Forms of rows, by the ending of the file's name."""
