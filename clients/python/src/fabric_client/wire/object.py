"""Stored objects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectInfo:
    """An object in a list, or a folder if `path` ends in `/`."""

    path: str
    #: Size in bytes.
    size: int
    #: Entity tag, without quotes.
    etag: str
    modified_ms: int
