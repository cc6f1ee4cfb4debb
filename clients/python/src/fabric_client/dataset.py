"""`Dataset`: stored objects under a prefix, or one object, and how they are split into partitions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from . import convert
from .api import objects
from .errors import SettingError
from .upload import Source
from .wire.object import ObjectInfo

if TYPE_CHECKING:
    from .aio import AsyncFabric
    from .fabric import Fabric

D = TypeVar("D", bound="DatasetBase")

_SIZE = "(?=[0-9.]*[1-9])[0-9.]+ *[A-Za-z]*"
_SPLIT = re.compile(
    f"object|parquet|items|lines(:{_SIZE})?|records:[0-9]+(:{_SIZE})?"
    f"|csv(:{_SIZE}(:(comma|semicolon|tab|pipe|colon|space|[^A-Za-z0-9\\s]|))?)?"
)
_SPLITS = "use object, lines[:SIZE], records:N[:SIZE], csv[:SIZE[:DELIMITER]], parquet or items"


class DatasetBase:
    """The base of the sync and the async class. Makes no requests."""

    def __init__(self, path: str, split: str) -> None:
        if not path or path.startswith("/"):
            raise SettingError(f"{path!r} is not a path", hint="use folder/ or folder/name, without a leading /")
        if not _SPLIT.fullmatch(split):
            raise SettingError(f"{split!r} is not a splitter", hint=_SPLITS)
        #: An object's path, or a prefix ending in `/`.
        self.path = path
        #: The splitter, which divides each object into partitions:
        #:
        #: - `object`: a partition is an object;
        #: - `lines:SIZE`: about SIZE bytes that end after a line feed; SIZE is `8MiB` by default, here and below;
        #: - `records:N:SIZE`: records of N bytes, about SIZE bytes together;
        #: - `csv:SIZE` or `csv:SIZE:DELIMITER`: about SIZE bytes of rows, with the header row before them; the
        #:   delimiter is a comma by default, or `semicolon`, `tab`, `pipe` or a punctuation character;
        #: - `parquet`: a non-empty row group;
        #: - `items`: a line, as one item.
        self.split = split

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r} split {self.split}>"

    def _repr_html_(self) -> str:
        from .notebook.html import dataset_card

        return dataset_card(self.path, self.split)

    def _member(self, name: str) -> str:
        if not self.path.endswith("/"):
            raise SettingError(f"{self.path!r} is one object, not a prefix", hint=f"add a slash: {self.path}/")
        return self.path + name


def local_files(files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Iterator[tuple[str, Path]]:
    """Yields the files to store with their names below the prefix: all files in a folder, or single files.

    Raises:
        FileNotFoundError: if a path does not exist.
        SettingError: if two files would have the same name.
    """
    given = [files] if isinstance(files, str | os.PathLike) else list(files)
    named: dict[str, Path] = {}
    for name, path in _named(map(Path, given)):
        if named.setdefault(name, path) != path:
            raise SettingError(
                f"{named[name]} and {path} would both be stored as {name}",
                hint="pass their parent folder, or store each under its own name with Dataset.put",
            )
    yield from named.items()


def _named(paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    for path in paths:
        if path.is_dir():
            # Symbolic links are skipped: they may lead to files that the user did not name.
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
            yield from ((p.relative_to(path).as_posix(), p) for p in inside)
        elif path.is_file():
            yield path.name, path
        else:
            raise FileNotFoundError(f"{path} does not exist")


class Dataset(DatasetBase):
    """Stored objects and their splitter, as input of `Function.map`. Created by `Fabric.dataset` or from data."""

    def __init__(self, fabric: Fabric, path: str, split: str = "object") -> None:
        super().__init__(path, split)
        self._fabric = fabric

    def splitting(self, split: str) -> Dataset:
        """Returns the same objects with another splitter. Makes no request."""
        return Dataset(self._fabric, self.path, split)

    def files(self, limit: int = 1000) -> list[ObjectInfo]:
        """Lists the stored objects, by path."""
        return self._fabric._io.run(objects.members(self._fabric.policy, self.path, limit))

    def put(self, name: str, source: Source, *, content_type: str | None = None) -> ObjectInfo:
        """Stores an object under the prefix, streamed: bytes, text, the `Path` of a file, an open file or chunks."""
        return self._fabric.put(self._member(name), source, content_type=content_type)

    @classmethod
    def from_files(
        cls,
        fabric: Fabric,
        prefix: str,
        files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        split: str = "object",
    ) -> Dataset:
        """Stores local files under a prefix, streamed: all files in a folder, one file, or several files.

        Args:
            fabric: The server.
            prefix: A prefix ending in `/`.
            files: Paths.
            split: The splitter of each object.

        Raises:
            FileNotFoundError: if a path does not exist; nothing is stored then.
            SettingError: if two files would have the same name; nothing is stored then.
        """
        made = cls(fabric, prefix, split)
        for name, path in local_files(files):
            made.put(name, path)
        return made

    @classmethod
    def from_items(cls, fabric: Fabric, path: str, items: Iterable[object]) -> Dataset:
        """Stores items, one per line, for lists that are too large for one request. A text item must be one line."""
        fabric.put(path, convert.item_lines(items))
        return cls(fabric, path, "items")

    @classmethod
    def from_pandas(cls, fabric: Fabric, path: str, frame: Any, split: str | None = None) -> Dataset:
        """Stores a DataFrame in the format of the path's extension: `.csv` (split `csv`) or `.parquet` (`parquet`,
        needs pyarrow). An index with a name is stored as columns, another one is not stored.
        """
        with convert.frame_source(path, frame) as (source, fits):
            fabric.put(path, source)
        return cls(fabric, path, split or fits)

    @classmethod
    def from_numpy(cls, fabric: Fabric, path: str, array: Any, split: str | None = None) -> Dataset:
        """Stores the elements of an array, little-endian, in row order, without a header. The splitter is `records`,
        and a record is one element of the first axis. The guest must know the dtype.
        """
        source, fits = convert.array_source(array)
        fabric.put(path, source)
        return cls(fabric, path, split or fits)


class AsyncDataset(DatasetBase):
    """The async version of `Dataset`."""

    def __init__(self, fabric: AsyncFabric, path: str, split: str = "object") -> None:
        super().__init__(path, split)
        self._fabric = fabric

    def splitting(self, split: str) -> AsyncDataset:
        """See `Dataset.splitting`."""
        return AsyncDataset(self._fabric, self.path, split)

    async def files(self, limit: int = 1000) -> list[ObjectInfo]:
        """See `Dataset.files`."""
        return await self._fabric._io.run(objects.members(self._fabric.policy, self.path, limit))

    async def put(self, name: str, source: Source, *, content_type: str | None = None) -> ObjectInfo:
        """See `Dataset.put`."""
        return await self._fabric.put(self._member(name), source, content_type=content_type)

    @classmethod
    async def from_files(
        cls,
        fabric: AsyncFabric,
        prefix: str,
        files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        split: str = "object",
    ) -> AsyncDataset:
        """See `Dataset.from_files`."""
        made = cls(fabric, prefix, split)
        for name, path in local_files(files):
            await made.put(name, path)
        return made

    @classmethod
    async def from_items(cls, fabric: AsyncFabric, path: str, items: Iterable[object]) -> AsyncDataset:
        """See `Dataset.from_items`."""
        await fabric.put(path, convert.item_lines(items))
        return cls(fabric, path, "items")

    @classmethod
    async def from_pandas(cls, fabric: AsyncFabric, path: str, frame: Any, split: str | None = None) -> AsyncDataset:
        """See `Dataset.from_pandas`."""
        with convert.frame_source(path, frame) as (source, fits):
            await fabric.put(path, source)
        return cls(fabric, path, split or fits)

    @classmethod
    async def from_numpy(cls, fabric: AsyncFabric, path: str, array: Any, split: str | None = None) -> AsyncDataset:
        """See `Dataset.from_numpy`."""
        source, fits = convert.array_source(array)
        await fabric.put(path, source)
        return cls(fabric, path, split or fits)
