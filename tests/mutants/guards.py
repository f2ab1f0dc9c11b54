"""Mutants of Python guards: an operand is dropped, a condition negated, a bound moved, a `raise` removed."""

import ast
import hashlib
from collections.abc import Iterator
from itertools import accumulate

from mutants.changes import Edit, Mutant, numbered

_BOUNDS: dict[type[ast.cmpop], str] = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
_JOINS: dict[type[ast.boolop], str] = {ast.And: " and ", ast.Or: " or "}


def guards(file: str, source: str) -> list[Mutant]:
    """Return the mutants of every guard inside the functions of a module."""
    return numbered(_Finder(file, source).find(ast.parse(source), ""))


def is_in_sample(mutant: Mutant, *, seed: int, share: int) -> bool:
    """Tell whether a mutant belongs to a sample of one in `share`.

    The choice depends on the name and the seed alone, so a change elsewhere moves no other mutant in or out.
    """
    digest = hashlib.sha256(f"{seed}/{mutant.file}/{mutant.name}".encode()).digest()
    return int.from_bytes(digest[:8]) % share == 0


class _Finder:
    def __init__(self, file: str, source: str) -> None:
        self._file = file
        self._source = source.encode()
        self._lines = list(accumulate((len(line) for line in self._source.splitlines(keepends=True)), initial=0))

    def find(self, node: ast.AST, place: str) -> Iterator[Mutant]:
        """Yield the mutants of what is below a node; `place` is the qualified name of the function around it."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from self.find(child, f"{place}.{child.name}".lstrip("."))
                continue
            if place:
                yield from self._of(child, place)
            yield from self.find(child, place)

    def _of(self, node: ast.AST, place: str) -> Iterator[Mutant]:
        match node:
            case ast.BoolOp():
                for dropped in node.values:
                    left = [f"({self._text(value)})" for value in node.values if value is not dropped]
                    new = _JOINS[type(node.op)].join(left)
                    yield self._mutant(place, f"without {self._said(dropped)}", node, f"({new})")
            case ast.Compare(ops=[op]) if type(op) in _BOUNDS:
                bound = _BOUNDS[type(op)]
                new = f"({self._text(node.left)}) {bound} ({self._text(node.comparators[0])})"
                yield self._mutant(place, f"{bound} in {self._said(node)}", node, f"({new})")
            case ast.If() | ast.While() | ast.IfExp():
                new = f"(not ({self._text(node.test)}))"
                yield self._mutant(place, f"not {self._said(node.test)}", node.test, new)
            case ast.Raise():
                yield self._mutant(place, f"without {self._said(node)}", node, "pass")
            case ast.comprehension():
                for test in node.ifs:
                    yield self._mutant(place, f"not {self._said(test)}", test, f"(not ({self._text(test)}))")

    def _mutant(self, place: str, change: str, node: ast.expr | ast.stmt, new: str) -> Mutant:
        return Mutant(self._file, place, change, Edit(*self._span(node), new), node.lineno)

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._lines[node.lineno - 1] + node.col_offset
        return start, self._lines[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.expr | ast.stmt) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()

    def _said(self, node: ast.expr | ast.stmt) -> str:
        return " ".join(self._text(node).split())
