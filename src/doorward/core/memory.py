"""The memory of this process: looked through less often, and given back. measurements/0061 has the figures.

What is asked of glibc's allocator is asked of no other one (musl, macOS): there it stays undone, and nothing fails.
"""

import ctypes
import gc

_ARENA_MAX = -8
"""M_ARENA_MAX of mallopt(3)."""
_YOUNG, _MIDDLE, _OLD = 700, 10, 100
"""Python's own thresholds, but for the last, which is 10: how many collections come before one of everything."""


def prepare_to_serve() -> None:
    """Set this process up for a long life with many connections, before it has threads.

    All threads allocate in one place: only there does `give_back` find what lies at the end, and the block of a hash
    lies at the end. And Python looks for cycles among everything ten times less often: ten thousand connections make
    that a stop of a fifth of a second, again and again while they come.
    """
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    _call("mallopt", _ARENA_MAX, 1)


def release_memory() -> None:
    """Give memory that is allocated and not used back to the system. Takes a millisecond or two: not for the loop."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    function = getattr(_LIBRARY, name, None)
    if function is not None:
        function(*arguments)


_LIBRARY = ctypes.CDLL(None)
