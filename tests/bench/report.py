"""Writes what was measured: a page, its charts, and the data they are made from."""

import json
from pathlib import Path
from typing import Any

from bench.chart import bars, number
from bench.results import Figure, Line, Ratio

_BEGIN = "<!-- measured: everything below, up to the end of it, is written by `make bench` -->"
_END = "<!-- end of what was measured -->"
_HEAD = f"""# Benchmarks

`make bench` measures Doorward on your machine and writes this page, its charts, and `benchmarks.json` with every figure.
Absolute figures depend on the machine. Compare the ratios, which are between contenders that took turns in the same
minutes.

{_BEGIN}
{_END}
"""


def as_text(found: list[Figure]) -> str:
    """The figures for a terminal."""
    rows = []
    for figure in found:
        rows.append(f"\n{figure.title} ({figure.unit})")
        rows += [
            f"  {line.name:<34} {number(line.value):>9}   {number(line.low)} to {number(line.high)}   {line.note}"
            for line in figure.lines
        ]
        rows += [f"  {ratio.name:<34} {ratio.value:>9.2f}   {_aim(ratio)}" for ratio in figure.ratios]
    return "\n".join(rows)


def write(folder: Path, about: dict[str, str], found: list[Figure]) -> None:
    """Write the data, then the charts and the page from the data. What is not measured this time stays as it was."""
    folder.mkdir(exist_ok=True)
    data = folder / "benchmarks.json"
    known: dict[str, Any] = json.loads(data.read_text())["figures"] if data.exists() else {}
    known.update({figure.name: {**figure.as_json(), "on": about} for figure in found})
    data.write_text(json.dumps({"figures": known}, indent=1) + "\n")
    page = folder / "benchmarks.md"
    text = page.read_text() if page.exists() else _HEAD
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(before + _BEGIN + "\n" + "".join(_section(folder, item) for item in known.values()) + _END + after)


def _section(folder: Path, item: dict[str, Any]) -> str:
    lines, ratios = [Line(**line) for line in item["lines"]], [Ratio(**ratio) for ratio in item["ratios"]]
    chart = f"benchmark-{item['name']}.svg"
    (folder / chart).write_text(bars(item["title"], item["unit"], lines))
    rows = [
        f"| {line.name} | {number(line.value)} | {number(line.low)} to {number(line.high)} | {line.note} |"
        for line in lines
    ]
    table = [f"| | {item['unit']}, median | least to greatest | |", "|---|---:|---:|---|", *rows]
    compared = [f"* {ratio.name}: **{ratio.value:.2f}** {_aim(ratio)}" for ratio in ratios]
    machine = ", ".join(f"{name} {value}" for name, value in item["on"].items() if name not in {"machine", "system"})
    where = f"{item['on']['machine']}; {item['on']['system']}; {machine}."
    parts = [f"## {item['title']}", item["how"], "\n".join(table)]
    if compared:
        parts.append("\n".join(compared))
    return "\n" + "\n\n".join([*parts, f"![{item['title']}]({chart})", f"Measured on: {where}"]) + "\n\n"


def _aim(ratio: Ratio) -> str:
    if ratio.target is None:
        return ""
    met = ratio.value >= ratio.target if ratio.at_least else ratio.value <= ratio.target
    return f"(aim: {'at least' if ratio.at_least else 'at most'} {ratio.target}, {'met' if met else 'not met'})"
