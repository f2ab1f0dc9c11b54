"""Mutants of SQL statements and Lua scripts: each condition is made to hold always, or never.

Conditions are found by their tokens, so that the rest of the text stays as it is. A condition is not removed but
overruled, `(condition OR 1 = 1)`: every parameter stays in use and keeps its type.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from mutants.changes import Edit, Mutant, numbered

_SECTION = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|:?\w+|[<>=~!|.]{2,3}|\S")
_LIST = re.compile(r"\bIN \(:\w+\)")
_LOCK = re.compile(r" FOR (?:KEY SHARE|UPDATE)\b")

_OPENS = {"(", "{", "[", "CASE"}
_CLOSES = {")", "}", "]", "END"}
_CONDITIONS = {"WHERE", "HAVING", "ON", "WHEN"}
_STOPS = {
    *("GROUP", "ORDER", "LIMIT", "OFFSET", "RETURNING", "UNION", "EXCEPT", "INTERSECT", "FOR", "HAVING", "WHERE"),
    *("JOIN", "LEFT", "RIGHT", "FULL", "INNER", "CROSS", "ON", "DO", "THEN"),
}
_ENDS = {*_CONDITIONS, *_STOPS, "AND", "OR", "NOT", "SELECT", "SET", "ELSE", ","}
_QUERIES = {"SELECT", "WITH"}
_LIMITS = {"LIMIT": "{} + 1000000", "OFFSET": "{} * 0"}
_BOUNDS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_COMPARISONS = {"==", "~=", *_BOUNDS}


class _Token(NamedTuple):
    text: str
    word: str
    start: int
    end: int
    depth: int


def statements(file: str, text: str) -> list[Mutant]:
    """Return the mutants of every condition, limit and lock of a file of named SQL statements."""
    return numbered(
        variant
        for name, tokens, body in _sections(text, upper=True)
        for mutant in _of_statement(file, name, tokens, text)
        for variant in _variants(mutant, body)
    )


def scripts(file: str, text: str) -> list[Mutant]:
    """Return the mutants of every condition of a file of named Lua scripts."""
    return numbered(
        mutant for name, tokens, _ in _sections(text, upper=False) for mutant in _of_script(file, name, tokens, text)
    )


def _variants(mutant: Mutant, body: str) -> Iterator[Mutant]:
    """Yield a mutant once, or once for each database where its statement has a text of its own there."""
    if mutant.setup or not (_LIST.search(body) or _LOCK.search(body)):
        yield mutant
    else:
        yield from (mutant._replace(setup=setup) for setup in ("sqlite", "postgresql"))


def _sections(text: str, *, upper: bool) -> Iterator[tuple[str, list[_Token], str]]:
    found = list(_SECTION.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)]
    for match, end in zip(found, ends, strict=True):
        tokens: list[_Token] = []
        depth = 0
        for part in _TOKEN.finditer(text, match.end(), end):
            if part[0].startswith("--"):
                continue
            word = part[0].upper() if upper else part[0]
            depth -= word in _CLOSES
            tokens.append(_Token(part[0], word, part.start(), part.end(), depth))
            depth += word in _OPENS
        yield match[1], tokens, text[match.end() : end]


def _of_statement(file: str, name: str, tokens: list[_Token], text: str) -> Iterator[Mutant]:
    for place, (token, following) in enumerate(pairwise(tokens)):
        if token.word in _CONDITIONS and following.word != "CONFLICT":
            condition = _until(tokens, place + 1, token.depth, _STOPS)
            for operand, joined in _operands(condition):
                said = _said(operand, text)
                if joined != "OR":
                    yield Mutant(file, name, f"always {said}", _around(operand, text, "({} OR 1 = 1)"))
                if joined == "OR" or (joined == "" and token.word == "WHEN"):
                    yield Mutant(file, name, f"never {said}", _around(operand, text, "({} AND 1 = 0)"))
        elif token.word in _LIMITS:
            change = f"no {token.word} {following.text}"
            yield Mutant(file, name, change, _around([following], text, _LIMITS[token.word]))
        elif token.word in _BOUNDS:
            bound = _BOUNDS[token.word]
            said = _said(_comparison(tokens, place), text)
            yield Mutant(file, name, f"{bound} in {said}", Edit(*_bytes(text, token.start, token.end), bound))
    for lock in _LOCK.finditer(text, tokens[0].start, tokens[-1].end):
        edit = Edit(*_bytes(text, lock.start(), lock.end()), "")
        yield Mutant(file, name, f"no{lock[0]}", edit, setup="postgresql")


def _of_script(file: str, name: str, tokens: list[_Token], text: str) -> Iterator[Mutant]:
    for place, token in enumerate(tokens):
        if token.word in {"if", "elseif"}:
            expression, only = _until(tokens, place + 1, token.depth, {"then"}), False
        elif token.word in {"=", "return"} and token.depth == 0:
            end = text.find("\n", token.end)
            expression, only = [one for one in tokens[place + 1 :] if one.start < end or end < 0], True
        else:
            continue
        for operand, joined in _operands(expression):
            if only and not _is_comparison(operand):
                continue
            said = _said(operand, text)
            if joined != "OR":
                yield Mutant(file, name, f"always {said}", _around(operand, text, "({} or true)"))
            if joined != "AND" or only:
                yield Mutant(file, name, f"never {said}", _around(operand, text, "({} and false)"))


def _is_comparison(operand: list[_Token]) -> bool:
    compares = any(token.word in _COMPARISONS and token.depth == operand[0].depth for token in operand)
    return compares and len(_split(operand, "AND")) == 1


def _until(tokens: Sequence[_Token], start: int, depth: int, stops: set[str]) -> list[_Token]:
    """Return the tokens from a place on up to the end of what they are in, or to a word of `stops` beside it."""
    found = []
    for token in tokens[start:]:
        if token.depth < depth or (token.depth == depth and token.word in stops):
            break
        found.append(token)
    return found


def _operands(condition: list[_Token]) -> Iterator[tuple[list[_Token], str]]:
    """Yield the operands of a condition, each with what joins it to its neighbours: AND, OR, or nothing."""
    if not condition:
        return
    alternatives = _split(condition, "OR")
    for alternative in alternatives:
        operands = _split(alternative, "AND")
        joined = "AND" if len(operands) > 1 else "OR" if len(alternatives) > 1 else ""
        if joined == "AND" and len(alternatives) > 1:
            yield alternative, "OR"
        for operand in operands:
            yield operand, joined
            inner = operand[operand[0].word.upper() == "NOT" :]
            inside = inner[0].word == "(" and inner[-1].word == ")" and not _closed_between(inner)
            if inside and inner[1].word not in _QUERIES:
                yield from ((part, more) for part, more in _operands(inner[1:-1]) if more)


def _closed_between(tokens: list[_Token]) -> bool:
    """Tell whether the parenthesis that tokens begin with is closed before their end."""
    return any(token.depth <= tokens[0].depth for token in tokens[1:-1])


def _split(tokens: list[_Token], word: str) -> list[list[_Token]]:
    parts: list[list[_Token]] = [[]]
    between = False
    for token in tokens:
        beside, joins = token.depth == tokens[0].depth, token.word.upper()
        if beside and joins == word and not between:
            parts.append([])
            continue
        if beside and joins in {"BETWEEN", "AND"}:
            between = joins == "BETWEEN"
        parts[-1].append(token)
    return parts


def _comparison(tokens: list[_Token], place: int) -> list[_Token]:
    """Return the tokens of the comparison whose operator is at a place."""
    depth = tokens[place].depth
    start = place
    while start and not _ends_comparison(tokens[start - 1], depth):
        start -= 1
    return tokens[start:place] + _until(tokens, place, depth, _ENDS)


def _ends_comparison(token: _Token, depth: int) -> bool:
    return token.depth < depth or (token.depth == depth and token.word in _ENDS)


def _around(operand: Sequence[_Token], text: str, form: str) -> Edit:
    start, end = operand[0].start, operand[-1].end
    return Edit(*_bytes(text, start, end), form.format(text[start:end]))


def _bytes(text: str, start: int, end: int) -> tuple[int, int]:
    before = len(text[:start].encode())
    return before, before + len(text[start:end].encode())


def _said(operand: Sequence[_Token], text: str) -> str:
    return " ".join(text[operand[0].start : operand[-1].end].split())
