"""Results as Arrow record batches, all with the columns and types of one schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import convert
from .api.jobs import Part
from .errors import SettingError

_HINT = "name the columns and their types: schema=pyarrow.schema([…])"
_OTHER = "the schema is that of the first result, or the given one; see schema="


class Batches:
    """Makes record batches of one schema: the given one, or that of the first result with rows."""

    def __init__(self, schema: Any = None) -> None:
        if schema is not None and not hasattr(schema, "names"):
            raise TypeError(f"schema is a {type(schema).__name__}, and must be a pyarrow.Schema: pyarrow.schema([…])")
        self.schema = schema

    def of_part(self, part: Part) -> Iterator[Any]:
        """Yields the batches of a result as the server stores it."""
        yield from self._batches(convert.to_arrow([part]))

    def of_values(self, values: Iterable[Any]) -> Iterator[Any]:
        """Yields the batches of Python values: see `PyJob.to_pandas`."""
        rows = list(convert.value_rows(values))
        if rows:
            yield from self._batches(self.table(rows))

    def table(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Returns a table of rows.

        Raises:
            SettingError: for rows that do not have the columns and types of the schema.
        """
        arrow = convert.need("pyarrow", "arrow")
        if self.schema is not None:
            other = sorted({name for row in rows for name in row} - set(self.schema.names))
            if other:
                raise SettingError(f"a result has the column {other[0]!r}, which the schema has not", hint=_OTHER)
        names = (
            self.schema.names if self.schema is not None else list(dict.fromkeys(name for row in rows for name in row))
        )
        columns = []
        for at, name in enumerate(names):
            kind = None if self.schema is None else self.schema.types[at]
            try:
                columns.append(arrow.array([row.get(name) for row in rows], type=kind))
            except (arrow.ArrowInvalid, arrow.ArrowTypeError, OverflowError) as error:
                what = "has values of several types" if kind is None else f"does not fit the schema ({kind})"
                hint = _HINT if kind is None else _OTHER
                raise SettingError(f"column {name!r} of the results {what}: {error}", hint=hint) from None
        return (
            arrow.Table.from_arrays(columns, schema=self.schema)
            if self.schema is not None
            else arrow.table(columns, names=names)
        )

    def _batches(self, table: Any) -> Iterator[Any]:
        arrow = convert.need("pyarrow", "arrow")
        if not table.num_rows:
            return
        if self.schema is None:
            self.schema = table.schema.remove_metadata()
        try:
            cast = table.select(self.schema.names).cast(self.schema)
        except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError, KeyError) as error:
            raise SettingError(f"a result does not fit the schema: {error}", hint=_OTHER) from None
        if table.num_columns != len(self.schema.names):
            raise SettingError("a result has columns that the schema has not", hint=_OTHER)
        # One batch for each result, unless a column is too large for one.
        yield from cast.combine_chunks().to_batches()


def raw(content: bytes, content_type: str | None) -> Part:
    """Returns a result as the server stores it. A `codec.Decoder`."""
    return content, content_type


def table_of(batches: Iterable[Any], schema: Any) -> Any:
    """Returns one table of record batches with this schema."""
    return convert.need("pyarrow", "arrow").Table.from_batches(batches, schema=schema)
