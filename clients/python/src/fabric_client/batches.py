"""Results as Arrow record batches, all with the columns and types of one schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import convert
from .api.jobs import Part
from .errors import SettingError

_HINT = "name the columns and their types: schema=pyarrow.schema([…])"


class Batches:
    """Makes record batches of one schema: the given one, or that of the first result with rows."""

    def __init__(self, schema: Any = None) -> None:
        if schema is not None and not hasattr(schema, "names"):
            raise TypeError(f"schema is a {type(schema).__name__}, and must be a pyarrow.Schema: pyarrow.schema([…])")
        self.schema = schema
        self._hint = _HINT if schema is None else "change the schema, or what the function returns"

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
        found = list(dict.fromkeys(name for row in rows for name in row))
        kinds = (
            dict.fromkeys(found)
            if self.schema is None
            else dict(zip(self.schema.names, self.schema.types, strict=True))
        )
        other = [name for name in found if name not in kinds]
        if other:
            raise SettingError(f"a result has the column {other[0]!r}, which the schema has not", hint=self._hint)
        columns = []
        for name, kind in kinds.items():
            try:
                columns.append(arrow.array([row.get(name) for row in rows], type=kind))
            except (arrow.ArrowInvalid, arrow.ArrowTypeError, OverflowError) as error:
                what = "has values of several types" if kind is None else f"does not fit the schema ({kind})"
                raise SettingError(f"column {name!r} of the results {what}: {error}", hint=self._hint) from None
        names = {"names": list(kinds)} if self.schema is None else {"schema": self.schema}
        return arrow.Table.from_arrays(columns, **names)

    def _batches(self, table: Any) -> Iterator[Any]:
        arrow = convert.need("pyarrow", "arrow")
        if not table.num_rows:
            return
        if self.schema is None:
            self.schema = table.schema.remove_metadata()
        try:
            cast = table.select(self.schema.names).cast(self.schema)
        except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError, KeyError) as error:
            raise SettingError(f"a result does not fit the schema: {error}", hint=self._hint) from None
        if table.num_columns != len(self.schema.names):
            raise SettingError("a result has columns that the schema has not", hint=self._hint)
        # One batch for each result, unless a column is too large for one.
        yield from cast.combine_chunks().to_batches()


def raw(content: bytes, content_type: str | None) -> Part:
    """Returns a result as the server stores it. A `codec.Decoder`."""
    return content, content_type


def table_of(batches: Iterable[Any], schema: Any) -> Any:
    """Returns one table of record batches with this schema."""
    return convert.need("pyarrow", "arrow").Table.from_batches(batches, schema=schema)
