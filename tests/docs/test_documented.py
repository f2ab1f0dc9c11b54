"""Completeness of the documentation: what exists is documented, what is named exists."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from doorward.core.model import Permission
from doorward.core.rate_limits.budgets import BUDGETS
from doorward.http.api.endpoint import Auth
from doorward.http.api.routes import ENDPOINTS
from doorward.http.errors import STATUS_OF
from doorward.settings import describe

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "doorward"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
TREE = re.compile(r"^( +)([\w.]+(?:/|\.py)(?:, [\w.]+\.py)*)(?: |$)", re.MULTILINE)
TELLING = {"event", "operator_event"}
LINK = re.compile(r"\]\(([^)\s]+)\)")


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one."""
    _, found, rest = page.partition(f"\n### `{heading}`\n")
    assert found, f"there is no heading ### `{heading}`"
    return re.split(r"\n#", rest)[0].strip()


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("kind", STATUS_OF, ids=lambda kind: kind.code)
def test_every_error_has_a_paragraph_under_its_status(kind: type) -> None:
    page = read("docs/errors.md")
    code: str = kind.code  # type: ignore[attr-defined]
    assert len(section(page, code)) > 40
    before = page.partition(f"\n### `{code}`\n")[0]
    assert re.findall(r"^## (\d+)$", before, re.MULTILINE)[-1] == str(STATUS_OF[kind].value)


def test_no_error_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"^### `(\w+)`$", read("docs/errors.md"), re.MULTILINE)) == {kind.code for kind in STATUS_OF}


@pytest.mark.parametrize("setting", describe(), ids=lambda setting: setting["name"])
def test_every_setting_is_documented_with_its_default(setting: dict[str, str]) -> None:
    first, _, rest = section(read("docs/settings.md"), setting["name"]).partition("\n")
    assert len(rest.strip()) > 20
    if setting["default"]:
        assert first == f"Default: `{setting['default']}`"
    else:
        assert first.startswith("Default: none")


def test_no_setting_is_documented_that_does_not_exist() -> None:
    named = re.findall(r"^### `(\w+)`$", read("docs/settings.md"), re.MULTILINE)
    assert set(named) == {setting["name"] for setting in describe()}


def actions() -> set[str]:
    """Return the actions of every event that is told of, as the code spells them."""
    found = set()
    for file in [*(SOURCE / "core").rglob("*.py"), *(SOURCE / "imports").rglob("*.py")]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        texts = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if re.fullmatch(r"(tenant|users?|session|key|audit|operator)\.[a-z_]+", node.value)
        }
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in TELLING]
        literal = {call.args[2].value for call in calls if isinstance(call.args[2], ast.Constant)}
        assert literal <= texts, f"{file.name} has an action in a form that this test does not know"
        if calls:
            found |= texts
    return found


def test_every_action_of_the_audit_trail_is_documented_and_none_that_does_not_exist() -> None:
    table = read("docs/audit.md").partition("## Actions")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([\w.]+)` \| .{10,} \|$", table, re.MULTILINE)
    assert len(actions()) > 20
    assert sorted(named) == sorted(actions())


@pytest.mark.parametrize("permission", Permission)
def test_every_permission_is_documented(permission: Permission) -> None:
    assert f"| `{permission}` |" in read("docs/concepts.md")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_the_overview_says_what_an_endpoint_needs(endpoint: Any) -> None:
    line = re.findall(
        rf"^\| `{endpoint.method} {re.escape(endpoint.path)}` \| (.*)$", read("docs/api.md"), re.MULTILINE
    )[0]
    if endpoint.permission is not None:
        assert line.startswith(f"`{endpoint.permission}` |")
    elif endpoint.auth is Auth.TENANT:
        assert line.startswith("tenant |")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_every_endpoint_is_in_the_overview(endpoint: object) -> None:
    method, path = endpoint.method, endpoint.path  # type: ignore[attr-defined]
    assert f"| `{method} {path}` |" in read("docs/api.md")


def test_no_endpoint_is_in_the_overview_that_does_not_exist() -> None:
    named = set(re.findall(r"^\| `([A-Z]+ /\S*)` \|", read("docs/api.md"), re.MULTILINE))
    assert named == {f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS}


def tree() -> list[str]:
    """Return the paths that the tree of packages names."""
    drawing = read("ARCHITECTURE.md").partition("## Packages")[2].split("```")[1]
    folders: list[str] = []
    named = []
    for indent, names in TREE.findall(drawing):
        folders = folders[: len(indent) // 2 - 1]
        named += ["/".join([*folders, name.rstrip("/")]) for name in names.split(", ")]
        if names.endswith("/"):
            folders.append(names.rstrip("/"))
    return named


def test_every_path_that_the_architecture_names_exists() -> None:
    named = tree()
    assert len(named) > 30
    assert [name for name in named if not (SOURCE / name).exists()] == []


def test_the_architecture_names_every_package() -> None:
    packages = {file.parent.relative_to(SOURCE) for file in SOURCE.glob("*/__init__.py")}
    packages |= {file.parent.relative_to(SOURCE) for file in (SOURCE / "core").glob("*/__init__.py")}
    assert sorted(str(package) for package in packages if str(package) not in tree()) == []


def test_every_module_of_the_walks_exists() -> None:
    walks = read("ARCHITECTURE.md").partition("## Request walks")[2]
    named = set(re.findall(r"\b((?:core|http|storage)/[\w/]+\.py)\b", walks))
    assert len(named) > 8
    assert [name for name in named if not (SOURCE / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_dependency_that_the_code_names_has_a_decision() -> None:
    listed = read("pyproject.toml").partition("\ndependencies = [")[2].partition("]")[0]
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    names = [name.removesuffix("-cffi").removeprefix("python-") for name in re.findall(r'"([a-z0-9-]+)', listed)]
    used = [name for name in names if f"import {name}" in code or f"from {name}" in code or f'"{name}"' in code]
    told = "".join(page.read_text(encoding="utf-8").lower() for page in DECISIONS)
    assert len(used) > 8
    assert [name for name in used if name not in told] == []


def test_the_glossary_is_sorted_and_each_term_is_explained_with_a_link() -> None:
    terms = re.findall(r"^## (.+)\n((?:.+\n)+)", read("docs/glossary.md"), re.MULTILINE)
    names = [name for name, _ in terms]
    assert len(names) > 40
    assert names == sorted(names, key=str.lower)
    assert [name for name, text in terms if not LINK.search(text) or len(text.split()) > 60] == []


def test_C12_every_budget_is_documented_with_its_setting() -> None:
    page = section(read("docs/errors.md"), "too_many_requests")
    rows = re.findall(r"^\| `(\w+)` \|.*`(?:THROTTLER|BUDGET)_\w+`.*\|$", page, re.MULTILINE)
    assert sorted(rows) == sorted(BUDGETS)
