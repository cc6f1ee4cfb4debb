"""CSV and Parquet data sets reach a function as rows, columns or a file."""

from __future__ import annotations

import array
import csv
import datetime as dt
import decimal
import io
import math
import random
import uuid
from collections.abc import Callable
from typing import Any

import numpy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fabric_client import Dataset, Fabric
from fabric_client.errors import FabricError

ROWS = 300
_random = random.Random(1)


def some(values: list[Any]) -> list[Any]:
    """Returns the values with a fifth of them missing."""
    return [None if _random.random() < 0.2 else value for value in values]


def made(make: Callable[[int], Any]) -> list[Any]:
    return [make(number) for number in range(ROWS)]


def parquet_table() -> pa.Table:
    """Returns a table with all kinds of columns."""
    inner = pa.struct([("c", pa.string()), ("d", pa.list_(pa.int32()))])
    days = made(lambda n: dt.date(1900, 1, 1) + dt.timedelta(n * 400))
    instants = made(lambda n: dt.datetime(2000, 1, 1) + dt.timedelta(seconds=n * 77, microseconds=n))
    decimals = made(lambda n: decimal.Decimal(_random.randrange(-(10**10), 10**10)).scaleb(-3))
    structs = [{"a": 1, "b": None}, {"a": None, "b": {"c": "q", "d": [1, None]}}, {"a": 2, "b": {"c": None, "d": []}}]
    columns = {
        "int32": pa.array(made(lambda n: _random.randrange(-(2**31), 2**31)), pa.int32()),
        "int64": pa.array(made(lambda n: _random.randrange(-(2**63), 2**63)), pa.int64()),
        "few": pa.array(some(made(lambda n: n % 5)), pa.int64()),
        "float": pa.array(made(lambda n: _random.random()), pa.float32()),
        "double": pa.array(some(made(lambda n: _random.gauss(0, 1))), pa.float64()),
        "half": pa.array([numpy.float16(n / 8) for n in range(ROWS)], pa.float16()),
        "text": pa.array(some(made(lambda n: ["a", "bb", "grün", ""][n % 4]))),
        "names": pa.array(made(lambda n: f"row {n}")),
        "bool": pa.array(some(made(lambda n: n % 3 == 0))),
        "bytes": pa.array(made(lambda n: bytes([n % 256]) * (n % 7)), pa.binary()),
        "fixed": pa.array(made(lambda n: bytes([n % 256]) * 5), pa.binary(5)),
        "uuid": pa.array(made(lambda n: uuid.UUID(int=n).bytes), pa.uuid()),
        "date": pa.array(some(days)),
        "instant": pa.array(instants, pa.timestamp("us")),
        "utc": pa.array(some([one.replace(tzinfo=dt.timezone.utc) for one in instants]), pa.timestamp("ns", "UTC")),
        "time": pa.array(made(lambda n: dt.time(n % 24, n % 60, n % 60, n)), pa.time64("us")),
        "decimal": pa.array(some(decimals), pa.decimal128(20, 3)),
        "long": pa.array(made(lambda n: decimal.Decimal(n - 10**60).scaleb(-30)), pa.decimal256(70, 30)),
        "uint8": pa.array(made(lambda n: n % 256), pa.uint8()),
        "uint32": pa.array(made(lambda n: 2**32 - 1 - n), pa.uint32()),
        "uint64": pa.array(made(lambda n: 2**64 - 1 - n), pa.uint64()),
        "list": pa.array(some(made(lambda n: some(list(range(n % 4))))), pa.list_(pa.int64())),
        "lists": pa.array(
            some(made(lambda n: some([some(["x"] * (n % 3))] * (n % 4)))), pa.list_(pa.list_(pa.string()))
        ),
        "struct": pa.array(some(made(lambda n: structs[n % 3])), pa.struct([("a", pa.int64()), ("b", inner)])),
        "structs": pa.array(some(made(lambda n: structs[: n % 4])), pa.list_(pa.struct([("a", pa.int64())]))),
        "map": pa.array(some(made(lambda n: [("k", n), ("l", None)][: n % 3])), pa.map_(pa.string(), pa.int64())),
        "nothing": pa.nulls(ROWS),
        "required": pa.array(made(lambda n: n), pa.int64()),
    }
    table = pa.table(columns)
    fields = [pa.field(one.name, one.type, nullable=one.name != "required") for one in table.schema]
    return table.cast(pa.schema(fields))


