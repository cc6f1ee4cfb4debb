"""A partition of a CSV or Parquet data set as rows or columns.

The job's parameters describe it as ``batch``, an object with ``format`` (``rows`` or ``columns``), ``split`` (``csv``
or ``parquet``), and optionally ``delimiter``, ``columns`` (the names to read) and ``types`` (``[name, type]`` pairs for
the columns of a CSV).
"""

import array
import csv
import datetime as dt
import decimal
import io
from collections.abc import Callable, Iterator
from typing import Any

from .parquet import File

Columns = dict[str, Any]

_MISSING = frozenset(
    "|#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan|null".split("|")
)
"""Texts of missing values in a column with a type: those of `pandas.read_csv`."""

_FIELD_BYTES = 2**31 - 1
"""Maximum length of a field of a CSV: the largest that the csv module accepts."""


def _bool(text: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    return known[text.strip().lower()]


_TYPES: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": _bool,
    "date": lambda text: dt.date.fromisoformat(text.strip()),
    "datetime": lambda text: dt.datetime.fromisoformat(text.strip()),
    "time": lambda text: dt.time.fromisoformat(text.strip()),
    "Decimal": decimal.Decimal,
}


_END = "\ue000end"
"""A row after the last one. It is not found if a quote is open there."""


def read(name: str, offset: int, data: bytes, batch: dict[str, Any]) -> Columns | list[dict[str, Any]]:
    """Returns the rows or columns of a partition, which begins at byte `offset` of the object `name`.

    Raises:
        ValueError: for a column that does not exist, and for a row or value that cannot be read.
    """
    try:
        columns = _parquet(data, batch) if batch["split"] == "parquet" else _csv(data, batch)
    except ValueError as error:
        raise ValueError(f"{name}, the partition from byte {offset}: {error}") from None
    if batch["format"] == "columns":
        return columns
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _chosen(known: list[str], batch: dict[str, Any]) -> list[str]:
    """Returns the names of the columns to read."""
    wanted: list[str] = batch.get("columns") or known
    for name in [*wanted, *(name for name, _ in batch.get("types", ()))]:
        if name not in known:
            raise ValueError(f"no column {name!r}: the columns are {', '.join(known)}")
    return wanted


def _parquet(data: bytes, batch: dict[str, Any]) -> Columns:
    file = File(data)
    return file.columns(_chosen(file.names, batch))


def _csv(data: bytes, batch: dict[str, Any]) -> Columns:
    csv.field_size_limit(_FIELD_BYTES)
    text = io.StringIO(f"{_text(data)}\n{_END}\n", newline="")
    # An empty line is no row, as for the splitter.
    lines = (row for row in csv.reader(text, delimiter=batch.get("delimiter", ",")) if row)
    names = next(lines, [])
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ValueError(f'the CSV has two columns {name!r}: use batch_format="file" and read it with csv.reader')
    chosen = _chosen(names, batch)
    rows = list(_checked(lines, len(names)))
    if not rows or rows.pop() != [_END]:
        raise ValueError('a quote is not closed; use batch_format="file" to read it in another way')
    if not rows:
        return {name: [] for name in chosen}
    texts = dict(zip(names, zip(*rows, strict=True), strict=True))
    types = dict(batch.get("types", ()))
    return {name: _typed(name, list(texts[name]), types.get(name)) for name in chosen}


def _text(data: bytes) -> str:
    try:
        # A byte order mark belongs to no field.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the CSV is not UTF-8 ({error.reason} at byte {error.start} of the partition): store it as UTF-8, or use "
            'batch_format="file" and decode what `.buffer` reads'
        ) from None


def _checked(lines: Iterator[list[str]], width: int) -> Iterator[list[str]]:
    for number, row in enumerate(lines, 1):
        if len(row) != width and _END not in row[-1]:
            raise ValueError(
                f"row {number} of the partition has {len(row)} fields and the header {width}: {row!r:.200}; "
                'use batch_format="file" to read it in another way'
            )
        yield row


def _typed(name: str, texts: list[str], kind: str | None) -> Any:
    """Returns the values of a column: texts without a type, else numbers as an array if none is missing, or a list with
    None."""
    if kind is None:
        return texts
    make = _TYPES[kind]
    values: list[Any] = []
    for number, text in enumerate(texts, 1):
        if text in _MISSING:
            values.append(None)
            continue
        try:
            values.append(make(text))
        except (ValueError, KeyError, decimal.InvalidOperation):
            raise ValueError(
                f"column {name!r} has {text!r:.100} in row {number} of the partition, which is not of the type {kind}"
            ) from None
    if kind == "float" and None not in values:
        return array.array("d", values)
    if kind == "int" and None not in values and all(-(1 << 63) <= value < 1 << 63 for value in values):
        return array.array("q", values)
    return values
