"""Available cores, from files of control groups."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from doorward.app import build
from doorward.core.passwords.hashing import Hasher
from doorward.core.passwords.pool import PasswordHasherPool
from doorward.runtime.cpu import available_cores
from harness import read_settings

HERE = len(os.sched_getaffinity(0))
UNLIMITED = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}
V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu"

# Files, and how many of 64 cores are left.
MACHINES: dict[str, tuple[Mapping[str, str], int]] = {
    "no control groups at all": ({}, 64),
    "a container without a limit": (UNLIMITED, 64),
    "a container of two cores": ({**UNLIMITED, f"{V2}/cpu.max": "200000 100000\n"}, 2),
    "another period": ({**UNLIMITED, f"{V2}/cpu.max": "30000 10000\n"}, 3),
    "a part of a core is none": ({**UNLIMITED, f"{V2}/cpu.max": "250000 100000\n"}, 2),
    "unless it is all there is": ({**UNLIMITED, f"{V2}/cpu.max": "50000 100000\n"}, 1),
    "more than the machine has": ({**UNLIMITED, f"{V2}/cpu.max": "9900000 100000\n"}, 64),
    "a unit with CPUQuota": (
        {
            "proc/self/cgroup": "0::/system.slice/doorward.service\n",
            f"{V2}/system.slice/doorward.service/cpu.max": "300000 100000\n",
        },
        3,
    ),
    "a limit of the slice around it": (
        {
            "proc/self/cgroup": "0::/system.slice/doorward.service\n",
            f"{V2}/system.slice/doorward.service/cpu.max": "max 100000\n",
            f"{V2}/system.slice/cpu.max": "400000 100000\n",
        },
        4,
    ),
    "a path that is not there for who is inside": (
        {"proc/self/cgroup": "0::/../../kubepods/pod1\n", f"{V2}/cpu.max": "200000 100000\n"},
        2,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n3:cpuset:/docker/abc\n",
            f"{V1}/cpu.cfs_quota_us": "150000\n",
            f"{V1}/cpu.cfs_period_us": "50000\n",
        },
        3,
    ),
    "version 1 without a limit": (
        {
            "proc/self/cgroup": "4:cpu:/\n",
            f"{V1}/cpu.cfs_quota_us": "-1\n",
            f"{V1}/cpu.cfs_period_us": "100000\n",
        },
        64,
    ),
    "version 1 under the names of both controllers": (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/\n0::/\n",
            f"{V2}/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
            f"{V2}/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        2,
    ),
    "a limit of another controller": (
        {
            "proc/self/cgroup": "4:cpuset:/\n",
            f"{V1}/cpu.cfs_quota_us": "100000\n",
            f"{V1}/cpu.cfs_period_us": "100000\n",
        },
        64,
    ),
    "nonsense": ({"proc/self/cgroup": "what\n", f"{V2}/cpu.max": "\n"}, 64),
    "nonsense in the limit": ({**UNLIMITED, f"{V2}/cpu.max": "0 0\n"}, 64),
}


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


def machine(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("name", MACHINES)
def test_a_container_s_limit_counts(tmp_path: Path, name: str) -> None:
    files, expected = MACHINES[name]
    assert available_cores(machine(tmp_path, files)) == expected


def test_where_it_may_run_counts(tmp_path: Path) -> None:
    assert available_cores(machine(tmp_path, {**UNLIMITED, f"{V2}/cpu.max": "6400000 100000\n"})) == HERE


@pytest.mark.parametrize(("workers", "said", "threads"), [("1", "0", 7), ("4", "0", 1), ("16", "0", 1), ("1", "3", 3)])
def test_one_thread_hashes_for_each_core_but_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str, said: str, threads: int
) -> None:
    monkeypatch.setattr("doorward.app.available_cores", lambda: 8)
    made: list[int] = []

    class Noting(PasswordHasherPool):
        def __init__(self, hasher: Hasher, *, threads: int, max_wait: float) -> None:
            made.append(threads)
            super().__init__(hasher, threads=threads, max_wait=max_wait)

    monkeypatch.setattr("doorward.services.PasswordHasherPool", Noting)
    build(read_settings(tmp_path, {"WORKERS": workers, "HASH_THREADS": said}))
    assert made == [threads]