TABLE = parquet_table()
DELTA, STREAMS = "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"
ENCODINGS = {
    **dict.fromkeys(["int32", "int64", "few", "instant", "date"], DELTA),
    **dict.fromkeys(["float", "double", "required", "fixed"], STREAMS),
    "text": "DELTA_BYTE_ARRAY",
    "bytes": "DELTA_BYTE_ARRAY",
    "names": "DELTA_LENGTH_BYTE_ARRAY",
    "bool": "RLE",
}


def columns_of(table: pa.Table) -> dict[str, list[Any]]:
    return {name: table.column(name).to_pylist(maps_as_pydicts="strict") for name in table.column_names}


def written(**options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(TABLE, buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "none"},
        {"compression": "snappy"},
        {"compression": "gzip", "data_page_version": "2.0"},
        {"compression": "lz4"},
        {"compression": "zstd"},
        {"compression": "zstd", "compression_level": 19, "data_page_version": "2.0"},
        {"use_dictionary": False},
        {"data_page_size": 500, "write_batch_size": 64, "data_page_version": "2.0"},
        {"use_dictionary": False, "column_encoding": ENCODINGS},
    ],
    ids=repr,
)
def test_parquet_is_read_as_pyarrow_reads_it(fab: Fabric, options: dict[str, Any]) -> None:
    fab.put("p/all.parquet", written(**options))
    job = fab.function(lambda columns: columns).map(fab.dataset("p/all.parquet", "parquet"), batch_format="columns")
    (found,) = job.result()
    assert {name: list(column) for name, column in found.items()} == columns_of(TABLE)
    assert type(found["required"]) is array.array
    assert type(found["few"]) is list


def test_a_function_receives_the_rows_of_each_row_group(fab: Fabric) -> None:
    fab.put("p/groups.parquet", written(row_group_size=100))
    rows = fab.function(lambda rows: rows).map(
        fab.dataset("p/groups.parquet", "parquet"), columns=["names", "struct", "few"]
    )
    found = rows.result()
    assert [len(group) for group in found] == [100, 100, 100]
    assert [row for group in found for row in group] == TABLE.select(["names", "struct", "few"]).to_pylist()


def test_parquet_as_a_file_is_parquet(fab: Fabric) -> None:
    fab.put("p/file.parquet", written())
    first = fab.function(lambda part: part.buffer.read(4))
    assert first.map(fab.dataset("p/file.parquet", "parquet"), batch_format="file").result() == [b"PAR1"]


def test_damaged_parquet_is_refused_by_name(fab: Fabric) -> None:
    content = bytearray(written(compression="none"))
    start = content.index(b"row 0")
    content[start - 4 : start] = b"\xff\xff\xff\x7f"
    fab.put("p/damaged.parquet", bytes(content))
    job = fab.function(lambda rows: len(rows)).map(fab.dataset("p/damaged.parquet", "parquet"))
    with pytest.raises(ValueError, match=r"ends too early|is damaged"):
        job.result()


