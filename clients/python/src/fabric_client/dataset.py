"""Data sets: stored objects under a prefix (or one object) and how they are split into partitions."""

from __future__ import annotations

from .errors import SettingError

#: How objects are split: see `DatasetBase.split`.
SPLITS = "object, lines[:SIZE], records:N[:SIZE], csv[:SIZE], parquet or items"


class DatasetBase:
    """What the two twins share."""

    def __init__(self, path: str, split: str) -> None:
        if not path or path.startswith("/"):
            raise SettingError(f"{path!r} is not a path", hint="write it like folder/ or folder/name, no leading /")
        if split.partition(":")[0] not in ("object", "lines", "records", "csv", "parquet", "items"):
            raise SettingError(f"{split!r} is not a splitter", hint=f"use {SPLITS}")
        #: An object's path, or a prefix ending in `/`.
        self.path = path
        #: How each object is split: `object`, `lines:SIZE`, `records:N[:SIZE]`, `csv:SIZE`, `parquet` or `items`.
        self.split = split

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r} split {self.split}>"
