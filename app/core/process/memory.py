"""Configure the C library's allocator in long-running processes."""

import ctypes
from typing import Final

LARGE_BLOCK_BYTES: Final = 256 * 1024
_M_MMAP_THRESHOLD: Final = -3
"""Of glibc's <malloc.h>."""


def return_large_blocks() -> None:
    """Return blocks of LARGE_BLOCK_BYTES and more to the system as soon as they are free.

    By default glibc keeps them after the first large block was freed (its threshold follows their size, up to 32 MB). A
    process that has held a few large bodies then stays that large. Other C libraries are not changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
