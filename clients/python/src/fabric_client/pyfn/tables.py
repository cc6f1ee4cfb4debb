"""Encodes values of numpy, pandas and pyarrow. The sandbox has none of these, so they become standard values there:

- a number of numpy is an int, float, complex or bool, and a `Timestamp`, `Timedelta` or date is that of `datetime`;
- an array of numbers is an `array.array`, one of more dimensions a list of them, and any other array a list;
- a `Series` or `Index` is the same as its array, with None for missing values;
- a `DataFrame` or an Arrow table is a list of dicts, one for each row, with None for missing values.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import sys
from collections.abc import Callable
from typing import Any

from .. import convert
from .errors import NotShippable

_TYPE_CODES = {
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
    "f4": "f",
    "f8": "d",
}
"""Type codes of `array.array` for numpy's types."""

_KINDS = {
    "numpy": {"ndarray", "generic"},
    "pandas": {"DataFrame", "Series", "Index", "Timestamp", "Timedelta", "NaTType", "NAType"},
    "pyarrow": {"Table", "RecordBatch", "ChunkedArray"},
}


NO_RULE = object()
"""The result of `json` for any other value. It is not None, because a missing value is null."""


def has_rule(cls: type) -> bool:
    """Returns True for a class whose values `json` encodes."""
    top = cls.__module__.partition(".")[0]
    kinds = _KINDS.get(top)
    if kinds is None:
        return False
    is_part = top == "pyarrow" and cls.__name__.endswith(("Array", "Scalar"))
    return is_part or any(base.__name__ in kinds for base in cls.__mro__)


def is_table(value: Any) -> bool:
    """Returns True for a DataFrame of pandas and a table of Arrow, whose iteration does not yield rows."""
    return has_rule(type(value)) and type(value).__name__ in ("DataFrame", "Table", "RecordBatch")


def json(value: Any, encode: Callable[[Any], Any]) -> Any:
    """Returns the JSON of a value of these packages, or `NO_RULE`. `encode` encodes standard values.

    Raises:
        NotShippable: for a type that has no standard counterpart.
    """
    top = type(value).__module__.partition(".")[0]
    # A package whose values exist is loaded.
    module = sys.modules.get(top)
    rule = {"numpy": _numpy, "pandas": _pandas, "pyarrow": _arrow}.get(top)
    return NO_RULE if rule is None or module is None else rule(module, value, encode)


def _numpy(numpy: Any, value: Any, encode: Callable[[Any], Any]) -> Any:
    if isinstance(value, numpy.generic):
        plain = value.item()
        if isinstance(plain, numpy.generic) or (isinstance(plain, int) and value.dtype.kind in "mM"):
            raise NotShippable(f"a {value.dtype} cannot be sent", "use microseconds or a coarser unit")
        return encode(plain)
    if isinstance(value, numpy.ndarray):
        return _array(numpy, value, encode)
    return NO_RULE


def _array(numpy: Any, value: Any, encode: Callable[[Any], Any]) -> Any:
    if value.dtype.names is not None:
        raise NotShippable("a structured array cannot be sent", "send one array for each field")
    if value.ndim == 0:
        return encode(value.item())
    if value.ndim > 1:
        return [_array(numpy, part, encode) for part in value]
    code = _TYPE_CODES.get(f"{value.dtype.kind}{value.dtype.itemsize}")
    if code is None:
        return encode(value.tolist())
    little = numpy.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    return {"$array": [code, base64.b64encode(little.tobytes()).decode("ascii")]}


def _pandas(pandas: Any, value: Any, encode: Callable[[Any], Any]) -> Any:
    if value is pandas.NaT or value is pandas.NA:
        return None
    if isinstance(value, pandas.Timestamp):
        return encode(_fixed(value.to_pydatetime(warn=False)))
    if isinstance(value, pandas.Timedelta):
        return encode(value.to_pytimedelta())
    if isinstance(value, pandas.DataFrame):
        value = convert.with_index(value)
        columns = [str(column) for column in value.columns]
        return {"$records": [columns, [_column(pandas, value.iloc[:, at], encode) for at in range(len(columns))]]}
    if isinstance(value, pandas.Series | pandas.Index):
        return _column(pandas, value, encode)
    return NO_RULE


def _column(pandas: Any, value: Any, encode: Callable[[Any], Any]) -> Any:
    numpy = sys.modules["numpy"]
    if isinstance(value.dtype, numpy.dtype) and value.dtype.kind in "iuf" and not value.hasnans:
        return _array(numpy, value.to_numpy(), encode)
    return encode([_cell(pandas, cell) for cell in value.tolist()])


def _cell(pandas: Any, cell: Any) -> Any:
    if cell is None or cell is pandas.NaT or cell is pandas.NA or (isinstance(cell, float) and math.isnan(cell)):
        return None
    return _fixed(cell.to_pydatetime(warn=False)) if isinstance(cell, pandas.Timestamp) else cell


def _fixed(value: Any) -> Any:
    """Returns a datetime with a fixed offset, since the sandbox has no time zone data."""
    offset = value.utcoffset()
    return value if offset is None else value.replace(tzinfo=dt.timezone(offset))


def _arrow(pyarrow: Any, value: Any, encode: Callable[[Any], Any]) -> Any:
    if isinstance(value, pyarrow.Table | pyarrow.RecordBatch):
        columns = list(value.schema.names)
        return {"$records": [columns, [encode(value.column(at).to_pylist()) for at in range(len(columns))]]}
    if isinstance(value, pyarrow.Array | pyarrow.ChunkedArray):
        return encode(value.to_pylist())
    if isinstance(value, pyarrow.Scalar):
        return encode(value.as_py())
    return NO_RULE
