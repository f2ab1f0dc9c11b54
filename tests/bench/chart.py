"""Bar charts as SVG, readable on light and on dark ground, with nothing loaded from anywhere."""

from collections.abc import Sequence
from html import escape

from bench.results import Line

_ROW, _TOP, _LABELS, _BARS, _VALUES = 34, 52, 250, 380, 150
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px }
  .quiet { fill: #59636e }
  .bar { fill: #3b6ea8 }
  .spread { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .bar { fill: #6ea8e0 } .spread { stroke: #e6edf3 }
  }
"""


def bars(title: str, unit: str, lines: Sequence[Line]) -> str:
    """Return a chart: a bar for each median, a whisker from the least to the greatest of its rounds."""
    width, height = _LABELS + _BARS + _VALUES, _TOP + _ROW * len(lines) + 8
    scale = _BARS / max((line.high for line in lines), default=1.0)
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="8" y="20">{escape(title)}</text>',
        f'<text class="quiet" x="8" y="38">{escape(unit)}; bar: median, whisker: least and greatest round</text>',
    ]
    for index, line in enumerate(lines):
        top = _TOP + index * _ROW
        middle = top + _ROW / 2 - 4
        low, high = _LABELS + line.low * scale, _LABELS + line.high * scale
        rows += [
            f'<text x="8" y="{middle + 5:.1f}">{escape(line.name)}</text>',
            f'<rect class="bar" x="{_LABELS}" y="{top}" width="{line.value * scale:.1f}" height="{_ROW - 10}" rx="3"/>',
            f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>',
            f'<text x="{high + 10:.1f}" y="{middle + 5:.1f}">{number(line.value)}</text>',
        ]
    return "\n".join([*rows, "</svg>", ""])


def number(value: float) -> str:
    """A figure with as many digits as it is good for: three."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
