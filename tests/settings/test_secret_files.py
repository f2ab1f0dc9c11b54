"""Files with secrets that other users can read."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from doorward.settings.secret_files import is_alone_in_container
from harness import KEY, without

KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
TODO = "set `mode: 0400` on the mounted secret (Kubernetes: `defaultMode: 0440`), or chmod 600 the file it is from"
# A namespace whose only processes are our own, a read-only mount in it, and a start on the secret on that mount.
SCRIPT = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 77
if [ "$3" ]; then "$2" -c 'import os, time; os.setuid(12345); time.sleep(60)' & sleep 1; fi
"$2" -c 'from doorward.settings import Settings; given = Settings.read(); print(given.jwt_key, *given.warnings)'
"""


def root_of(folder: Path, *files: str, owner: int | None = None) -> Path:
    """Make what a container's root folder shows of it: the marks, and a folder for each process."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    for process in ("1", "17", "self"):
        (folder / "proc" / process).mkdir(parents=True)
    if owner is not None:
        os.chown(folder / "proc" / "17", owner, owner)
    return folder


@pytest.mark.parametrize("files", [[".dockerenv"], ["run/.containerenv"]])
def test_F30_a_container_of_one_user_is_recognised(tmp_path: Path, files: list[str]) -> None:
    assert is_alone_in_container({}, root_of(tmp_path, *files))


@pytest.mark.parametrize("environment", [KUBERNETES, {"container": "podman"}])
def test_F30_so_is_one_that_the_environment_tells_of(tmp_path: Path, environment: Mapping[str, str]) -> None:
    assert is_alone_in_container(environment, root_of(tmp_path))


def test_F30_a_machine_is_no_container(tmp_path: Path) -> None:
    assert not is_alone_in_container({}, root_of(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a process of another user, which takes root")
def test_F30_a_container_with_another_user_is_not_ours_alone(tmp_path: Path) -> None:
    assert not is_alone_in_container(KUBERNETES, root_of(tmp_path, owner=12_345))


def started(folder: Path, *, neighbour: bool) -> str:
    """Start in a container on a secret of mode 0444 that lies on a read-only mount, and return what it says."""
    (folder / "jwt_key").write_text(KEY)
    (folder / "jwt_key").chmod(0o444)
    script = ["sh", "-c", SCRIPT, "sh", str(folder), sys.executable, "neighbour" * neighbour]
    found = subprocess.run(
        [
            shutil.which("unshare") or without("unshare of util-linux is missing"),
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            *script,
        ],
        env={"PATH": os.environ["PATH"], "JWT_KEY_FILE": str(folder / "jwt_key"), "container": "docker"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if found.returncode == 77 or "unshare: " in found.stderr:
        without("making a read-only mount takes root, and unshare of util-linux")
    return found.stdout + found.stderr


@pytest.mark.slow
def test_F30_a_secret_that_only_we_could_read_is_used_with_a_warning(tmp_path: Path) -> None:
    said = started(tmp_path, neighbour=False)
    assert said == f"(('1', '{KEY}'),) JWT_KEY_FILE can be read by every user in this container; {TODO}.\n"


@pytest.mark.slow
def test_F30_one_that_others_can_read_is_refused_with_advice_that_can_be_followed(tmp_path: Path) -> None:
    said = started(tmp_path, neighbour=True)
    assert f"JWT_KEY_FILE can be read by every user of this machine and is mounted read-only; {TODO}.\n" in said
    assert KEY not in said
