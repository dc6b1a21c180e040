"""What things weigh: memory that stays allocated for them.

Two ways, each where it is right. `traced` asks Python's tracemalloc, which numpy reports to: exact and the same at every
run, but allocations become several times slower, and memory that a C library keeps for itself is not seen. `resident`
asks the kernel for the pages of this process, after the allocator has given back what is free (`malloc_trim`): it sees
everything, what lies unused between things in use included, and a few megabytes of noise; good for tens of megabytes.
"""

import ctypes
import gc
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Weight:
    """Bytes, as soon as the context that measures them has ended."""

    bytes: int = 0


@contextmanager
def traced() -> Iterator[Weight]:
    """Weigh what is allocated within the context and still is when it ends."""
    weight = Weight()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield weight
        gc.collect()
        weight.bytes = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@contextmanager
def resident() -> Iterator[Weight]:
    """Weigh by how much the process has grown."""
    weight = Weight()
    before = _resident_bytes()
    yield weight
    weight.bytes = _resident_bytes() - before


def _resident_bytes() -> int:
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc
        trim(0)
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the most it ever had
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
