"""Writes docs/security/promises.md: each promise with the tests that carry its id."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from promises.catalogue import Promise, carried, promises, words, written

PAGE = Path(__file__).parents[2] / "docs" / "security" / "promises.md"
_HEAD = """\
# Promises and their tests

Each promise of the service, the standards behind it, and the tests that prove it. {proven} of {all} promises have tests; the
others state the reason.

A test carries the ids of its promises in its name, so `pytest -k TK4` runs the tests of one promise. The results of a run
are in `build/promises/` after `make test`, and after `make torture`, which runs tests in longer forms. This page is
written by `make promises`.

[Security](../security.md) explains the promises, and [the threat model](model.md) relates them to attacks.
"""


def proofs(tests: Iterable[tuple[str, str]]) -> dict[str, dict[str, list[str]]]:
    """Return promise → file → names of tests."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for file, name in tests:
        for promise in carried(name):
            found[promise][file].append(name)
    return found


def render(book: list[Promise], found: dict[str, dict[str, list[str]]]) -> str:
    """Return the page."""
    head = _HEAD.format(proven=sum(promise.id in found for promise in book), all=len(book))
    return "\n".join([head, *_sections(book, found)])


def _sections(book: list[Promise], found: dict[str, dict[str, list[str]]]) -> Iterator[str]:
    section = ""
    for promise in book:
        if promise.section != section:
            section = promise.section
            yield f"## {section}\n"
        yield f"### {promise.id}\n"
        yield f"{promise.says} *{promise.anchor}.*\n"
        if promise.reason:
            yield f"No test: {promise.reason}\n"
        for file, names in found.get(promise.id, {}).items():
            yield f"[{file}](../../{file}):\n"
            yield "\n".join(f"* {words(name)}" for name in names) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(promises(), proofs(written())), encoding="utf-8")
