"""Page-aligned buffers for direct reads and writes, used again and again.

Warm on purpose: a fresh one costs a page fault for every 4 KiB of it.
"""

from __future__ import annotations

import mmap

from pydfsnode import limits

UNIT_BYTES = limits.MIB
"""One direct read or write; a multiple of every disk's block."""
_POOL_MAX = 64
_pool: list[mmap.mmap] = []


def take_unit() -> mmap.mmap:
    """A buffer of UNIT_BYTES, with whatever it held before; from any thread."""
    try:
        return _pool.pop()
    except IndexError:
        return mmap.mmap(-1, UNIT_BYTES)


def give_unit(unit: mmap.mmap) -> None:
    """*unit* is not used any more; nothing may refer to it."""
    if len(_pool) < _POOL_MAX:
        _pool.append(unit)
