"""A partition of a data set as a text file."""

import io

from wit_world.imports import input as task_input

READ_BYTES = 256 << 10


class _Raw(io.RawIOBase):
    """The bytes of the current part."""

    def __init__(self, name: str) -> None:
        self.name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        piece = task_input.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class Partition(io.TextIOWrapper):
    """A file of UTF-8 text. ``.buffer`` reads bytes.

    ``name`` is the object's path, ``offset`` the start of the partition in the object, in bytes, and ``size`` its size
    in bytes, or None if unknown. Line endings are not converted.
    """

    def __init__(self, part: task_input.Part) -> None:
        super().__init__(io.BufferedReader(_Raw(part.name), READ_BYTES), encoding="utf-8", newline="")
        self.offset = part.offset
        self.size = part.size


def read_all() -> bytes:
    """Reads the rest of the current part."""
    pieces = []
    while piece := task_input.read(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)
