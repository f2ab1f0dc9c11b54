"""Engines with the image and stand-ins for the images that it runs beside. `make test-image` runs these tests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from image.machine import ENGINES, WORK, Machine, copy_project, machine, make_roots, share_pip_configuration
from image.walking import IMAGE_PAGE, block

# Minutes of root's work with Debian's packages: not a part of every run of the tests.
collect_ignore_glob = [] if os.environ.get("DOORWARD_TEST_IMAGE") else ["test_*.py"]

STANDINS = {
    "postgres": "docker.io/library/postgres:18",
    "valkey": "docker.io/valkey/valkey:9.0",
    "nginx": "docker.io/nginxinc/nginx-unprivileged:1.29",
}


def import_image(machine: Machine, root: Path, name: str) -> None:
    command = ["tar", "--create", "--directory", str(root), "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tar:
        machine.run(f"{machine.engine} import - {name}", stdin=tar.stdout)


@pytest.fixture(scope="session")
def roots() -> dict[str, Path]:
    found = make_roots()
    share_pip_configuration(found["engine"])
    return found


def build_images(machine: Machine, roots: dict[str, Path]) -> None:
    """Build the image as its page says, and the stand-ins. The machine must have the network of this computer."""
    import_image(machine, roots["base"], block(IMAGE_PAGE, "docker import").split()[-1])
    import_image(machine, roots["stores"], "localhost/stores")
    for name, tag in STANDINS.items():
        machine.run(f"{machine.engine} build --network host --tag {tag} tests/image/standins/{name}")
    # Behind every variant of the command stand the options for a private index, which may be this computer's.
    options = block(IMAGE_PAGE, "--secret id=pip").partition("BUILD_OPTIONS=")[2].strip()
    for variant in ("make image\n", "EXTRAS=otel"):
        script = (
            f'{block(IMAGE_PAGE, variant).strip()} BUILDER={machine.engine} BUILD_OPTIONS="--network host "{options}'
        )
        machine.run(script, timeout=300)


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest, roots: dict[str, Path]) -> Iterator[Machine]:
    """A sealed machine with an engine that has built the image."""
    storage, project = WORK / "storage", WORK / "project"
    shutil.rmtree(storage, ignore_errors=True)  # of a run that was killed
    copy_project(project)
    try:
        with machine(request.param, roots["engine"], storage, project, sealed=False) as builder:
            build_images(builder, roots)
        with machine(request.param, roots["engine"], storage, project, sealed=True) as walker:
            yield walker
    finally:
        shutil.rmtree(storage)
        shutil.rmtree(project)
