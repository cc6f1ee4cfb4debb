"""Many calls as few tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from .errors import NotShippable

TASKS = 64
"""Tasks that a map aims at: enough for some machines to share, few enough that starting them costs little."""
MAX_CHUNK = 1000
"""Items of a task at most, where the user does not say."""
CHUNK_BYTES = 256 << 10
"""Bytes of a task's items, beyond which the next task begins."""
INLINE_BYTES = 4 << 20
"""Items of more bytes than this are stored as an object first; a job takes 16 MiB in one request."""


def size_of(count: int, asked: int | None) -> int:
    """How many items one task gets. It depends on their number alone, so the same map gives the same tasks.

    Raises:
        ValueError: for a size below 1.
    """
    if asked is not None:
        if asked < 1:
            raise ValueError(f"chunksize is {asked}; give 1 or more")
        return asked
    return min(MAX_CHUNK, -(-count // TASKS))


def chunks(items: list[str], asked: int | None) -> Iterator[list[str]]:
    """The items of each task."""
    size = size_of(len(items), asked)
    chunk: list[str] = []
    held = 0
    for item in items:
        if chunk and (len(chunk) == size or (asked is None and held + len(item) > CHUNK_BYTES)):
            yield chunk
            chunk, held = [], 0
        chunk.append(item)
        held += len(item)
    if chunk:
        yield chunk


def stored(lines: list[str]) -> tuple[str, bytes]:
    """Where items that are too many for a request are stored, a chunk on a line: under the hash of the bytes."""
    content = "".join(f"{line}\n" for line in lines).encode("ascii")
    return f"python-items/{hashlib.sha256(content).hexdigest()}.jsonl", content


def check_bundle(bundle: str) -> None:
    """Refuses a bundle that a job can't carry.

    Raises:
        NotShippable: with its size.
    """
    if len(bundle) > 12 << 20:
        raise NotShippable(
            f"the function with its packages and constants takes {len(bundle):,} bytes",
            "give what is large as an argument, or store it and map over it",
        )
