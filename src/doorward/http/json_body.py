"""Strict JSON: rejects what two parsers could understand differently (RFC 8259, RFC 8725 section 3.7)."""

import asyncio
import json
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import isinf
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from doorward.core.errors import FieldError, ValidationFailed
from doorward.http.errors import MalformedJson
from doorward.http.validation import list_rule, validate

Item = TypeVar("Item")

MAX_ITEM_BYTES: Final = 16_384
"""Maximum length in characters of an item of a large body: that of a small body."""
TOO_LARGE: Final = object()
"""Placeholder of a larger item."""

_MAX_FIELDS = 100
_SLICE = 16_384
_WEIGHT = 400
_STEPS, _MAX_STEPS = 2000, 50_000
_MAX_DEPTH = 1000
_SPACE = re.compile(r"[ \t\n\r]*")
# Each match is bounded, so that no text blocks the event loop for long.
_OUTSIDE_TEXT = re.compile(r'[^"\[\]{}]{0,16384}+(["\[\]{}]?)')
_INSIDE_TEXT = re.compile(r'(?:[^"\\]{1,16384}+|\\.){0,500}+("?)', re.DOTALL)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("duplicate name")
    return fields


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError("out of range")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)


def parse(body: bytes) -> Any:
    """Return the value of a JSON text; an empty body is an empty object, as for the predecessor.

    Raises MalformedJson for anything but exactly one JSON text in UTF-8: duplicate names, NaN, numbers out of range, a
    byte order mark, lone surrogates, unbounded nesting, trailing bytes.
    """
    if not body:
        return {}
    try:
        value = _decoder.decode(body.decode())
        if _may_have_surrogates(body):
            _refuse_surrogates(value)
    except (ValueError, RecursionError):
        raise MalformedJson from None
    return value


async def parse_list(body: bytes, schema: type[msgspec.Struct], take: Callable[[Any], Item]) -> list[Item]:
    """Return the result of `take` for each item of the list that is the only field of `schema`, for bodies of any size.

    The body is parsed in small steps, and other tasks run in between. The length of the list is validated, its items
    are not. An item with more than MAX_ITEM_BYTES characters is passed to `take` as TOO_LARGE, unparsed. Raises as
    `parse` and `validate` do.
    """
    steps = _read_list(body, schema, take)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            items: list[Item] = end.value
            return items
        except (ValueError, RecursionError):
            raise MalformedJson from None
        await asyncio.sleep(0)


def _read_list(
    body: bytes, schema: type[msgspec.Struct], take: Callable[[Any], Item]
) -> Generator[None, None, list[Item]]:
    """Parse the body; each `yield` lets other tasks run. Raises ValueError or RecursionError for malformed JSON."""
    name, rule = list_rule(schema)
    reader = _Reader(body.decode() or "{}", _may_have_surrogates(body))
    if reader.peek() != "{":
        value = yield from reader.value()
        reader.end()
        validate(value, schema)
    items: list[Item] = []
    fields: dict[str, Any] = {}
    for key in reader.names():
        if key in fields:
            raise ValueError("duplicate name")
        fields[key] = None
        if len(fields) > _MAX_FIELDS:
            raise ValidationFailed(
                [FieldError([], "object.max", f'"value" must not have more than {_MAX_FIELDS} fields')]
            )
        if key != name or reader.peek() != "[":
            value = yield from reader.value()
            fields[key] = value if key == name else None
            continue
        fields[key] = items
        for _ in reader.members("[", "]"):
            value = yield from reader.value()
            items.append(take(value))
            if len(items) > rule.max_items:
                validate(fields, schema)
    reader.end()
    if fields.get(name) is not items or len(items) < rule.min_items:
        validate(fields, schema)
    return items


def _may_have_surrogates(body: bytes) -> bool:
    return b"\\u" in body and (b"\\ud" in body or b"\\uD" in body)


def _refuse_surrogates(value: Any) -> None:
    json.dumps(value, ensure_ascii=False).encode()


@dataclass(slots=True)
class _Reader:
    """A position in a JSON text. Every method raises ValueError where the text is malformed."""

    text: str
    may_have_surrogates: bool
    at: int = 0
    cost: int = 0
    steps: int = 0

    def peek(self) -> str:
        """Return the next character that is not white space, "" at the end."""
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
        return self.text[self.at : self.at + 1]

    def end(self) -> None:
        """Read the end of the text."""
        if self.peek():
            raise ValueError("trailing characters")

    def members(self, opening: str, closing: str) -> Generator[None, None, None]:
        """Yield at the start of each member of an object or an array; the caller parses it."""
        self._read(opening)
        if self.peek() == closing:
            self.at += 1
            return
        while True:
            yield
            if self.peek() != ",":
                self._read(closing)
                return
            self.at += 1

    def names(self) -> Generator[str, None, None]:
        """Yield the name of each member of an object; the caller parses its value."""
        for _ in self.members("{", "}"):
            if self.peek() != '"':
                raise ValueError("a name is missing")
            name = self._decode()
            self._read(":")
            yield name

    def value(self) -> Generator[None, None, Any]:
        """Parse a value and return it, or TOO_LARGE. Each `yield` lets other tasks run."""
        self.peek()
        start = self.at
        try:
            value = self._decode()
        except (ValueError, RecursionError):
            end = yield from self._end_of_value()
            if end <= start + MAX_ITEM_BYTES:
                raise
            value, self.at = TOO_LARGE, end
        # Parsing a value has a constant cost, too.
        self.cost += self.at - start + _WEIGHT
        if self.cost > _SLICE:
            self.cost = 0
            yield
        return value

    def _decode(self) -> Any:
        """Parse a value that is not too large and return it."""
        value, size = _decoder.raw_decode(self.text[self.at : self.at + MAX_ITEM_BYTES])
        if self.may_have_surrogates:
            _refuse_surrogates(value)
        self.at += size
        return value

    def _read(self, character: str) -> None:
        if self.peek() != character:
            raise ValueError(f"{character} is missing")
        self.at += 1

    def _end_of_value(self) -> Generator[None, None, int]:
        """Return the end of the text, object or array that starts here, without parsing its content."""
        if self.peek() not in {'"', "[", "{"}:
            raise ValueError("not a value")
        at, depth, in_text = self.at, 0, False
        paused_at = at
        while True:
            match = (_INSIDE_TEXT if in_text else _OUTSIDE_TEXT).match(self.text, at)
            if match is None or match.end() == at:
                raise ValueError("no end")
            at = match.end()
            if match[1] == '"':
                in_text = not in_text
            elif match[1]:
                depth += 1 if match[1] in "[{" else -1
            if depth > _MAX_DEPTH:
                raise ValueError("too deep")
            if match[1] and depth <= 0 and not in_text:
                return at
            self.steps += 1
            if self.steps > _MAX_STEPS:
                raise ValidationFailed([FieldError([], "object.max", '"value" must not hold so many values')])
            if self.steps % _STEPS == 0 or at > paused_at + _SLICE:
                paused_at = at
                yield
