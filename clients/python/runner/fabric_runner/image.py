"""Makes the memory image that instances start from cheap to run on.

An instance shares the image's pages until it writes to one; each first write costs a page fault. After the preload
the allocator's free pieces lie scattered over the heap, and a short call would write to hundreds of pages. So they are
taken before the image is made, the largest first, until memory comes from the heap's end: there a call's objects come
to lie side by side.
"""

import gc
import sys

_SIZES = [*(1 << n for n in range(20, 9, -1)), *range(504, 24, -8)]
_MOST = 200_000
"""Pieces at most."""

_taken: list[bytes | None] = [None] * _MOST


def _take_free_pieces() -> None:
    header = sys.getsizeof(b"")
    # The allocator takes it from the end: no hole is as large.
    end = id(bytes(8 << 20))
    count = 0
    for size in _SIZES:
        while count < _MOST:
            piece = bytes(size - header - 8)
            _taken[count] = piece
            count += 1
            if id(piece) >= end:
                break


def settle() -> None:
    """Called once, last. What is here then lives as long as the instance: the collector need not look at it."""
    gc.collect()
    _take_free_pieces()
    gc.freeze()
    # A call's own garbage is rarely worth a collection: its instance ends with it.
    gc.set_threshold(20_000)
