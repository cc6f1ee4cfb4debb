"""Groups the items of a map into tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from .errors import NotShippable

TASKS = 64
"""Target number of tasks of a map: enough to spread over several machines, with little start-up cost."""
MAX_CHUNK = 1000
"""Default maximum number of items in a task."""
CHUNK_BYTES = 256 << 10
"""Maximum size of the items of a task, in bytes, unless the user sets a chunk size."""
INLINE_BYTES = 4 << 20
"""Items larger than this, in bytes, are stored as an object first, since a job request may have at most 16 MiB."""


def size_of(count: int, asked: int | None) -> int:
    """Returns the number of items per task. Depends only on `count`, so that the same map has the same tasks.

    Raises:
        ValueError: if `asked` is below 1.
    """
    if asked is not None:
        if asked < 1:
            raise ValueError(f"chunksize is {asked}, and must be 1 or more")
        return asked
    return min(MAX_CHUNK, -(-count // TASKS))


def chunks(items: list[str], asked: int | None) -> Iterator[list[str]]:
    """Yields the items of each task."""
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


def texts(chunks: Iterable[list[str]]) -> list[str]:
    """Returns the JSON of each task's item. The same items again are marked, so that they do not share a result: they
    have random numbers of their own."""
    seen: dict[str, int] = {}
    found = []
    for chunk in chunks:
        text = f"[{','.join(chunk)}]"
        again = seen.get(text, 0)
        seen[text] = again + 1
        found.append(f'{{"again":{again},"values":{text}}}' if again else text)
    return found


def stored(lines: list[str]) -> tuple[str, bytes]:
    """Returns the path, named by hash, and the content of an object with one chunk per line."""
    content = "".join(f"{line}\n" for line in lines).encode("ascii")
    return f"python-items/{hashlib.sha256(content).hexdigest()}.jsonl", content


def check_bundle(bundle: str) -> None:
    """Rejects a bundle that is too large for a job.

    Raises:
        NotShippable: with its size.
    """
    if len(bundle) > 12 << 20:
        raise NotShippable(
            f"the function with its packages and constants has {len(bundle):,} bytes",
            "pass large values as arguments, or store them and map over them",
        )
