"""`make test-image` has its inputs: compose files and the pages about them, without starting an engine."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from image.conftest import STANDINS
from image.machine import ROOTS
from image.walking import COMPOSE_FILES, COMPOSE_PAGE, IMAGE_PAGE, TOUR, block, blocks

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "tests" / "image").rglob("*.sh"))


def images(file: str) -> set[str]:
    services = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["services"].values()
    return {service["image"] for service in services if "image" in service}


def test_every_image_beside_doorward_has_a_stand_in_of_its_full_name() -> None:
    used = {image for file in COMPOSE_FILES for image in images(file) if not image.startswith("doorward:")}
    assert used == set(STANDINS.values())
    # Podman has no default registry.
    assert [image for image in used if not image.startswith("docker.io/")] == []


def test_the_base_image_is_made_as_its_page_says() -> None:
    suite, packages = ROOTS["base"]
    line = block(IMAGE_PAGE, "debootstrap").splitlines()[0]
    assert line == f"debootstrap --variant=minbase --include={','.join(packages)} {suite} base"
    [base] = re.findall(r"^ARG PYTHON=(\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert block(IMAGE_PAGE, "docker import").split()[-1] == base


@pytest.mark.parametrize("file", COMPOSE_FILES)
def test_N5_the_page_starts_every_compose_file_and_creates_the_first_tenant_in_the_container(file: str) -> None:
    commands = "".join(blocks(COMPOSE_PAGE, "sh"))
    option = "" if file == "compose.yaml" else f" --file {file}"
    assert f"docker compose{option} up --detach\n" in commands
    assert "docker compose exec doorward doorward tenant create " in commands


def test_N5_no_compose_file_admits_its_network_by_itself() -> None:
    assert [file for file in COMPOSE_FILES if "TENANT_WHITE_LIST" in (ROOT / file).read_text(encoding="utf-8")] == []
    [project] = [yaml.safe_load(text) for text in blocks(COMPOSE_PAGE, "yaml")]
    [network] = project["networks"]["default"]["ipam"]["config"]
    admitted = project["services"]["doorward"]["environment"]["TENANT_WHITE_LIST"].split(",")
    assert admitted == ["127.0.0.0/8", "::1", network["subnet"]]


def test_the_tour_logs_in_a_tenant_that_was_created_before() -> None:
    [first] = [text for text in blocks(TOUR, "sh") if "TENANT=$" in text]
    assert "$URL/tenant " in first
    assert "$URL/tenant/login " in first


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(ROOT)))
def test_a_script_of_the_walks_is_executable_and_parses(script: Path) -> None:
    assert script.stat().st_mode & 0o100
    subprocess.run(["/bin/bash", "-n", str(script)], check=True, timeout=10)
