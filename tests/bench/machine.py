"""What the benchmark runs on: cores to pin to, processes to watch, versions to name."""

import contextlib
import os
import platform
import sqlite3
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("uvicorn", "uvloop", "httptools", "msgspec", "argon2-cffi")
_FIRST = -10
# As this process was started: read later, inside of `pinned`, it would be one core for servers and load alike.
_AVAILABLE = sorted(os.sched_getaffinity(0))
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cores() -> tuple[int, int]:
    """The core of the servers and the core of the load; the same one where there is only one."""
    return _AVAILABLE[0], _AVAILABLE[-1]


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """What is started in here stays on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def go_first() -> bool:
    """Put this process, and what it starts, before its neighbours on the machine; False where that is not allowed."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _FIRST)
    except PermissionError:
        return False
    _set_session_nice(os.getpid(), _FIRST)
    return True


def share_place(pid: int) -> None:
    """Put the session of a process that was started before others where this one's is."""
    # "/autogroup-25 nice -10"; the file may be there and empty, on kernels that schedule no sessions as groups.
    with contextlib.suppress(OSError):
        place = Path("/proc/self/autogroup").read_text().split()
        if place:
            _set_session_nice(pid, int(place[-1]))


def _set_session_nice(pid: int, nice: int) -> None:
    # Where sessions are scheduled as groups (Linux's autogroup), niceness counts only inside of one.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def stay_on(core: int) -> None:
    """Keep the calling thread, and what it starts, on one core."""
    os.sched_setaffinity(0, {core})


def _stat(pid: int, thread: str = "") -> list[str]:
    # The name in parentheses may hold anything, so what is wanted is counted from its end: field 3 is the first.
    # Asked for by the number of one of its threads, a process tells of all of them together.
    return Path(f"/proc/{pid}{thread and f'/task/{thread}'}/stat").read_text().rpartition(") ")[2].split()


def members(group: int) -> list[int]:
    """The processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(_stat(int(entry.name))[2]) == group:
                found.append(int(entry.name))
    return found


def family(pid: int) -> list[int]:
    """A process and all that descend from it, whatever groups they are in."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_seconds(pids: list[int]) -> float:
    """User and system time that the processes have used so far."""
    return sum(_used(_stat(pid)) for pid in pids)


def _used(stat: list[str]) -> float:
    return (int(stat[11]) + int(stat[12])) / _TICKS


def thread_seconds(pid: int) -> dict[int, float]:
    """The same for each thread of a process; the first has the number of the process."""
    return {int(entry.name): _used(_stat(pid, entry.name)) for entry in Path(f"/proc/{pid}/task").iterdir()}


def resident_bytes(pid: int) -> int:
    return int(_stat(pid)[21]) * _PAGE


def describe() -> dict[str, str]:
    """The machine and the versions that the figures were taken with."""
    model = next(
        (line.partition(":")[2].strip() for line in _read("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    return {
        "machine": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        **{name: version(name) for name in PACKAGES},
    }


def _read(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


PYTHON = sys.executable
