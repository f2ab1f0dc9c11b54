"""HTML helpers of the API reference page."""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Json = Mapping[str, Any]

_CODE = re.compile(r"`([^`]+)`")
_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=:)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>\b-?\d+\b|true|false|null)'
)
_CLASSES = {"key": "k", "text": "s", "number": "n"}


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    """Return a table of these rows."""
    head = "".join(f"<th>{title}</th>" for title in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def row(name: str, schema: Json, meaning: str, *, required: bool) -> str:
    """Return the row of a field or parameter: name, type, meaning."""
    mark = "" if required else '<span class="optional"> optional</span>'
    limits = _limits(schema)
    return (
        f'<tr><td><code>{escape(name)}</code>{mark}</td><td class="kind">{escape(_kind(schema))}</td>'
        f"<td>{' '.join(filter(None, (text(meaning), limits)))}</td></tr>"
    )


def _kind(schema: Json) -> str:
    if "items" in schema:
        return "list"
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"])
    return str(schema.get("type", "any JSON"))


def _parts(schema: Json) -> list[Json]:
    return [*([schema["items"]] if "items" in schema else []), *schema.get("anyOf", ())]


def _limits(schema: Json) -> str:
    sentences = [limits for part in _parts(schema) if (limits := _limits(part))]
    if "enum" in schema:
        sentences.append("One of " + ", ".join(f"<code>{escape(str(item))}</code>" for item in schema["enum"]) + ".")
    low, high = schema.get("minLength"), schema.get("maxLength")
    if high is not None:
        sentences.append(f"{low or 0} to {high} characters.")
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        sentences.append(f"{low} to {high}.")
    if "default" in schema:
        sentences.append(f"Default <code>{escape(str(schema['default']))}</code>.")
    return " ".join(sentences)


def elided(body: str) -> str:
    """Return text with the rest of every token left out."""
    return re.sub(r'"eyJ[^"]+"', '"eyJhbGciOi..."', body)


def block(value: Any) -> str:
    """Return a JSON value, indented and coloured."""
    source = elided(json.dumps(value, indent=2, ensure_ascii=False))
    # A list of plain values reads better on one line.
    source = re.sub(r"\[\s+([^\[\]{}]+?)\s+\]", lambda match: f"[{' '.join(match[1].split())}]", source)
    parts, end = [], 0
    for match in _TOKEN.finditer(source):
        parts += [escape(source[end : match.start()], quote=False), _coloured(match)]
        end = match.end()
    return f'<pre tabindex="0"><code>{"".join(parts)}{escape(source[end:], quote=False)}</code></pre>'


def _coloured(match: "re.Match[str]") -> str:
    return f'<span class="{_CLASSES[str(match.lastgroup)]}">{escape(match[0], quote=False)}</span>'


def pre(source: str) -> str:
    """Return preformatted text, for copying."""
    return f'<pre tabindex="0"><code>{escape(source, quote=False)}</code></pre>'


def text(prose: str) -> str:
    """Return prose, with text between backticks as code."""
    return _CODE.sub(r"<code>\1</code>", escape(prose, quote=False))
