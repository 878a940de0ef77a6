"""Memory that is free in this process, given back to the system."""

from __future__ import annotations

import contextlib
import ctypes


def give_back_memory() -> None:
    """Gives back what Arrow's pool and glibc keep for the next time, which in a job's next step is not the same again.

    Of 300,000 photos that were just settled, it was 220 of 485 MB.
    """
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
