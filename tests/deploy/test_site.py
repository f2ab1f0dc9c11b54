"""The documentation's site: every page is in it, and its links work."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("assemble", ROOT / "deploy" / "docs" / "assemble.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["assemble"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "link", "turned"),
    [
        ("README.md", "[a](docs/settings.md#host)", "[a](settings.md#host)"),
        ("docs/index.md", "[a](../README.md#a-tour)", "[a](tour.md#a-tour)"),
        ("docs/index.md", "[a](decisions/README.md)", "[a](decisions/README.md)"),
        ("docs/decisions/README.md", "[a](../settings.md)", "[a](../settings.md)"),
        ("docs/decisions/README.md", "[a](../../ARCHITECTURE.md)", "[a](../architecture.md)"),
        ("docs/gateways.md", "[a](../deploy/gateways/nginx.conf)", "[a](files/deploy/gateways/nginx.conf.md)"),
        ("docs/python-client.md", "[a](../clients/python/README.md)", "[a](python-client-readme.md)"),
        ("README.md", "[a](LICENSE)", "[a](files/LICENSE.md)"),
        ("docs/api.md", "[`routes.py`](../src/doorward/http/routes.py)", "`routes.py`"),
        ("docs/api.md", "[a](https://example.org/b#c) [d](#e)", "[a](https://example.org/b#c) [d](#e)"),
        ("README.md", "![a](docs/pictures/overview.svg)", "![a](pictures/overview.svg)"),
        ("README.md", "```\n[a](docs/settings.md)\n```", "```\n[a](docs/settings.md)\n```"),
    ],
)
def test_a_link_leads_to_where_the_page_lies_in_the_site(site: ModuleType, source: str, link: str, turned: str) -> None:
    assert site.turn(link, source, site.sources()) == turned


def test_a_page_that_is_new_is_in_the_navigation_and_one_that_is_missing_is_not(site: ModuleType) -> None:
    made = site.navigation({"index", "settings", "brand-new", "decisions/README", "decisions/0001-first"})
    assert "\nsettings\n" in made
    assert "\nbrand-new\n" in made
    assert "\nDecisions <decisions/README>\n" in made
    assert "concepts" not in made
    assert "0001" not in made


def test_the_site_has_every_page_and_every_endpoint(site: ModuleType, tmp_path: Path) -> None:
    from doorward.http.api.routes import ENDPOINTS

    site.assemble(tmp_path)
    pages = {file.relative_to(ROOT / "docs") for file in (ROOT / "docs").rglob("*.md")}
    assert [page for page in pages if not (tmp_path / page).exists()] == []
    written = set(re.findall(r"^### `(.*)`$", (tmp_path / "reference.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert written == {f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS}


def test_N7_the_site_shows_the_files_of_the_gateways_and_the_clients_readme_whole(
    site: ModuleType, tmp_path: Path
) -> None:
    site.assemble(tmp_path)
    for name in ("gateways/nginx.conf", "gateways/Caddyfile", "gateways/doorward.lua", "alerts/doorward.yml"):
        page = (tmp_path / "files" / "deploy" / f"{name}.md").read_text(encoding="utf-8")
        assert (ROOT / "deploy" / name).read_text(encoding="utf-8") in page
    linked = set(re.findall(r"\]\(([^)#]+)\)", (tmp_path / "gateways.md").read_text(encoding="utf-8")))
    shown = {link.removeprefix("files/deploy/gateways/") for link in linked if link.startswith("files/")}
    assert shown == {f"{file.name}.md" for file in (ROOT / "deploy" / "gateways").iterdir()}
    readme = (tmp_path / "python-client-readme.md").read_text(encoding="utf-8")
    assert readme == (ROOT / "clients" / "python" / "README.md").read_text(encoding="utf-8")
