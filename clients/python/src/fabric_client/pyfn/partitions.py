"""What a function receives for a partition of a data set: rows, columns or a file."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterable, Mapping
from typing import Any

from ..dataset import DatasetBase

FORMATS = ("rows", "columns", "file")

_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "colon": ":", "space": " "}
"""Names of delimiters, as the server knows them."""

_TYPES: Mapping[Any, str] = {
    str: "str",
    int: "int",
    float: "float",
    bool: "bool",
    dt.date: "date",
    dt.datetime: "datetime",
    dt.time: "time",
    decimal.Decimal: "Decimal",
}
"""Types of the columns of a CSV. The runner converts by their names."""


def batch(over: object, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the description of a partition for the runner, or None for a file. `options` are those of a map.

    Raises:
        TypeError: for options that do not fit the data set.
        ValueError: for an unknown format.
    """
    form, columns, types = (options.get(name) for name in ("batch_format", "columns", "types"))
    named = [name for name in ("batch_format", "columns", "types") if options.get(name) is not None]
    if not isinstance(over, DatasetBase):
        if named:
            raise TypeError(f"{named[0]} is for data sets: fab.dataset(path, split=…)")
        return None
    kind, _, rest = over.split.partition(":")
    if form not in (None, *FORMATS):
        raise ValueError(f"batch_format is {form!r}, and must be one of {', '.join(map(repr, FORMATS))}")
    is_table = kind in ("csv", "parquet")
    if form == "file" or not is_table:
        wrong = [name for name in named if name != "batch_format" or form != "file"]
        if wrong:
            reason = "a file" if is_table else f"the splitter {kind}"
            raise TypeError(f"{wrong[0]} does not go with {reason}: rows and columns are for csv and parquet")
        return None
    made: dict[str, Any] = {"format": form or "rows", "split": kind}
    if kind == "csv":
        delimiter = rest.partition(":")[2]
        made["delimiter"] = _DELIMITERS.get(delimiter, delimiter) or ","
    if columns is not None:
        made["columns"] = _names(columns)
    if types is not None:
        if kind == "parquet":
            raise TypeError("types is for CSV: a Parquet file has types of its own")
        if not isinstance(types, Mapping):
            raise TypeError('types must be a dict: types={"temperature": float}')
        made["types"] = [[name, _type(name, one)] for name, one in types.items()]
    return made


def _names(columns: Iterable[str]) -> list[str]:
    names = list(columns)
    if isinstance(columns, str) or not names or not all(isinstance(name, str) for name in names):
        raise TypeError('columns must be a list of names: columns=["time", "temperature"]')
    return names


def _type(name: str, given: Any) -> str:
    if isinstance(given, str) and given in _TYPES.values():
        return given
    try:
        return _TYPES[given]
    except (KeyError, TypeError):
        known = ", ".join(_TYPES.values())
        raise TypeError(f"the type of column {name} is {given!r}, and must be one of {known}") from None
