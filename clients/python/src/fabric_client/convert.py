"""Conversions from and to pandas, Arrow and NumPy. Each package is imported by the functions that need it.

Results are read as data: nothing in them is executed or unpickled.
"""

from __future__ import annotations

import array
import dataclasses
import importlib
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .api.jobs import Part
from .codec import decode
from .errors import SettingError
from .request import to_json

#: Rows of a frame that are converted to CSV at once.
_ROWS = 20_000
#: Rows of a Parquet row group, which is one partition.
_GROUP_ROWS = 128_000
#: Approximate size of an uploaded chunk, in bytes.
_CHUNK = 1 << 20

_PARQUET = ("application/vnd.apache.parquet", "application/x-parquet")
_ARROW = ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file")


def need(module: str, extra: str) -> Any:
    """Returns an optional module.

    Raises:
        ImportError: with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as e:
        name = module.partition(".")[0]
        raise ImportError(f"this needs {name}: pip install 'fabric-client[{extra}]'") from e


def item_lines(items: Iterable[object]) -> Iterator[bytes]:
    """Yields items as the splitter `items` reads them: one per line, text unchanged, any other value as JSON.

    Raises:
        ValueError: for a text with several lines.
    """
    some, size = [], 0
    for item in items:
        if isinstance(item, str | bytes):
            line = item.encode() if isinstance(item, str) else item
            if b"\n" in line or b"\r" in line:
                raise ValueError("a text item must be one line; wrap it in a JSON value, such as a list of one string")
        else:
            line = to_json(item)
        some.append(line + b"\n")
        size += len(line)
        if size > _CHUNK:
            yield b"".join(some)
            some, size = [], 0
    yield b"".join(some)


@contextmanager
def frame_source(path: str, frame: Any) -> Iterator[tuple[Iterator[bytes] | Path, str]]:
    """Yields the content to store for a DataFrame, and the splitter for it."""
    if not hasattr(frame, "to_csv") or not hasattr(frame, "iloc"):
        raise TypeError(f"expected a pandas DataFrame, not {type(frame).__name__}")
    frame = with_index(frame)
    if path.endswith(".csv"):
        yield _csv(frame), "csv"
    elif path.endswith(".parquet"):
        pyarrow, parquet = need("pyarrow", "arrow"), need("pyarrow.parquet", "arrow")
        with tempfile.TemporaryDirectory(prefix="fabric-") as folder:
            file = Path(folder) / "frame.parquet"
            table = pyarrow.Table.from_pandas(frame, preserve_index=False)
            parquet.write_table(table, file, row_group_size=_GROUP_ROWS)
            yield file, "parquet"
    else:
        raise SettingError(f"{path!r} names no format for a DataFrame", hint="use a path ending in .csv or .parquet")


def with_index(frame: Any) -> Any:
    """Returns a DataFrame with its index as columns, if the index has a name."""
    return frame if all(name is None for name in frame.index.names) else frame.reset_index()


def _csv(frame: Any) -> Iterator[bytes]:
    for start in range(0, max(len(frame), 1), _ROWS):
        text: str = frame.iloc[start : start + _ROWS].to_csv(index=False, header=start == 0)
        yield text.encode()


def array_source(array: Any) -> tuple[Iterator[bytes], str]:
    """Returns the content to store for an array, and the splitter for it."""
    numpy = need("numpy", "numpy")
    array = numpy.asarray(array)
    if array.dtype.hasobject:
        raise TypeError("an array of Python objects cannot be stored as bytes: choose a dtype such as float64")
    if array.ndim == 0 or array.size == 0:
        raise SettingError("there is nothing to map over: the array has no elements along its first axis")
    record = array[0].nbytes
    rows = max(1, _CHUNK // record)
    little = array.dtype.newbyteorder("<")

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(array), rows):
            yield numpy.ascontiguousarray(array[start : start + rows], dtype=little).tobytes()

    return chunks(), f"records:{record}"


def _kind(part: Part) -> str:
    content, media = part
    kind = (media or "").partition(";")[0].strip().lower()
    if kind in _PARQUET or (content[:4] == b"PAR1" and content[-4:] == b"PAR1"):
        return "parquet"
    if kind in _ARROW:
        return "arrow"
    return "csv" if kind == "text/csv" else "value"


def _rows(part: Part) -> list[dict[str, Any]]:
    """Returns the rows of a JSON or text result: an object is a row, a list has one row per element."""
    value = decode(*part)
    if isinstance(value, bytes):
        try:
            value = [json.loads(line) for line in value.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise SettingError(
                f"a result of type {part[1]} is not a table", hint="read it with result() and convert it yourself"
            ) from None
    rows = value if isinstance(value, list) else [value]
    return [row if isinstance(row, dict) else {"value": row} for row in rows]


def to_pandas(parts: Sequence[Part]) -> Any:
    """Returns one DataFrame of all results: see `Job.to_pandas`."""
    pandas = need("pandas", "pandas")
    import io

    frames: list[Any] = []
    loose: list[dict[str, Any]] = []

    def settle() -> None:
        if loose:
            frames.append(pandas.DataFrame.from_records(list(loose)))
            loose.clear()

    for part in parts:
        kind = _kind(part)
        if kind == "value":
            loose += _rows(part)
            continue
        settle()
        if kind == "csv":
            frames.append(pandas.read_csv(io.BytesIO(part[0])))
        else:
            frames.append(_table(part, kind).to_pandas())
    settle()
    return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()


def to_arrow(parts: Sequence[Part]) -> Any:
    """Returns one Arrow table of all results: see `Job.to_arrow`."""
    pyarrow = need("pyarrow", "arrow")
    tables: list[Any] = []
    loose: list[dict[str, Any]] = []
    for part in parts:
        kind = _kind(part)
        if kind == "value":
            loose += _rows(part)
            continue
        if loose:
            tables.append(pyarrow.Table.from_pylist(loose))
            loose = []
        tables.append(_table(part, kind))
    if loose:
        tables.append(pyarrow.Table.from_pylist(loose))
    return pyarrow.concat_tables(tables, promote_options="permissive") if tables else pyarrow.table({})


def _table(part: Part, kind: str) -> Any:
    pyarrow = need("pyarrow", "arrow")
    source = pyarrow.BufferReader(part[0])
    if kind == "parquet":
        return need("pyarrow.parquet", "arrow").read_table(source)
    if kind == "csv":
        return need("pyarrow.csv", "arrow").read_csv(source)
    if part[0][:6] == b"ARROW1":
        return pyarrow.ipc.open_file(source).read_all()
    return pyarrow.ipc.open_stream(source).read_all()


def to_numpy(parts: Sequence[Part], dtype: Any = None) -> Any:
    """Returns one array of all results: see `Job.to_numpy`."""
    numpy = need("numpy", "numpy")
    values = [decode(*part) for part in parts]
    if values and all(isinstance(value, bytes) for value in values):
        if dtype is None:
            raise SettingError("the results are bytes and need a dtype", hint="for instance to_numpy(dtype='<f8')")
        whole = b"".join(values)
        size = numpy.dtype(dtype).itemsize
        if numpy.dtype(dtype).hasobject or len(whole) % size:
            raise SettingError(f"{len(whole)} bytes are not a whole number of {numpy.dtype(dtype)} elements")
        return numpy.frombuffer(whole, dtype=dtype).copy()
    made = numpy.array(values[0] if len(values) == 1 and isinstance(values[0], list) else values, dtype=dtype)
    if made.dtype.hasobject:
        raise SettingError("the results are not numbers", hint="use to_pandas() for a table of objects")
    return made


def value_rows(values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yields the rows of Python values: see `PyJob.to_pandas`."""
    for value in values:
        if isinstance(value, list):
            yield from value_rows(value)
        elif isinstance(value, dict):
            yield value
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        elif isinstance(value, tuple) and hasattr(value, "_asdict"):
            yield value._asdict()
        else:
            yield {"value": value}