def test_csv_rows_are_text_unless_they_have_types(fab: Fabric) -> None:
    text = (
        "﻿city,t,day,n,ok,price\n"
        + 'Oslo,3.5,2024-01-02,1,true,1.10\n"a ""b"", c",NA,,2,0,\n\nRome,-1e3,2024-02-29,,TRUE,2\n'
    )
    fab.put("c/t.csv", text)
    data = fab.dataset("c/t.csv", "csv")
    assert fab.function(lambda rows: rows[1]).map(data).result() == [
        {"city": 'a "b", c', "t": "NA", "day": "", "n": "2", "ok": "0", "price": ""}
    ]
    types: Any = {"t": float, "day": dt.date, "n": int, "ok": bool, "price": decimal.Decimal}
    (found,) = fab.function(lambda rows: rows).map(data, types=types).result()
    assert [tuple(row.values()) for row in found] == [
        ("Oslo", 3.5, dt.date(2024, 1, 2), 1, True, decimal.Decimal("1.10")),
        ('a "b", c', None, None, 2, False, None),
        ("Rome", -1000.0, dt.date(2024, 2, 29), None, True, decimal.Decimal(2)),
    ]


def test_a_missing_text_of_a_csv_is_missing_if_its_type_is_named(fab: Fabric) -> None:
    fab.put("c/texts.csv", "k,b\n1,\n2,NA\n3,x\n")
    f, data = fab.function(lambda columns: columns["b"]), fab.dataset("c/texts.csv", "csv")
    assert f.map(data, batch_format="columns").result() == [["", "NA", "x"]]
    assert f.map(data, batch_format="columns", types={"b": str}).result() == [[None, None, "x"]]


def test_columns_of_one_name_and_keys_that_occur_twice_are_not_lost(fab: Fabric) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), buffer)
    fab.put("p/twice.parquet", buffer.getvalue())
    with pytest.raises(ValueError, match=r"^p/twice.parquet, .* two columns 'a': use batch_format=\"file\""):
        fab.function(lambda rows: rows).map(fab.dataset("p/twice.parquet", "parquet")).result()
    buffer = io.BytesIO()
    maps = pa.array([[("k", 1), ("k", 2)], [("k", 1)]], pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table({"m": maps}), buffer)
    fab.put("p/keys.parquet", buffer.getvalue())
    found = fab.function(lambda rows: [row["m"] for row in rows]).map(fab.dataset("p/keys.parquet", "parquet")).result()
    assert found == [[[("k", 1), ("k", 2)], {"k": 1}]]


def test_missing_values_and_a_named_index_of_a_data_frame_arrive(fab: Fabric) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"f": [1.5, None]}, index=pandas.Index(["p", "q"], name="key"))
    rows = [{"key": "p", "f": 1.5}, {"key": "q", "f": None}]
    same = fab.function(lambda rows: rows)
    assert same.remote(frame) == rows
    assert same.map(Dataset.from_pandas(fab, "f/index.parquet", frame)).result() == [rows]
    assert same.map(Dataset.from_pandas(fab, "f/index.csv", frame), types={"f": float}).result() == [rows]
    with pytest.raises(TypeError, match="can't map over a DataFrame"):
        same.map(frame)


def test_csv_columns_of_numbers_are_arrays(fab: Fabric) -> None:
    fab.put("c/n.csv", "a;b;c\n" + "".join(f"{n};{n / 4};{'' if n == 7 else n}\n" for n in range(1000)))
    data = fab.dataset("c/n.csv", "csv:2KiB:semicolon")
    job = fab.function(lambda columns: columns).map(
        data, batch_format="columns", types={"a": int, "b": float, "c": int}, columns=["b", "a", "c"]
    )
    found = job.result()
    assert len(found) > 3
    assert list(found[0]) == ["b", "a", "c"]
    assert [number for part in found for number in part["a"]] == list(range(1000))
    assert found[-1]["b"].typecode == "d"
    assert found[-1]["a"].typecode == "q"
    assert found[0]["c"][7] is None
    assert math.isclose(sum(sum(part["b"]) for part in found), sum(n / 4 for n in range(1000)))


def test_a_csv_as_a_file_is_read_with_its_header(fab: Fabric) -> None:
    fab.put("t.csv", "city,t\n" + "".join(f"c{n},{n}\n" for n in range(300)))

    def hottest(part: io.TextIOWrapper) -> float:
        return max(float(row["t"]) for row in csv.DictReader(part))

    found = fab.function(hottest).map(fab.dataset("t.csv", split="csv:1KiB"), batch_format="file").result()
    assert len(found) > 1
    assert max(found) == 299.0


