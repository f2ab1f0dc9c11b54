"""Memory of the process: fewer garbage collections, and the return of free memory to the system.

docs/measurements/0061 has the figures. Only glibc's allocator is configured; with others (musl, macOS) nothing happens
and nothing fails.
"""

import ctypes
import gc

_ARENA_MAX = -8
"""M_ARENA_MAX of mallopt(3)."""
_YOUNG, _MIDDLE, _OLD = 700, 10, 100
"""Python's own thresholds, except for the last, which is 10: collections of younger objects before a full one."""


def prepare_to_serve() -> None:
    """Prepare this process for a long lifetime with many connections, before it has threads.

    All threads allocate in one arena: only there does `release_memory` find free memory at the end, and the block of a
    hash is at the end. Full garbage collections run ten times less often: with ten thousand connections one of them is
    a pause of a fifth of a second.
    """
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    _call("mallopt", _ARENA_MAX, 1)


def release_memory() -> None:
    """Return free memory to the system. Takes a millisecond or two: not for the event loop."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    function = getattr(_LIBRARY, name, None)
    if function is not None:
        function(*arguments)


_LIBRARY = ctypes.CDLL(None)
