"""Installed packages are the locked ones, with allowed licences (docs/security/supply-chain.md)."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security" / "supply-chain.md"
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
INSTALLERS = [
    file for file in (ROOT / "Makefile", ROOT / "Dockerfile", ROOT / "tests" / "programs.sh") if file.exists()
]
PERMISSIVE = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0"}
# Those that say it in words of their own.
SAID = {
    "MIT License": "MIT",
    "OSI Approved :: MIT License": "MIT",
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: BSD License": "BSD-3-Clause",
}
LIST = re.compile(r"(?<=<!-- licences -->\n).*(?=<!-- end of licences -->)", re.DOTALL)


def locked(file: Path) -> list[str]:
    """Return the requirements of a lock file, each with its hashes on one line."""
    text = re.sub(r"^ *#.*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def needed(name: str = "doorward") -> set[str]:
    """Return the names of all packages that a package runs with, as the lock file and the image have them."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for text in distribution(waiting.pop()).requires or []:
            requirement = Requirement(text)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": "backend-auth"})
            if wanted and (package := canonicalize_name(requirement.name)) not in found:
                found.add(package)
                waiting.append(package)
    return found


def licence(name: str) -> str:
    """Return a package's licence as an expression of SPDX."""
    metadata = distribution(name).metadata
    for field in ("License-Expression", "License"):
        said: list[str] | None = metadata.get_all(field)
        if said:
            return SAID.get(said[0], said[0])
    classified = [line.removeprefix("License :: ") for line in metadata.get_all("Classifier") or []]
    return " OR ".join(SAID[line] for line in classified if line in SAID) or "not stated"


def listed() -> str:
    rows = [f"| {name} | {distribution(name).version} | {licence(name)} |" for name in sorted(needed())]
    return "\n".join(["", "| package | version | licence |", "|---|---|---|", *rows, "", ""])


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: file.name)
def test_every_locked_package_has_one_version_and_a_hash_and_no_source_of_its_own(file: Path) -> None:
    lines = locked(file)
    assert len(lines) > 0
    for line in lines:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+( ; [^-]+)?( +--hash=sha256:[0-9a-f]{64})+$", line.strip()), (
            line
        )
    assert "://" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", INSTALLERS, ids=lambda file: file.name)
def test_whatever_is_installed_from_a_list_is_checked_against_its_hashes(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    from_lists = [line for line in text.splitlines() if re.search(r"\binstall\b.* (-r|--requirement) ", line)]
    assert [line for line in from_lists if "--require-hashes" not in line or "--no-deps" not in line] == []
    if file.name == "Makefile":
        assert len(from_lists) >= 3


def test_the_service_runs_with_nothing_that_is_not_locked() -> None:
    names = {re.split(r"[=\[]", line)[0] for line in locked(ROOT / "requirements" / "run.txt")}
    assert needed() <= names


def test_every_package_may_be_used_by_everybody() -> None:
    for name in needed():
        assert {part for part in re.split(r" (?:OR|AND) |[()]", licence(name)) if part} <= PERMISSIVE, name


@pytest.mark.skipif(not (3, 11, 3) <= sys.version_info < (3, 12), reason="other interpreters need other packages")
def test_the_page_lists_what_is_installed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    if os.environ.get("DOORWARD_RENEW") == "1":
        page = LIST.sub(lambda _: listed(), page)
        PAGE.write_text(page, encoding="utf-8")
    found = LIST.search(page)
    assert found
    assert found[0] == listed(), "DOORWARD_RENEW=1 pytest tests/security/test_supply_chain.py writes it anew"


def make_wheel(folder: Path) -> Path:
    wheel = folder / "harmless-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("harmless.py", "")
        archive.writestr("harmless-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: harmless\nVersion: 1.0\n")
        archive.writestr(
            "harmless-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("harmless-1.0.dist-info/RECORD", "")
    return wheel


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (lambda line: line, None),
        (lambda line: line[:-1] + ("0" if line[-1] != "0" else "1"), "DO NOT MATCH THE HASHES"),
        (lambda line: line.partition(" --hash")[0], "Hashes are required"),
        (lambda line: line.replace("==", ">="), "pinned"),
    ],
    ids=["as it was locked", "another hash", "no hash", "any version"],
)
def test_a_lock_line_that_was_tampered_with_ends_the_installation(
    tmp_path: Path, change: Callable[[str], str], refused: str | None
) -> None:
    wheel = make_wheel(tmp_path)
    line = f"harmless==1.0 --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}"
    (tmp_path / "lock.txt").write_text(change(line) + "\n", encoding="utf-8")
    # The options are those of the Makefile.
    how = re.findall(r"install (--require-hashes --no-deps --only-binary :all:) -r requirements/run", read("Makefile"))[
        0
    ]
    place = [
        "--no-index",
        "--find-links",
        str(tmp_path),
        "--target",
        str(tmp_path / "there"),
        "-r",
        str(tmp_path / "lock.txt"),
    ]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *how.split(), *place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode == 0) == (refused is None), done.stdout + done.stderr
    assert (tmp_path / "there" / "harmless.py").exists() == (refused is None)
    assert refused is None or refused in done.stdout + done.stderr


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
