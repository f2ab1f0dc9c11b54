"""Import contracts: a copy of the code that breaks each of them once, and every module has a layer."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]["contracts"]
SOURCES = {"doorward": "src", "doorward_client": "clients/python/src"}

pytestmark = [pytest.mark.slow, pytest.mark.one_setup]


def breaks(contract: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield imports that a contract forbids, as the importing and the imported module."""
    match contract["type"]:
        case "forbidden":
            source = contract["source_modules"][0]
            # A new module, and where whole packages are forbidden to, one deep inside.
            yield from ((f"{source}.added", forbidden) for forbidden in contract["forbidden_modules"])
            if source == "doorward":
                yield from (("doorward.core.ports.added", forbidden) for forbidden in contract["forbidden_modules"])
        case "layers":
            [container] = contract.get("containers", [""])
            names = [f"{container}.{layer.split(' | ')[0]}".lstrip(".") for layer in contract["layers"]]
            yield from zip(names[1:], names[:-1], strict=True)
        case "independence":
            yield tuple(contract["modules"])
        case kind:
            raise AssertionError(f"breaks of {kind} contracts are not known")


def path_of(module: str, root: Path) -> Path:
    file = root / SOURCES[module.split(".", maxsplit=1)[0]] / module.replace(".", "/")
    return file / "__init__.py" if file.is_dir() else file.with_suffix(".py")


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(root / folder) for folder in SOURCES.values())
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "400"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.parametrize("package", ["core", "http"])
def test_every_module_has_a_layer(package: str) -> None:
    named = {
        module
        for contract in CONTRACTS
        if contract["type"] == "layers" and "containers" not in contract
        for layer in contract["layers"]
        for module in layer.split(" | ")
    }
    folder = ROOT / "src/doorward"
    for file in sorted((folder / package).rglob("*.py")):
        module = ".".join(("doorward", *file.relative_to(folder).with_suffix("").parts))
        if file.name != "__init__.py":
            assert any(f"{module}.".startswith(f"{layer}.") for layer in named), f"{module} is in no layer"


def test_every_contract_finds_a_break_of_its_own(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in SOURCES.values():
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    made: dict[str, list[tuple[str, str]]] = {contract["name"]: list(breaks(contract)) for contract in CONTRACTS}
    for importer, imported in {one for found in made.values() for one in found}:
        with path_of(importer, tmp_path).open("a", encoding="utf-8") as file:
            file.write(f"\nimport {imported}\n")
    said = lint(tmp_path)
    assert said.returncode == 1, said.stdout + said.stderr
    assert "Contracts: 0 kept" in said.stdout
    parts = re.split(r"^(.+)\n-{3,}$", said.stdout.partition("Broken contracts")[2], flags=re.MULTILINE)
    reports = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert set(reports) == set(made)
    for name, found in made.items():
        assert found, name
        assert [(by, what) for by, what in found if not re.search(rf"\b{by} ->\s+{what} \(", reports[name])] == []
