"""Objects and data sets."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from fabric_client import BadRequest, Conflict, Dataset, Fabric, NotFound, SettingError
from fabric_client.upload import body


def test_objects_are_stored_listed_read_and_removed(fab: Fabric, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"from a file")
    sources = {"bytes": b"b", "text": "ü", "file": tmp_path / "file", "open": io.BytesIO(b"o"), "chunks": [b"c", b"h"]}
    for name, source in sources.items():
        fab.put(f"objects/{name}", source)
    with (tmp_path / "file").open("rb") as file:
        file.read(5)
        fab.put("objects/rest", file)
    assert [found.path for found in fab.ls("objects/")] == [f"objects/{n}" for n in sorted([*sources, "rest"])]
    assert [found.path for found in fab.ls()] == ["objects/"] or "objects/" in [found.path for found in fab.ls()]
    contents = [fab.get(f"objects/{name}") for name in (*sources, "rest")]
    assert contents == [b"b", "ü".encode(), b"from a file", b"o", b"ch", b"a file"]
    assert b"".join(fab.stream("objects/file", start=5, length=3)) == b"a f"
    assert fab.download("objects/file", tmp_path / "again") == 11
    about = fab.stat("objects/file")
    assert about is not None
    assert about.size == 11
    fab.rm("objects/file")
    assert fab.stat("objects/file") is None
    with pytest.raises(NotFound):
        fab.get("objects/file")
    with pytest.raises(NotFound):
        fab.rm("objects/file")


def test_conditions_hold_or_are_a_conflict(fab: Fabric) -> None:
    first = fab.put("conditions/x", b"1", create=True)
    with pytest.raises(Conflict):
        fab.put("conditions/x", b"2", create=True)
    second = fab.put("conditions/x", b"2", if_match=first.etag)
    with pytest.raises(Conflict):
        fab.put("conditions/x", b"3", if_match=first.etag)
    assert fab.get("conditions/x") == b"2"
    assert second.etag != first.etag


def test_odd_names_survive(fab: Fabric) -> None:
    for name in ("odd/with space", "odd/über", "odd/100%", "odd/a+b&c=d", "odd/q?x#y"):
        fab.put(name, name)
        assert fab.get(name) == name.encode()
    assert len(fab.ls("odd/")) == 5
    # Names arrive at the server unchanged.
    wrongs = (
        "",
        "/lead",
        "a/../b",
        "a/./b",
        "odd/a\tb",
        "odd/a\nb",
        "odd/a\x85b",
        "odd//a",
        "odd/a/",
        "a\\b",
        "a\udcffb",
    )
    for wrong in wrongs:
        calls: list[tuple[Callable[..., object], list[object]]] = [(fab.put, [b"x"]), (fab.stat, []), (fab.rm, [])]
        for call, more in calls:
            with pytest.raises(BadRequest) as error:
                call(wrong, *more)
            assert error.value.code == "invalid-path"
    assert len(fab.ls("odd/")) == 5


def test_what_gives_no_bytes_is_refused(fab: Fabric, tmp_path: Path) -> None:
    for wrong in (io.StringIO("text"), 17, [1, 2]):
        with pytest.raises(TypeError, match="bytes"):
            fab.put("wrong/x", wrong)  # type: ignore[arg-type]
    with pytest.raises(IsADirectoryError, match="from_files"):
        body(tmp_path)
    with pytest.raises(FileNotFoundError):
        fab.put("wrong/x", tmp_path / "absent")


def test_more_objects_than_a_page(fab: Fabric) -> None:
    for n in range(1003):
        fab.put(f"many/{n:04}", b"")
    assert len(fab.ls("many/", limit=5000)) == 1003
    assert len(fab.ls("many/", limit=1001)) == 1001
    assert len(fab.dataset("many/").files(limit=10_000)) == 1003


def test_files_become_a_data_set(fab: Fabric, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("to be\nor not\n")
    (tmp_path / "in" / "deep" / "b.txt").write_text("to be\n")
    (tmp_path / "in" / "link").symlink_to("/etc/passwd")
    texts = Dataset.from_files(fab, "texts/", tmp_path / "in", "lines")
    assert [found.path for found in texts.files()] == ["texts/a.txt", "texts/deep/b.txt"]
    counts = fab.function("wordcount").map(texts, reduce=True).result()
    assert counts["words"] == {"be": 2, "not": 1, "or": 1, "to": 2}
    with pytest.raises(FileNotFoundError):
        Dataset.from_files(fab, "texts/", tmp_path / "absent")
    (tmp_path / "a.txt").write_text("another\n")
    with pytest.raises(SettingError, match="both be stored as a"):
        Dataset.from_files(fab, "none/", [tmp_path / "in", tmp_path / "a.txt"])
    assert fab.dataset("none/").files() == []
    with pytest.raises(SettingError, match="one object"):
        fab.dataset("texts/a.txt").put("b", b"")
    assert [found.size for found in fab.dataset("texts/a.txt").files()] == [13]


def test_items_that_fit_no_request(fab: Fabric) -> None:
    items = Dataset.from_items(fab, "items/all", ["plain", {"json": 1}, [1, 2]])
    assert fab.function("echo").map(items).result() == [b"plain", b'{"json":1}', b"[1,2]"]
    with pytest.raises(ValueError, match="one line"):
        Dataset.from_items(fab, "items/wrong", ["two\nlines"])


def test_a_frame_becomes_partitions_and_comes_back(fab: Fabric) -> None:
    frame = pd.DataFrame({"n": range(50_000), "word": ["a", "b,c", 'd"e', "f\ng", None] * 10_000})
    as_csv = Dataset.from_pandas(fab, "frames/f.csv", frame, split="csv:100KiB")
    back = pd.concat(
        [pd.read_csv(io.BytesIO(part)) for part in fab.function("echo").map(as_csv).result()], ignore_index=True
    )
    # pandas decides between None and NaN for missing values.
    pd.testing.assert_frame_equal(back.fillna(""), frame.fillna(""))
    as_parquet = Dataset.from_pandas(fab, "frames/f.parquet", frame)
    assert as_parquet.split == "parquet"
    pd.testing.assert_frame_equal(fab.function("echo").map(as_parquet).to_pandas().fillna(""), frame.fillna(""))
    assert fab.function("echo").map(as_parquet).to_arrow().num_rows == 50_000
    with pytest.raises(SettingError, match=r"\.csv or \.parquet"):
        Dataset.from_pandas(fab, "frames/f.xlsx", frame)
    with pytest.raises(TypeError, match="DataFrame"):
        Dataset.from_pandas(fab, "frames/f.csv", [1])


def test_many_row_groups_are_many_partitions(fab: Fabric, tmp_path: Path) -> None:
    table = pa.table({"x": list(range(1000))})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=100)
    fab.put("groups/t.parquet", tmp_path / "t.parquet")
    job = fab.function("echo").map(fab.dataset("groups/t.parquet", "parquet"))
    assert job.progress.total == 10
    assert job.to_arrow().equals(table)


def test_a_row_group_without_rows_is_no_partition(fab: Fabric, tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2, 3], "word": ["a", "b", "b"]})
    with pq.ParquetWriter(tmp_path / "t.parquet", table.schema) as writer:
        for part in (table.slice(0, 2), table.slice(0, 0), table.slice(2)):
            writer.write_table(part)
    assert pq.ParquetFile(tmp_path / "t.parquet").num_row_groups == 3
    fab.put("groups/rows.parquet", tmp_path / "t.parquet")
    job = fab.function("echo").map(fab.dataset("groups/rows.parquet", "parquet"))
    assert job.progress.total == 2
    assert job.to_arrow().equals(table)
    pq.write_table(table.slice(0, 0), tmp_path / "none.parquet")
    fab.put("groups/none.parquet", tmp_path / "none.parquet")
    with pytest.raises(BadRequest, match="no row group with rows"):
        fab.function("echo").map(fab.dataset("groups/none.parquet", "parquet"))


class Keys(pe.KmsClient):
    """A key store without encryption."""

    def __init__(self, _config: pe.KmsConnectionConfig) -> None:
        super().__init__()

    def wrap_key(self, key_bytes: bytes, _master: str) -> bytes:
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, _master: str) -> bytes:
        return base64.b64decode(wrapped_key)


@pytest.mark.parametrize(("plain_footer", "says"), [(True, "column `x` is encrypted"), (False, "footer is encrypted")])
def test_encrypted_parquet_is_refused_as_such(fab: Fabric, tmp_path: Path, plain_footer: bool, says: str) -> None:
    table = pa.table({"x": [1, 2, 3], "word": ["a", "b", "b"]})
    asked = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["x"]}, plaintext_footer=plain_footer)
    properties = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), asked)
    with pq.ParquetWriter(tmp_path / "t.parquet", table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    fab.put("groups/secret.parquet", tmp_path / "t.parquet")
    with pytest.raises(BadRequest, match=says) as refused:
        fab.function("echo").map(fab.dataset("groups/secret.parquet", "parquet"))
    assert refused.value.code == "invalid-input-spec"


def test_an_array_becomes_records_and_comes_back(fab: Fabric) -> None:
    array = np.arange(60_000, dtype=">f8").reshape(20_000, 3)[::-1]
    stored = Dataset.from_numpy(fab, "arrays/a", array)
    assert stored.split == "records:24"
    job = fab.function("echo").map(stored.splitting("records:24:64KiB"))
    assert job.progress.total > 5
    np.testing.assert_array_equal(job.to_numpy("<f8").reshape(-1, 3), array)
    with pytest.raises(SettingError, match="need a dtype"):
        job.to_numpy()
    with pytest.raises(SettingError, match="whole number"):
        job.to_numpy("V7")
    with pytest.raises(TypeError, match="dtype"):
        Dataset.from_numpy(fab, "arrays/o", np.array([object()]))
    with pytest.raises(SettingError, match="nothing"):
        Dataset.from_numpy(fab, "arrays/e", np.empty((0, 3)))


def test_json_results_are_tables_and_arrays(fab: Fabric) -> None:
    job = fab.function("montecarlo-pi").map([{"seed": n, "samples": 100} for n in range(5)])
    frame = job.to_pandas()
    assert list(frame.columns) == ["inside", "total", "pi", "standard_error"]
    assert list(frame["total"]) == [100] * 5
    assert job.to_arrow().column_names == list(frame.columns)
    with pytest.raises(SettingError, match="not numbers"):
        job.to_numpy()
    with pytest.raises(SettingError, match="not a table"):
        fab.function("echo").map([b"\xff\xfe".decode("latin1") + "{"]).to_pandas()


def test_a_job_over_nothing_is_refused_as_the_server_says(fab: Fabric) -> None:
    fab.put("nothing/header.csv", "id,note\n")
    fab.put("nothing/blank", "\n\n")
    words = fab.function("wordcount")
    for over in ([], fab.dataset("nothing/header.csv", "csv"), fab.dataset("nothing/blank", "items")):
        for reduce in (False, True):
            with pytest.raises(BadRequest) as refused:
                words.map(over, reduce=reduce)
            assert refused.value.code == "invalid-input-spec"
            assert refused.value.hint


def test_numbers_are_exact_whether_items_are_stored_or_not(fab: Fabric) -> None:
    numbers = [2**53 + 1, 2**64, -(2**64) - 1, 10**40 + 7, 1.0, 0.1, 1e300, {"deep": [3**90, 2.5]}]
    stored = Dataset.from_items(fab, "items/numbers", numbers)
    echo = fab.function("echo")
    assert echo.map(numbers).result() == echo.map(stored).result()
    back = [json.loads(item) for item in echo.map(numbers).result()]
    assert back == numbers
    assert [type(a) for a in back] == [type(a) for a in numbers]
    with pytest.raises(ValueError, match="not JSON compliant"):
        echo.map([float("inf")])


def test_splitters_are_checked_before_anything_is_sent(fab: Fabric) -> None:
    with pytest.raises(SettingError, match="use object"):
        fab.dataset("x/", "rows")
    for wrong in ("lines:0", "csv:lots", "csv:1KiB:xx", "parquet:3", "records", "items:1KiB"):
        with pytest.raises(SettingError, match="is not a splitter"):
            fab.dataset("x/", wrong)
    for right in ("csv", "csv:100KiB", "csv:8 MiB:;", "csv:1MiB::", "csv:1000:tab", "records:16:1MiB", "lines:0.5MiB"):
        assert fab.dataset("x/", right).split == right
    with pytest.raises(BadRequest, match=r"SIZE|size|splitter"):
        fab.function("echo").map(fab.dataset("x/", "lines:1XiB"))
    with pytest.raises(SettingError, match="leading"):
        fab.dataset("/x")
