"""The processes behind a service."""

from pathlib import Path

from harness import Process


def workers_of(process: Process) -> list[int]:
    """Return the processes that serve, none of which is the one that was started."""
    assert process.process
    return workers_below(process.process.pid)


def workers_below(supervisor: int) -> list[int]:
    """Return the workers of the process that was started."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    # Python starts one more beside them, which looks after resources they share.
    return [int(pid) for pid in children if b"spawn_main" in command_line(int(pid))]


def is_alive(pid: int) -> bool:
    """Tell whether a process still runs; one that only waits to be counted by its parent has no command line."""
    return bool(command_line(pid))


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
