"""How the C library's allocator is set up in processes that run for long."""

import ctypes
from typing import Final

LARGE_BLOCK_BYTES: Final = 256 * 1024
_M_MMAP_THRESHOLD: Final = -3
"""Of glibc's <malloc.h>."""


def return_large_blocks() -> None:
    """Give blocks of LARGE_BLOCK_BYTES and more back to the system as soon as they are free.

    By default glibc keeps them once the first large one has been freed (its threshold follows their size, up to 32 MB), and
    a process that has held a few large bodies stays that large. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
