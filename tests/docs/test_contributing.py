"""The contributor's targets: what `make help` lists, and the programs that tests need."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "programs.sh"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def programs(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run the script where it finds no program, and no apt."""
    command = ["/bin/bash", str(PROGRAMS), *words]
    return subprocess.run(command, env={"PATH": "/nonexistent"}, capture_output=True, text=True, check=False)


def test_make_help_lists_every_target() -> None:
    [line] = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    described = re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE)
    assert sorted(described) == sorted(line.split())


def test_make_test_names_the_missing_packages_and_the_target_that_installs_them() -> None:
    done = programs()
    assert done.returncode == 1
    assert re.search(r"^  strace +counts the fsync calls of a commit$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("which are missing. `make test-programs` installs them.\n")


def test_without_root_or_apt_the_packages_to_install_by_hand_are_named() -> None:
    done = programs("install")
    assert done.returncode == 1
    assert re.search(
        r"By hand: apt-get install --no-install-recommends strace .*default-jdk-headless$", done.stdout, re.MULTILINE
    )


def test_every_package_that_a_skipped_test_names_is_installed_by_the_target() -> None:
    listed = set(re.findall(r'^    "\S+ (\S+) ', PROGRAMS.read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        package
        for file in (ROOT / "tests").rglob("*.py")
        if file != Path(__file__)
        for package in re.findall(r"apt-get install ([a-z][\w-]+)", file.read_text(encoding="utf-8"))
    }
    assert named <= listed


@pytest.mark.slow
def test_the_example_of_an_endpoint_works(tmp_path: Path) -> None:
    """Apply the example's blocks to a copy of the package, and run the test that is its last block."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("### Example: add an endpoint\n")[2].partition("\n## ")[0]
    blocks = [
        textwrap.dedent(block)
        for block in re.findall(r"^   ```python\n(.*?)^   ```$", section, re.MULTILINE | re.DOTALL)
    ]
    files = re.findall(r", in `(src/[^`]+)`", section)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name, block in zip(files, blocks[:-1], strict=True):
        file = tmp_path / name
        before = file.read_text(encoding="utf-8").rstrip()
        row = block.startswith("Endpoint(")
        file.write_text(f"{before.removesuffix(')')}{block})\n" if row else f"{before}\n\n{block}", encoding="utf-8")
    test = tmp_path / "test_example.py"
    test.write_text(blocks[-1], encoding="utf-8")
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(ROOT),
        "-p",
        "conftest",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-k", "sqlite", str(test)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'src'}:{ROOT / 'tests'}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
