"""A Parquet file: its footer and its columns."""

import itertools
import struct
from collections.abc import Iterable
from typing import Any

from . import logical, nested, pages
from .encodings import Values
from .schema import Field, fields
from .thrift import read_struct

_MAGIC = b"PAR1"


class File:
    """The columns of a Parquet file that is in memory.

    Raises:
        ValueError: if the bytes are not a Parquet file.
    """

    def __init__(self, data: bytes) -> None:
        if data[-4:] == b"PARE":
            raise ValueError("the Parquet file is encrypted")
        if len(data) < 12 or data[:4] != _MAGIC or data[-4:] != _MAGIC:
            raise ValueError("this is not a Parquet file")
        self._data = data
        start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        if start < 4:
            raise ValueError("the footer of the Parquet file is larger than the file")
        self._meta = _whole(lambda: read_struct(data, start)[0])
        found: list[Field] = _whole(lambda: fields(self._meta[2]))
        self._fields = {field.name: field for field in found}
        if len(self._fields) != len(found):
            names = sorted(field.name for field in found)
            twice = next(name for name, after in itertools.pairwise(names) if name == after)
            raise ValueError(f'the Parquet file has two columns {twice!r}: use batch_format="file"')

    @property
    def names(self) -> list[str]:
        """Names of the top-level columns."""
        return list(self._fields)

    def columns(self, names: Iterable[str]) -> dict[str, Values]:
        """Returns columns by name: an `array.array` of numbers if none is missing, else a list with None for missing
        values.

        Raises:
            ValueError: if the file is damaged or uses a part of the format that is not supported.
        """
        return _whole(lambda: {name: self._column(self._fields[name]) for name in names})

    def _column(self, field: Field) -> Values:
        leaves = list(field.leaves())
        first = self._first_leaf(field)
        parts: list[Values] = []
        for group in self._meta[4]:
            metas = [chunk[3] for chunk in group[1][first : first + len(leaves)]]
            columns = [pages.read(self._data, meta, leaf) for meta, leaf in zip(metas, leaves, strict=True)]
            made = [
                logical.values(column.values, meta[1], leaf)
                for column, meta, leaf in zip(columns, metas, leaves, strict=True)
            ]
            if nested.is_nested(field):
                cursors = {
                    id(leaf): nested.Cursor(column.repetitions, column.definitions, values, leaf.definition)
                    for column, values, leaf in zip(columns, made, leaves, strict=True)
                }
                parts.append(nested.records(field, cursors, group[3]))
            else:
                parts.append(logical.with_missing(made[0], columns[0].definitions, field))
        return pages.joined(parts) if parts else []

    def _first_leaf(self, field: Field) -> int:
        """Returns the number of the field's first column among all columns."""
        number = 0
        for other in self._fields.values():
            if other is field:
                break
            number += sum(1 for _ in other.leaves())
        return number


def _whole(read: Any) -> Any:
    """Runs `read`. What damaged bytes raise becomes a ValueError."""
    try:
        return read()
    except (IndexError, KeyError, StopIteration, TypeError, struct.error, OverflowError, ZeroDivisionError) as error:
        raise ValueError(f"the Parquet file is damaged ({type(error).__name__}: {error})") from error
