"""Memory that a process keeps for its next arrays instead of giving it back to the system.

Chapter: ``book/concepts/attention.ipynb``, "Look inside".
"""

import ctypes
import os
import platform
from functools import cache

KEPT = 256 << 20  # bytes of freed memory, at most
LARGE = 32 << 20  # bytes of the largest array that is not mapped by itself, and then unmapped; glibc allows no more
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # in glibc's malloc.h
SAID = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")  # environment variables


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep up to 256 MB of freed memory in this process from now on, and say whether it does.

    Memory that goes back to the system after each run of a model is asked for and cleared anew in the next one, page by
    page, which takes long on a virtual machine. It is left as it is where the C library is another, or where the
    environment says what glibc is to keep.

    >>> keep_freed_memory() in (True, False)
    True
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in SAID):
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(MMAP_THRESHOLD, LARGE) and libc.mallopt(TRIM_THRESHOLD, KEPT))
