"""Permissions of files with secrets: rejects files that other users can read."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from doorward.core.errors import CannotStart

OTHERS_BITS = 0o007
"""The permission bits of users who are neither the owner nor in the group."""

_ROOT = Path("/")
# Files created by Docker and Podman, and variables set by Kubernetes and systemd-nspawn.
_MARKER_FILES = (".dockerenv", "run/.containerenv")
_VARIABLES = ("KUBERNETES_SERVICE_HOST", "container")


def mode_of(path: Path) -> int:
    """Return the permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def refuse_open_to_others(name: str, path: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Raise CannotStart for a file with a secret that other users can read or write; else return warnings.

    The mode of a file on a read-only mount, such as a secret of a container engine, cannot be changed inside the
    container. If no other user runs in the container, such a file only causes a warning. A missing file is ignored.
    """
    try:
        if not mode_of(path) & OTHERS_BITS:
            return ()
        mounted = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return ()
    if not mounted:
        raise CannotStart(f"{name} can be read by every user of this machine; chmod 600 it.")
    remedy = (
        "set `mode: 0400` on the mounted secret (Kubernetes: `defaultMode: 0440`), or chmod 600 the file it is from"
    )
    if is_alone_in_container(environment):
        return (f"{name} can be read by every user in this container; {remedy}.",)
    raise CannotStart(f"{name} can be read by every user of this machine and is mounted read-only; {remedy}.")


def is_alone_in_container(environment: Mapping[str, str], root: Path = _ROOT) -> bool:
    """Return whether this is a container in which no process runs as another user, root excepted."""
    if not any(name in environment for name in _VARIABLES) and not any(
        (root / file).exists() for file in _MARKER_FILES
    ):
        return False
    own = {0, os.geteuid()}
    try:
        return all(_owner(process) in own for process in (root / "proc").glob("[0-9]*"))
    except OSError:
        return False


def _owner(process: Path) -> int:
    try:
        return process.stat().st_uid
    except FileNotFoundError:
        return 0  # the process has exited meanwhile
