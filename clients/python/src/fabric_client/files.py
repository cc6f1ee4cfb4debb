"""Files on this side."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears at `path` when all is written, or not at all."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        # A temporary file is private; this one is to be like any other.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def write_whole(path: Path, chunks: Iterable[bytes]) -> int:
    """Writes a file that appears when it is whole, or not at all; gives the bytes written."""
    written = 0
    with _whole(path) as file:
        for chunk in chunks:
            written += file.write(chunk)
    return written


async def write_whole_async(path: Path, chunks: AsyncIterable[bytes]) -> int:
    """The same without blocking the event loop while the disk is slow."""
    written = 0
    with _whole(path) as file:
        async for chunk in chunks:
            written += await asyncio.to_thread(file.write, chunk)
    return written
