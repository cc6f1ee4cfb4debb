"""Stored objects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectInfo:
    """An object in a list; a folder where `path` ends in `/`."""

    path: str
    #: Bytes.
    size: int
    #: Entity tag, without quotes.
    etag: str
    modified_ms: int
