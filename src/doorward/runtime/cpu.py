"""Limits of this process: CPU cores (affinity and control groups) and open files."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/")
SPARE_FILES = 256
"""Open files beyond those of connections: stores, logs, libraries."""


def available_cores(root: Path = _ROOT) -> int:
    """Return the number of cores that this process may use, by its affinity and its control groups.

    A fraction of a core is rounded down, to at least one core: a process that relies on the fraction is throttled
    in the middle of its work. `root` is the root of the file system with the control groups (Linux, both versions).
    """
    return max(1, min([len(os.sched_getaffinity(0)), *map(int, _limits(root))]))


def raise_file_limit(count: int) -> None:
    """Raise the limit of open files to `count`, as far as the hard limit permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def possible_connections(count: int) -> int:
    """Return how many of the `count` connections the limit of open files admits."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return count if soft == resource.RLIM_INFINITY else min(count, max(soft - SPARE_FILES, soft // 2))


def _limits(root: Path) -> Iterator[float]:
    """Yield, in cores, the limit of every control group of this process, including outer ones."""
    for controllers, group in _groups(root):
        tree = root / "sys/fs/cgroup"
        if controllers:
            tree /= "cpu" if (tree / "cpu").is_dir() else controllers
        # A container may see its own group as the root, or a path that does not exist for it.
        inner = Path(group.lstrip("/"))
        for folder in (tree / inner, *(tree / parent for parent in inner.parents)):
            yield from _limit(folder)


def _groups(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the controllers, none for version 2, and the path of the groups that limit CPU time."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                yield controllers, group


def _limit(folder: Path) -> Iterator[float]:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        # No such file, no limit ("max"), or no number.
        with suppress(OSError, ValueError):
            quota, period = " ".join((folder / name).read_text(encoding="ascii") for name in names).split()
            if int(quota) > 0 and int(period) > 0:
                yield int(quota) / int(period)