def rows_of_columns(value: Any) -> Any:
    """Returns the rows of a dict of columns: lists or arrays of one length. Returns any other value as it is."""
    if type(value) is not dict or not all(isinstance(column, list | array.array) for column in value.values()):
        return value
    if len(set(map(len, value.values()))) != 1:
        return value
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]


def rows_to_pandas(values: Sequence[Any]) -> Any:
    """Returns one DataFrame of Python values: see `PyJob.to_pandas`."""
    pandas = need("pandas", "pandas")
    frames: list[Any] = []
    for are_frames, some in itertools.groupby(values, lambda value: isinstance(value, pandas.DataFrame)):
        together = list(some)
        frames += together if are_frames else [pandas.DataFrame.from_records(list(value_rows(together)))]
    return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()


def values_to_numpy(values: Sequence[Any], dtype: Any = None) -> Any:
    """Returns one array of Python values: see `PyJob.to_numpy`."""
    numpy = need("numpy", "numpy")
    try:
        made = numpy.array(values[0] if len(values) == 1 and isinstance(values[0], list) else values, dtype=dtype)
    except ValueError as error:
        raise SettingError(f"the results are no array: {error}", hint="use result() or to_pandas()") from None
    if made.dtype.hasobject:
        raise SettingError("the results are not numbers", hint="use to_pandas() for a table of objects")
    return made


def json_lines(values: Iterable[Any]) -> Iterator[bytes]:
    """Yields Python values as JSON lines."""
    for value in values:
        yield to_json(value) + b"\n"
