"""Writes docs/security/promises.md from the promises and the results of runs: `page.py [PART.json …] [--long PART.json …]`.

With parts, as `--promises` writes them, their results replace the committed ones first: those of the ordinary run, or,
behind `--long`, those of `make torture`. A test that is in several parts is what all of them say together.
"""

import argparse
import json
import platform
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from promises.book import Promise, carried, promises, words

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[2] / "docs" / "security" / "promises.md"
_HEAD = """\
# The promises, and the tests that prove them

`make promises` runs the tests and writes this page; by hand, `pytest -k TK4` runs those of one promise. Each test carries
the ids of what it proves in its name. What is promised to whom is told in [Security](../security.md), and what is
attacked and defended where in [the threat model](model.md).
"""
_LEGEND = """\
The last run was on {date} with Python {python} on {machine}: {tests} tests in {cases} cases, of which {failed} failed
and {skipped} were skipped for want of a program. **{proven} of {all} promises have a test**; the others say why not.

A test runs on each of the stores that are named after it: `sqlite` is the embedded store, `cluster` a Redis Cluster. `none`
means that no store takes part, `own` that the test starts what it needs itself.
"""

_LONG = """\
`make torture` runs tests in a longer form. It was last done on {date} with Python {python} on {machine}: {cases} cases of
these tests, of which {failed} failed.
"""

Results = dict[str, Any]


def merge(parts: Iterable[Results]) -> dict[str, dict[str, Counter[str]]]:
    """Return test → set-up → how many cases had which outcome."""
    merged: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for part in parts:
        for test, said in part.items():
            for setup, outcomes in said["setups"].items():
                merged[test][setup].update(outcomes)
    return merged


def results(parts: list[Results]) -> Results:
    """Return what is committed of a run: when and where it was, and what each test said."""
    now = datetime.now(UTC)
    return {
        "run": {
            "date": f"{now.day} {now:%B %Y}",
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
        },
        "tests": {
            test: {setup: dict(sorted(outcomes.items())) for setup, outcomes in sorted(setups.items())}
            for test, setups in sorted(merge(parts).items())
        },
        "figures": {
            test: said["figures"] for part in parts for test, said in sorted(part.items()) if said.get("figures")
        },
    }


def render(book: list[Promise], found: Results) -> str:
    """Return the page: the same promises and results give the same page."""
    tests: dict[str, dict[str, dict[str, int]]] = found["tests"]
    of: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        for name in carried(test.rpartition("::")[2]):
            of[name].append(test)
    total = sum(map(total_of, tests.values()), Counter())
    legend = _LEGEND.format(
        date=found["run"]["date"],
        python=found["run"]["python"],
        machine=found["run"]["machine"],
        tests=len(tests),
        cases=sum(total.values()),
        failed=total["failed"],
        skipped=total["skipped"],
        proven=sum(bool(of[promise.id]) for promise in book),
        all=len(book),
    )
    long = found.get("long")
    if not long:
        return "\n".join([_HEAD, legend, *_sections(book, of, tests, None)])
    heavy = sum((total_of(setups) for setups in long["tests"].values()), Counter())
    told = _LONG.format(**long["run"], cases=sum(heavy.values()), failed=heavy["failed"])
    return "\n".join([_HEAD, legend, told, *_sections(book, of, tests, long)])


def total_of(setups: dict[str, dict[str, int]]) -> Counter[str]:
    """Return how many cases of a test had which outcome, on all set-ups."""
    total: Counter[str] = Counter()
    for outcomes in setups.values():
        total.update(outcomes)
    return total


def _sections(
    book: list[Promise], of: dict[str, list[str]], tests: dict[str, Any], long: Results | None
) -> Iterator[str]:
    section = ""
    for promise in book:
        if promise.section != section:
            section = promise.section
            yield f"## {section}\n"
        yield f"### {promise.id}\n"
        yield f"{promise.says} *{promise.anchor}.*\n"
        if promise.reason:
            yield f"No test: {promise.reason}\n"
        elif not of[promise.id]:
            yield "Its test has not been run since it was written.\n"
        if of[promise.id]:
            lines = [_line(test, tests[test]) for test in of[promise.id]]
            yield "\n".join([*lines, *_heavy(promise, long)]) + "\n"


def _line(test: str, setups: dict[str, dict[str, int]]) -> str:
    file, _, name = test.rpartition("::")
    total = total_of(setups)
    said = "failed" if total["failed"] else "passed" if total["passed"] else "skipped"
    count = sum(total.values())
    cases = f", {count} cases" if count > 1 else ""
    stores = ", ".join(setups)
    return f"* {said}: [{words(name)}](../../{file}) ({stores}{cases})"


def _heavy(promise: Promise, long: Results | None) -> Iterator[str]:
    """Yield the line about the long form of a promise's tests, where they ran in it."""
    tests = [test for test in (long["tests"] if long else {}) if promise.id in carried(test.rpartition("::")[2])]
    if not long or not tests:
        return
    total = sum((total_of(long["tests"][test]) for test in tests), Counter())
    said = f"{total['failed']} failed" if total["failed"] else "passed"
    figures = [figure for test in tests for figure in long["figures"].get(test, [])]
    yield f"* long form: {said} ({'; '.join([f'{sum(total.values())} cases', *figures])})"


def main(arguments: list[str]) -> None:
    """Take the parts' results over where there are any, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", type=Path)
    parser.add_argument("--long", nargs="*", default=[], type=Path)
    given = parser.parse_args(arguments)
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    if given.parts:
        found = {**results(_read(given.parts)), **({"long": found["long"]} if "long" in found else {})}
    if given.long:
        found["long"] = results(_read(given.long))
    if given.parts or given.long:
        RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render(promises(), found), encoding="utf-8")


def _read(parts: list[Path]) -> list[Results]:
    return [json.loads(part.read_text(encoding="utf-8")) for part in parts]


if __name__ == "__main__":
    main(sys.argv[1:])