@pytest.mark.parametrize("form", ["rows", "file"])
def test_no_row_of_a_csv_is_lost_by_its_splitter(fab: Fabric, form: Any) -> None:
    text = '\n\nid,size (")\r1,3" pipe\r2,"a\rb"\r\r3,x\r'
    fab.put("rows/marks.csv", text)

    def rows(part: Any) -> list[str]:
        table = part if isinstance(part, list) else csv.DictReader(line for line in part if line.strip())
        return [row["id"] for row in table]

    found = fab.function(rows).map(fab.dataset("rows/", "csv:1"), batch_format=form).result()
    assert found == [["1"], ["2"], ["3"]]


def test_a_csv_that_is_not_utf_8_is_refused_with_a_remedy(fab: Fabric) -> None:
    fab.put("c/latin.csv", "a\ngrün\n".encode("latin-1"))
    data = fab.dataset("c/latin.csv", "csv")
    with pytest.raises(ValueError, match=r'not UTF-8 .* use batch_format="file"'):
        fab.function(lambda rows: rows).map(data).result()
    read = fab.function(lambda part: part.buffer.read().decode("latin-1"))
    assert read.map(data, batch_format="file").result() == ["a\ngrün\n"]


def test_names_of_columns_may_be_an_iterator_and_types_names(fab: Fabric) -> None:
    fab.put("c/names.csv", "a,b,c\n1,2,3\n")
    data = fab.dataset("c/names.csv", "csv")
    job = fab.function(lambda rows: rows).map(data, columns=(name for name in "ca"), types={"a": "int"})
    assert job.result() == [[{"c": "3", "a": 1}]]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1\n", {}, r"row 1 of the partition has 1 fields and the header 2: \['1'\]"),
        ("a,a\n1,2\n", {}, "two columns 'a'"),
        (
            "a,b\n1,x\n",
            {"types": {"b": int}},
            r"^c/bad.csv, the partition from byte 4: column 'b' has 'x' in row 1 of .*, which is not of the type int",
        ),
        ("a,b\n1,x\n", {"types": {"b": bool}}, "not of the type bool"),
        ('a,b\n1,"x\n2,y\n', {}, "a quote is not closed"),
        ("a,b\n1,x\n", {"columns": ["c"]}, "no column 'c': the columns are a, b"),
        ("a,b\n1,x\n", {"types": {"c": str}}, "no column 'c': the columns are a, b"),
    ],
)
def test_a_row_that_cannot_be_read_names_itself(fab: Fabric, text: str, options: Any, message: str) -> None:
    fab.put("c/bad.csv", text)
    with pytest.raises(ValueError, match=message):
        fab.function(lambda rows: rows).map(fab.dataset("c/bad.csv", "csv"), **options).result()


def test_options_that_do_not_fit_are_refused_here(fab: Fabric) -> None:
    f = fab.function(lambda rows: rows)
    refused: list[tuple[Any, dict[str, Any], str]] = [
        ([1], {"batch_format": "rows"}, "is for data sets"),
        (fab.dataset("a", "lines"), {"batch_format": "rows"}, "the splitter lines"),
        (fab.dataset("a", "csv"), {"batch_format": "file", "types": {"a": int}}, "does not go with a file"),
        (fab.dataset("a", "parquet"), {"types": {"a": int}}, "types of its own"),
        (fab.dataset("a", "csv"), {"types": ["a"]}, "types must be a dict"),
        (fab.dataset("a", "csv"), {"types": {"a": list}}, "the type of column a is <class 'list'>"),
        (fab.dataset("a", "csv"), {"columns": "a"}, "must be a list of names"),
    ]
    for over, options, message in refused:
        with pytest.raises(TypeError, match=message):
            f.map(over, **options)
    with pytest.raises(ValueError, match="'rows', 'columns', 'file'"):
        f.map(fab.dataset("a", "csv"), batch_format="row")  # type: ignore[arg-type]


