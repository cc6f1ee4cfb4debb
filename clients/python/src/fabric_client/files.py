"""Writes local files atomically."""

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
    """Opens a temporary file that replaces `path` on success and is removed on failure."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        # A temporary file is private; the result gets the usual permissions.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def write_whole(path: Path, chunks: Iterable[bytes]) -> int:
    """Writes a file atomically and returns the number of bytes written."""
    written = 0
    with _whole(path) as file:
        for chunk in chunks:
            written += file.write(chunk)
    return written


async def write_whole_async(path: Path, chunks: AsyncIterable[bytes]) -> int:
    """Writes a file like `write_whole`, without blocking the event loop."""
    written = 0
    with _whole(path) as file:
        async for chunk in chunks:
            written += await asyncio.to_thread(file.write, chunk)
    return written
