"""Puts together the pages that Sphinx builds: `assemble.py FOLDER`.

The pages are those of docs/, those of the root and the README of the Python client. A file under deploy/, a compose
file or the licence that a page links to has a page that shows it whole. Links between all of these lead to where they
lie in the site; links to anything else keep their words only. The reference is written from the OpenAPI document. The
navigation is what PARTS names and what exists of it; a page that no part names is listed under the last one.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

from doorward.http.api.reference.openapi import build
from doorward.http.api.routes import ENDPOINTS

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "tour.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
    "clients/python/README.md": "python-client-readme.md",
}
"""Pages outside docs/, and where they lie in the site."""
SHOWN = re.compile(r"deploy/.+|compose.*\.yaml|LICENSE")
"""Files that are shown on a page of their own where a page links to them."""
LANGUAGES = {".conf": "nginx", ".json": "json", ".lua": "lua", ".yaml": "yaml", ".yml": "yaml"}
REFERENCE = "reference.md"
PARTS = {
    "Using Doorward": [
        "tour", "concepts", "glossary", "api", "reference", "api-names", "recipes", "errors", "python-client",
        "python-client-readme", "gateways", "oauth-resource-servers",
    ],
    "Operations": [
        "settings", "operating", "command-line", "backup", "keys", "deploying", "image", "scaling", "tls", "metrics",
        "logs", "traces", "audit", "importing-users", "moving-in", "moving-in-from-others", "moving-out", "benchmarks",
    ],
    "Security": ["security", "security/promises", "security/model", "security/supply-chain", "reporting"],
    "Development": ["architecture", "decisions/README", "measurements/README", "contributing", "conduct", "changelog"],
    "More": [],
}  # fmt: skip
TITLES = {
    "tour": "Tour",
    "python-client-readme": "The Python client's README",
    "decisions/README": "Decisions",
    "measurements/README": "Measurements",
}
NUMBERED = ("decisions", "measurements")
"""Folders whose README lists the numbered pages next to it."""
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
IMAGE = re.compile(r"(!\[[^\]]*\]\()([^)\s]+)(\))")
FENCE = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)

Json = dict[str, Any]


def sources() -> dict[str, str]:
    """Return where each page, picture and shown file lies, from the root, and where it goes in the site."""
    inside = (file for file in (ROOT / "docs").rglob("*") if file.suffix in {".md", ".svg", ".png"})
    found = {file.relative_to(ROOT).as_posix(): file.relative_to(ROOT / "docs").as_posix() for file in inside}
    found |= {name: place for name, place in OUTSIDE.items() if (ROOT / name).exists()}
    linked = {file for page in found if page.endswith(".md") for file in _linked(page)}
    return found | {file: f"files/{file}.md" for file in sorted(linked) if SHOWN.fullmatch(file)}


def _linked(page: str) -> Iterator[str]:
    """Yield the files of the repository that a page links to."""
    for _, link in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        file = _resolve(link.partition("#")[0], page)
        if (ROOT / file).is_file():
            yield file


def _resolve(link: str, page: str) -> str:
    """Return the path from the root of a page's relative link."""
    return normpath(f"{Path(page).parent.as_posix()}/{link}")


def show(source: str) -> str:
    """Return the page that shows a file whole."""
    file = Path(source)
    text = (ROOT / source).read_text(encoding="utf-8")
    return f"# {file.name}\n\n`{source}` in the repository:\n\n````{LANGUAGES.get(file.suffix, 'text')}\n{text}````\n"


def turn(text: str, source: str, places: dict[str, str]) -> str:
    """Return a page's text with its links leading to where pages lie in the site."""

    def target(link: str) -> str | None:
        file, mark, anchor = link.partition("#")
        if not file or re.match(r"[a-z]+:", link):
            return link
        place = places.get(_resolve(file, source))
        return None if place is None else relpath(place, Path(places[source]).parent.as_posix()) + mark + anchor

    def link(found: re.Match[str]) -> str:
        led = target(found[2])
        return found[1] if led is None else f"[{found[1]}]({led})"

    def image(found: re.Match[str]) -> str:
        return f"{found[1]}{target(found[2]) or found[2]}{found[3]}"

    parts = FENCE.split(text)
    return "".join(part if number % 2 else IMAGE.sub(image, LINK.sub(link, part)) for number, part in enumerate(parts))


def navigation(pages: set[str]) -> str:
    """Return the parts of the site's navigation, of the pages that there are."""
    named = {name for names in PARTS.values() for name in names}
    rest = sorted(page for page in pages if page not in named and page != "index" and "/" not in page)
    lines: list[str] = []
    for part, names in PARTS.items():
        here = [name for name in names if name in pages] or (rest if part == "More" else [])
        if here:
            entries = "\n".join(f"{TITLES[name]} <{name}>" if name in TITLES else name for name in here)
            lines.append(f"```{{toctree}}\n:hidden:\n:maxdepth: 1\n:caption: {part}\n\n{entries}\n```\n")
    return "\n".join(lines)


def _numbered(folder: str, pages: set[str]) -> str:
    entries = "\n".join(sorted(page.rpartition("/")[2] for page in pages if re.match(rf"{folder}/\d", page)))
    return f"\n```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{entries}\n```\n"


def reference(document: Json) -> Iterator[str]:
    """Yield the paragraphs of the reference that an OpenAPI document holds."""
    yield "# API reference"
    yield "Written from the OpenAPI document that a running service has at `/openapi.json`."
    yield document["info"]["description"]
    for tag in document["tags"]:
        yield f"## {tag['name']}"
        yield tag["description"]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if isinstance(operation, dict) and tag["name"] in operation.get("tags", []):
                    yield from _operation(f"{method.upper()} {path}", operation)


def _operation(name: str, operation: Json) -> Iterator[str]:
    yield f"### `{name}`"
    yield f"**{operation['summary']}.**"
    yield operation.get("description", "")
    if asked := operation.get("parameters"):
        yield "\n".join(f"* `{item['name']}`, in the {item['in']}: {item.get('description', '')}" for item in asked)
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Takes `{media}`:"
        yield _example(content)
    for status, answer in operation.get("responses", {}).items():
        yield f"**{status}** {answer.get('description', '')}".strip()
        if status.startswith("2"):
            for content in answer.get("content", {}).values():
                yield _example(content)


def _example(content: Json) -> str:
    if "example" not in content:
        return ""
    example = content["example"]
    text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    return f"```text\n{text}\n```" if isinstance(example, str) else f"```json\n{text}\n```"


def assemble(folder: Path) -> None:
    """Write every page and picture of the site into an empty `folder`."""
    places = sources()
    pages = {place.removesuffix(".md") for place in places.values() if place.endswith(".md")} | {"reference"}
    appended = {f"{name}/README.md": _numbered(name, pages) for name in NUMBERED}
    appended["index.md"] = "\n" + navigation(pages)
    for source, place in places.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        if not place.endswith(".md"):
            shutil.copyfile(ROOT / source, folder / place)
            continue
        if not source.endswith(".md"):
            (folder / place).write_text(show(source), encoding="utf-8")
            continue
        text = turn((ROOT / source).read_text(encoding="utf-8"), source, places)
        text += appended.get(place, "")
        (folder / place).write_text(text, encoding="utf-8")
    written = "\n\n".join(part for part in reference(build(ENDPOINTS)) if part)
    (folder / REFERENCE).write_text(written + "\n", encoding="utf-8")


if __name__ == "__main__":
    made = Path(sys.argv[1])
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    assemble(made)
