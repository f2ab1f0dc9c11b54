"""Counts of words that the style guide avoids, over the prose of the code and of the pages.

Run it as ``PYTHONPATH=tests python -m docs.language [--root DIR] [--files] [PATH ...]`` or as a plain script. It prints
counts per 10,000 words; ``--files`` adds the place of each hit, and ``--lower`` lowers the budget. It needs the standard library only.
"""

from __future__ import annotations

import argparse
import ast
import io
import math
import re
import sys
import tokenize
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PER = 10_000
AIMS = {"nobody": 2, "somebody": 2, "whoever": 2, "everybody": 2, "told": 2, "anew": 2, "hence": 2, "beside": 2}
WHAT = "what is"
OPENERS = "openers"
"""Docstrings and headings that open with a question word, in percent of all of them."""
PATTERNS = {
    **{word: rf"\b{word}\b" for word in AIMS},
    WHAT: r"\bwhat\s+(?:is|was|are|were|has|have|had|the|an?|it|they)\b",
    "anybody": r"\banybody\b",
    "whatever": r"\bwhatever\b",
    "shut out": r"\bshuts?\s+out\b|\bshutting\s+out\b",
    "write down": r"\b(?:writ(?:es?|ing|ten)|wrote)\s+(?:it\s+|them\s+|that\s+)?down\b",
    "carry": r"\bcarr(?:y|ies|ied|ying)\b",
    "ask": r"\bask(?:s|ed|ing)?\b",
    "die": r"\b(?:dies?|died|dying|dead)\b",
    "keep": r"\bkeep(?:s|ing)?\b(?!-alive)|\bkept\b",
    "tell": r"\btell(?:s|ing)?\b",
}
FLOORS = {**dict.fromkeys(PATTERNS, 3), **AIMS, WHAT: 10, OPENERS: 1}
"""Budgets need not go below these. For the first nine and the openers they are the aims."""
QUESTION = re.compile(r"(?:What|Who|Whom|Whose|Where|How|Which|Whether|Whatever|Whoever)\b")
FOUND = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in PATTERNS.items()}
WORD = re.compile(r"[^\W\d_][\w'’-]*")
GENERATED = {"docs/security/promises.md"}
ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md", "CODE_OF_CONDUCT.md")
HEADER = """\
# Most hits of each avoided word per 10,000 words; openers in percent of docstrings and headings. These numbers only go
# down: `PYTHONPATH=tests python -m docs.language --lower` lowers them to the counts of today.
"""
DIRECTIVE = re.compile(r"#\s*(?:noqa|type:|pragma|fmt:|ruff|mypy|!)[^\n]*")
CODE = re.compile(r"``[^`]+``|`[^`\n]+`")
MARKDOWN = (
    re.compile(r"^([ \t]*)(```|~~~)[^\n]*\n.*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL),
    re.compile(r"<!--.*?-->", re.DOTALL),
    CODE,
    re.compile(r"(?<=\])\([^)\s]*\)"),
    re.compile(r"https?://\S+"),
)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Hit:
    """One place where an avoided word stands."""

    name: str
    path: str
    line: int
    text: str

    def __str__(self) -> str:
        """Return the place as editors read it, with the line's text."""
        return f"{self.path}:{self.line}: {self.name}: {self.text}"


@dataclass
class Count:
    """Words, docstrings or headings, and hits of one group of files."""

    words: int = 0
    titles: int = 0
    hits: list[Hit] = field(default_factory=list)

    def of(self, name: str) -> list[Hit]:
        """Return the hits of one name."""
        return [hit for hit in self.hits if hit.name == name]

    def rate(self, name: str) -> float:
        """Return hits per 10,000 words; of openers, percent of all docstrings and headings."""
        whole, per = (self.titles, 100) if name == OPENERS else (self.words, PER)
        return len(self.of(name)) * per / whole if whole else 0.0


def blanked(text: str) -> str:
    """Return the text with a dot for each letter, so that lines and columns stay where they are."""
    return re.sub(r"\S", "·", text)


def prose_of_page(text: str) -> str:
    """Return a page without code blocks, inline code and addresses."""
    for pattern in MARKDOWN:
        text = pattern.sub(lambda found: blanked(found[0]), text)
    return text


def _spans(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int], str]]:
    """Yield the start, the end and the text of each comment and of each string that contains a space."""
    lines = source.splitlines(keepends=True)
    middle = getattr(tokenize, "FSTRING_MIDDLE", None)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (row, column), (last, end) = token.start, token.end
        text = token.string
        if token.type == tokenize.COMMENT:
            yield token.start, token.end, DIRECTIVE.sub(lambda found: blanked(found[0]), text).replace("#", " ")
        elif token.type == tokenize.STRING:
            prefix, quotes, body = re.match(r"(\w*)(\"\"\"|'''|\"|')(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
            if "f" in prefix.lower():
                body = re.sub(r"\{[^{}]*\}", lambda found: blanked(found[0]), body)
            if any(" " in piece for piece in body.split("·")):
                around = " " * len(quotes)
                shown = " " * len(prefix) + around + body[: -len(quotes)] + around
                yield token.start, token.end, shown if "r" in prefix.lower() else re.sub(r"\\[a-z]", "  ", shown)
        elif token.type == middle and " " in text:
            inside = lines[row - 1 : last]
            inside[-1] = inside[-1][:end]
            inside[0] = inside[0][column:]
            yield token.start, token.end, re.sub(r"\\[a-z]", "  ", "".join(inside))


def prose_of_module(source: str) -> str:
    """Return a module with only its comments, docstrings and texts left, each where it stands."""
    canvas = [list(line) for line in blanked(source).splitlines(keepends=True)]
    for (row, column), _, text in _spans(source):
        for offset, line in enumerate(text.splitlines()):
            start = column if offset == 0 else 0
            canvas[row - 1 + offset][start : start + len(line)] = line
    text = "".join("".join(row) for row in canvas)
    return CODE.sub(lambda found: blanked(found[0]), text)


def docstrings(source: str) -> list[tuple[int, str]]:
    """Return the line and the text of each docstring of a module, its classes and its functions."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                found.append((node.body[0].lineno, text))
    return sorted(found)


def count_text(path: str, text: str, into: Count) -> None:
    """Add the words, docstrings or headings, and hits of one file."""
    if path.endswith(".py"):
        prose, titles = prose_of_module(text), docstrings(text)
    else:
        prose = prose_of_page(text)
        titles = [(prose.count("\n", 0, found.start()) + 1, found[1]) for found in HEADING.finditer(prose)]
    lines = text.splitlines()
    into.words += len(WORD.findall(prose))
    into.titles += len(titles)
    for line, title in titles:
        if QUESTION.match(title):
            into.hits.append(Hit(OPENERS, path, line, title.splitlines()[0]))
    for name, pattern in FOUND.items():
        for found in pattern.finditer(prose):
            line = prose.count("\n", 0, found.start()) + 1
            into.hits.append(Hit(name, path, line, lines[line - 1].strip()))


def files(root: Path) -> dict[str, list[Path]]:
    """Return the files of each group that the budget knows."""
    pages = [*(root / "docs").rglob("*.md"), *(root / name for name in ROOT_PAGES if (root / name).exists())]
    kept = [page for page in pages if page.relative_to(root).as_posix() not in GENERATED]
    return {"src": sorted((root / "src").rglob("*.py")), "docs": sorted(kept)}


def count(root: Path, paths: Iterable[Path]) -> Count:
    """Return the counts of files below a root."""
    found = Count()
    for file in paths:
        path = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
        count_text(path, file.read_text(encoding="utf-8"), found)
    return found


def budget_of(found: Count) -> dict[str, int]:
    """Return the budget that fits counts: rounded up, and no lower than a floor."""
    return {name: max(floor, math.ceil(found.rate(name))) for name, floor in FLOORS.items()}


def lower(root: Path) -> None:
    """Lower the budget file to the counts of today; a number that is too low already stays."""
    file = root / "tests" / "docs" / "language.toml"
    old = tomllib.loads(file.read_text(encoding="utf-8"))
    text = HEADER
    for group, paths in files(root).items():
        fits = budget_of(count(root, paths))
        rows = [f'"{name}" = {min(most, old.get(group, {}).get(name, most))}' for name, most in fits.items()]
        text += "\n".join(["", f"[{group}]", *rows, ""])
    file.write_text(text, encoding="utf-8")


def main() -> None:
    """Print the counts of a tree, or of some of its files and folders."""
    parser = argparse.ArgumentParser(description="Count words that the style guide avoids, per 10,000 words.")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the tree (default: the current folder)")
    parser.add_argument("--files", action="store_true", help="print the place of each hit")
    parser.add_argument("--lower", action="store_true", help="lower tests/docs/language.toml to these counts")
    parser.add_argument("paths", nargs="*", type=Path, help="count these files and folders only")
    given = parser.parse_args()
    root = given.root.resolve()
    if given.lower:
        lower(root)
        return
    groups = files(root)
    if given.paths:
        wanted = [(path if path.is_absolute() else root / path).resolve() for path in given.paths]
        known = [file for group in groups.values() for file in group]
        named = [path for path in wanted if path.is_file() and path not in known]
        below = [file for file in known if any(file.is_relative_to(path) for path in wanted)]
        groups = {"given": [*below, *named]}
    for group, paths in groups.items():
        found = count(root, paths)
        lines = [f"{group}: {len(paths)} files, {found.words} words, {found.titles} docstrings or headings"]
        for name, floor in FLOORS.items():
            aim = f"aim {floor}" if name in AIMS or name in {WHAT, OPENERS} else ""
            lines.append(f"  {name:<11} {len(found.of(name)):5}  {found.rate(name):6.1f}  {aim}")
        if given.files:
            lines += map(str, sorted(found.hits, key=lambda hit: (hit.path, hit.line)))
        sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