def test_a_data_frame_goes_in_and_out(fab: Fabric) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"city": ["Oslo", "Rome"] * 500, "t": [3.5, 17.0] * 500})
    data = Dataset.from_pandas(fab, "f/frame.parquet", frame)

    @fab.function
    def fahrenheit(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "f": row["t"] * 9 / 5 + 32} for row in rows]

    expected = frame.assign(f=frame["t"] * 9 / 5 + 32)
    pandas.testing.assert_frame_equal(fahrenheit.map(data).to_pandas(), expected)


def test_columns_in_and_columns_out_are_a_table(fab: Fabric) -> None:
    fab.put("c/columns.csv", "n\n" + "".join(f"{n}\n" for n in range(500)))
    data = fab.dataset("c/columns.csv", "csv:1KiB")
    twice = fab.function(lambda columns: {"n": columns["n"], "twice": [2 * n for n in columns["n"]]})
    job = twice.map(data, batch_format="columns", types={"n": int})
    assert job.to_pandas()["twice"].tolist() == list(range(0, 1000, 2))
    assert job.to_arrow().column("n").to_pylist() == list(range(500))
    assert sum(batch.num_rows for batch in job.to_arrow_batches()) == 500
    # Lists of other lengths are values of one row, and so are lists of a function that received rows.
    other = fab.function(lambda columns: {"some": columns["n"][:2].tolist(), "all": [len(columns["n"])]})
    assert len(other.map(data, batch_format="columns", types={"n": int}).to_pandas()) == job.progress.total
    lists = fab.function(lambda rows: {"a": [1, 2], "b": [3, 4]})
    assert len(lists.map(data).to_pandas()) == job.progress.total


def test_large_results_are_read_one_at_a_time(fab: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    job = fab.function(lambda n: {"n": n}).map(range(20), chunksize=1)
    job.wait()
    found = list(job.results())
    monkeypatch.setattr("fabric_client.api.jobs.AT_ONCE_BYTES", 0)
    assert list(job.results()) == found
    assert [batch.num_rows for batch in job.to_arrow_batches()] == [1] * 20


def test_arrow_batches_come_as_tasks_end(fab: Fabric) -> None:
    fab.put("c/many.csv", "n\n" + "".join(f"{n}\n" for n in range(1000)))
    twice = fab.function(lambda rows: [{"n": row["n"], "twice": 2 * row["n"]} for row in rows])
    job = twice.map(fab.dataset("c/many.csv", "csv:1KiB"), types={"n": int})
    batches = list(job.to_arrow_batches())
    assert len(batches) == job.progress.total > 3
    assert pa.Table.from_batches(batches).column("twice").to_pylist() == list(range(0, 2000, 2))
    assert job.to_arrow().column("twice").to_pylist() == list(range(0, 2000, 2))
    narrow = pa.schema([("n", pa.int16()), ("twice", pa.float64())])
    assert job.to_arrow(schema=narrow).schema == narrow
    assert [batch.schema for batch in job.to_arrow_batches(schema=narrow)] == [narrow] * len(batches)


def test_arrow_batches_of_other_columns_are_refused_with_a_remedy(fab: Fabric) -> None:
    mixed = fab.function(lambda n: {"n": n if n < 2 else "two"}).map(range(4), chunksize=1)
    with pytest.raises(FabricError, match=r"column 'n' of the results does not fit the schema \(int64\)") as caught:
        list(mixed.to_arrow_batches())
    assert "schema=" in (caught.value.hint or "")
    with pytest.raises(FabricError, match="column 'n' of the results has values of several types"):
        mixed.to_arrow()
    with pytest.raises(TypeError, match=r"must be a pyarrow\.Schema"):
        mixed.to_arrow(schema={"n": "int32"})
