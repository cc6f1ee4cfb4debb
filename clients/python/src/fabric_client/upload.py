"""Request bodies that are streamed in chunks. Whole objects are not held in memory."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

#: Size of the chunks in which a file is read, in bytes.
CHUNK_BYTES = 256 << 10

#: The content of a body: bytes, a string (as UTF-8), the path of a file, an open binary file, or chunks of bytes.
Source = bytes | bytearray | memoryview | str | Path | IO[bytes] | Iterable[bytes]


class Upload:
    """A body that is read while it is sent. `length` is in bytes, None if unknown."""

    def __init__(self, chunks: Callable[[], Iterator[bytes]], length: int | None, *, again: bool) -> None:
        self.chunks = chunks
        self.length = length
        #: True if `chunks` can be called more than once.
        self.again = again


def body(source: Source) -> bytes | Upload:
    """Converts a user's value to the body of a request.

    A `Path` stands for its file. A `str` is content, never a file name.

    Raises:
        TypeError: for a text file or any other value without bytes.
        OSError: for a folder, or a file that cannot be opened.
    """
    if isinstance(source, str):
        return source.encode()
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, Path):
        return _file(source)
    if isinstance(source, io.TextIOBase):
        raise TypeError("the file is opened as text, not bytes: open it with mode 'rb'")
    read = getattr(source, "read", None)
    if read is not None:
        return Upload(lambda: _read(read), _rest(source), again=False)
    if isinstance(source, Iterable):
        return Upload(lambda: _checked(source), None, again=False)
    raise TypeError(f"cannot send a {type(source).__name__}: pass bytes, str, a Path, a binary file or chunks of bytes")


def _file(path: Path) -> Upload:
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; Dataset.from_files stores folders")
    length = path.stat().st_size if path.is_file() else None

    def chunks() -> Iterator[bytes]:
        left = length
        with path.open("rb") as file:
            # A file that grows meanwhile is sent up to its initial length, which the headers declare.
            while left is None or left > 0:
                chunk = file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
                if not chunk:
                    break
                left = None if left is None else left - len(chunk)
                yield chunk

    return Upload(chunks, length, again=path.is_file())


def _read(read: Callable[[int], object]) -> Iterator[bytes]:
    while chunk := read(CHUNK_BYTES):
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise TypeError("the file is opened as text, not bytes: open it with mode 'rb'")
        yield bytes(chunk)


def _checked(source: Iterable[object]) -> Iterator[bytes]:
    for chunk in source:
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise TypeError(f"chunks of a body must be bytes, not {type(chunk).__name__}")
        if chunk:
            yield bytes(chunk)


def _rest(file: object) -> int | None:
    """Returns the number of bytes left in a regular file, or None."""
    try:
        descriptor = file.fileno()  # type: ignore[attr-defined]
        at = file.tell()  # type: ignore[attr-defined]
        import stat as kinds

        about = os.fstat(descriptor)
    except (AttributeError, OSError, ValueError):
        return None
    return about.st_size - at if kinds.S_ISREG(about.st_mode) and at <= about.st_size else None
