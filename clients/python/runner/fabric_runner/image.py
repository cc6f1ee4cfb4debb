"""Prepares the memory image of new instances for fast calls.

An instance shares the image's pages until it writes to them, and each first write costs a page fault. After the
preload, free blocks of the allocator are scattered over the heap, and a short call would write to hundreds of pages.
They are therefore allocated before the image is taken, the largest first, until new memory comes from the end of the
heap, where the objects of a call are contiguous.
"""

import gc
import sys

_SIZES = [*(1 << n for n in range(20, 9, -1)), *range(504, 24, -8)]
_MOST = 200_000
"""Maximum number of blocks."""

_taken: list[bytes | None] = [None] * _MOST


def _take_free_pieces() -> None:
    header = sys.getsizeof(b"")
    # No free block is this large, so it is allocated at the end of the heap.
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
    """Finishes the image. Existing objects live as long as the instance, so the garbage collector can ignore them."""
    gc.collect()
    _take_free_pieces()
    gc.freeze()
    # A collection is rarely worth its cost, since the instance ends with its call.
    gc.set_threshold(20_000)
