"""glibc's allocator, asked to give memory back. Of another one (musl, macOS) nothing is asked, and nothing fails."""

import ctypes

_ARENA_MAX = -8
"""M_ARENA_MAX of mallopt(3)."""


def use_one_arena() -> None:
    """Keep what all threads allocate in one place, for the life of the process; to be called before there are threads.

    Only there does `give_back` find what lies at the end, and the block of a hash lies at the end.
    """
    _call("mallopt", _ARENA_MAX, 1)


def give_back() -> None:
    """Give memory that is allocated and not used back to the system. Takes a millisecond or two: not for the loop."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    function = getattr(_LIBRARY, name, None)
    if function is not None:
        function(*arguments)


_LIBRARY = ctypes.CDLL(None)
