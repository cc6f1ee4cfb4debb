"""Maps of Python functions over items and data sets."""

from __future__ import annotations

import asyncio
import collections
import inspect
import math
import operator
import random
from collections.abc import Awaitable, Iterator
from typing import TextIO

import pytest
from server import Server

from fabric_client import (
    AsyncFabric,
    BadRequest,
    Fabric,
    FabricExecutor,
    Function,
    LimitExceeded,
    SettingError,
    WaitTimeout,
)
from fabric_client.pyfn import PyJob, chunks, runner
from fabric_client.pyfn.mapping import MapOptions
from pyfn.beside import Point


def square(n: int) -> int:
    return n * n


def picky(n: int) -> int:
    if n % 3 == 2:
        raise ValueError("two too many", n)
    return n


def test_results_come_in_order_and_the_second_time_from_the_cache(fab: Fabric) -> None:
    f = fab.function(square)
    job = f.map(range(1000))
    assert job.result() == [n * n for n in range(1000)]
    assert job.progress.total == 63
    assert job.cost.fuel > 0
    again = fab.function(square).map(range(1000))
    assert list(again) == [n * n for n in range(1000)]
    again.refresh()
    assert again.progress.cached == 63
    assert again.cost.fuel == 0


def test_chunks_are_as_asked(fab: Fabric) -> None:
    job = fab.function(square).map([1, 2, 3, 4, 5], chunksize=2)
    assert sorted(job.results()) == [(0, [1, 4]), (1, [9, 16]), (2, [25])]
    with pytest.raises(ValueError, match="chunksize"):
        fab.function(square).map([1], chunksize=0)


def test_starmap_spreads_arguments(fab: Fabric) -> None:
    f = fab.function(lambda a, b=2: a**b)
    assert f.starmap([(2, 3), (3,), [5, 1]]).result() == [8, 9, 5]


def test_each_item_has_its_own_exception(fab: Fabric) -> None:
    job = fab.function(picky).map(range(5))
    values = job.result(return_exceptions=True)
    assert values[:2] + values[3:] == [0, 1, 3, 4]
    assert isinstance(values[2], ValueError)
    with pytest.raises(ValueError, match="two too many"):
        job.result()
    seen = []
    with pytest.raises(ValueError, match="two too many"):
        seen.extend(job)
    assert job.state == "succeeded"
    assert job.failures()[0][0] == 2
    assert vars(job.exception())["__notes__"] == ["item 2: 2"]
    assert "1 items failed" in job._repr_html_()
    assert [type(v).__name__ for _, v in job.results(return_exceptions=True) for v in v].count("ValueError") == 1
    again = job.retry_failed()
    assert [type(error) for _, error in again.failures()] == [ValueError]


def test_equal_items_have_random_numbers_of_their_own(fab: Fabric) -> None:
    f = fab.function(lambda _: random.random())
    drawn = f.map([None] * 200).result()
    assert len(set(drawn)) == 200
    assert f.map([None] * 200, cache=False).result() == drawn
    assert len(set(f.map([None] * 10, chunksize=1).result())) == 10


def test_an_item_that_is_killed_fails_alone(fab: Fabric) -> None:
    def spin(n: int) -> int:
        while n == 3:
            pass
        return n

    f = fab.function(limits={"fuel": 200_000_000})(spin)
    values = f.map(range(6), chunksize=2).result(return_exceptions=True)
    assert isinstance(values[3], LimitExceeded)
    assert "item 3: 3" in vars(values[3])["__notes__"]
    assert values[:3] + values[4:] == [0, 1, 2, 4, 5]


def test_items_that_run_again_are_submitted_once_and_have_a_timeout(fab: Fabric) -> None:
    def spin(n: int) -> int:
        while n == 3:
            pass
        return n

    job = fab.function(name="once", limits={"fuel": 2_000_000_000})(spin).map(range(2, 4), chunksize=2)
    job.wait()
    with pytest.raises(WaitTimeout):
        job.result(0, return_exceptions=True)
    for _ in range(2):
        assert job.result(return_exceptions=True)[0] == 2
    assert len(fab.jobs(name="once")) == 2


def test_items_that_run_again_store_no_objects(fab: Fabric) -> None:
    job = fab.function(picky).map(range(3), chunksize=1, output="kept/", key="a key of its own")
    job.wait()
    before = {found.path: fab.get(found.path) for found in fab.ls("kept/")}
    assert len(before) == 3
    again = job.retry_failed()
    assert again.id != job.id
    again.wait()
    assert {found.path: fab.get(found.path) for found in fab.ls("kept/")} == before


def test_nothing_to_run_again_says_so(fab: Fabric, python_server: Server) -> None:
    with pytest.raises(SettingError, match="no item of job"):
        fab.function(square).map([1]).retry_failed()
    with pytest.raises(SettingError, match="or it has a reduce"):
        fab.function(picky).map([1, 2], reduce=operator.add).retry_failed()
    with python_server.connect() as other, pytest.raises(SettingError, match="not known to this process"):
        other.job(fab.function(picky).map([2]).id).retry_failed()  # type: ignore[attr-defined]


def test_another_process_numbers_the_items_of_a_failed_task(fab: Fabric, python_server: Server) -> None:
    def spin(n: int) -> int:
        while n == 3:
            pass
        return n

    # The second chunk is the first again, and has another text.
    items = [1, 3, 1, 3, 5, 3]
    job = fab.function(limits={"fuel": 100_000_000})(spin).map(items, chunksize=2, allow_failed=3)
    with python_server.connect() as other:
        found = other.job(job.id)
        assert isinstance(found, PyJob)
        assert [number for number, _ in found.failures()] == list(range(6))


def test_a_job_that_is_retried_has_python_values(fab: Fabric) -> None:
    job = fab.function(picky).map(range(3))
    job.wait()
    again = job.retry()
    assert type(again) is PyJob
    assert again.result(return_exceptions=True)[:2] == [0, 1]
    assert again.failures()[0][0] == 2


def test_results_keep_their_places_beside_failures(fab: Fabric) -> None:
    def spin(n: int) -> int:
        while n == 1:
            pass
        return n

    job = fab.function(limits={"fuel": 200_000_000})(spin).map(range(4), chunksize=1, allow_failed=1)
    values = job.result()
    assert isinstance(values[1], LimitExceeded)
    assert values[:1] + values[2:] == [0, 2, 3]
    assert "4 of 4" in job._repr_html_()
    assert job.exception() is None
    assert [number for number, _ in job.failures()] == [1]
    assert job.to_pandas()["value"].tolist() == [0, 2, 3]
    assert job.to_arrow().column("value").to_pylist() == [0, 2, 3]
    assert [batch.num_rows for batch in job.to_arrow_batches()] == [1, 1, 1]
    assert job.to_numpy().tolist() == [0, 2, 3]


def test_results_are_tables(fab: Fabric) -> None:
    import pandas as pd

    rows = fab.function(lambda n: {"n": n, "x": n / 2}).map(range(4))
    assert rows.to_pandas().to_dict("list") == {"n": [0, 1, 2, 3], "x": [0.0, 0.5, 1.0, 1.5]}
    assert rows.to_arrow().to_pylist()[1] == {"n": 1, "x": 0.5}
    assert list(fab.function(lambda n: Point(n)).map(range(2)).to_pandas()) == ["x", "y", "tags"]
    assert fab.function(square).map(range(4)).to_numpy().tolist() == [0, 1, 4, 9]
    assert fab.function(square).map(range(3)).to_pandas()["value"].tolist() == [0, 1, 4]
    assert b"".join(fab.function(square).map(range(3)).stream()) == b"0\n1\n4\n"
    missing = fab.function(lambda n: math.nan if n else 1.0).map(range(2)).to_pandas()
    assert pd.isna(missing["value"][1])


def test_wrong_options_are_refused_at_once(fab: Fabric) -> None:
    with pytest.raises(TypeError, match="a map has no option 'chunk_size'"):
        fab.function(square).map([1], chunk_size=1)
    with pytest.raises(TypeError, match="grants must be a dict"):
        fab.function(grants=["clocks"])(square)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="must be a function of two values"):
        fab.function(square).map([1], reduce=True)  # type: ignore[arg-type]


def test_the_options_are_those_of_any_map() -> None:
    others = {"self", "over", "params", "reduce", "shuffle", "decoder"}
    own = {"fan_in", "batch_format", "columns", "types"}
    assert MapOptions.__annotations__.keys() == inspect.signature(Function.map).parameters.keys() - others | own


def test_a_map_is_planned_without_running(fab: Fabric) -> None:
    f = fab.function(square)
    plan = f.plan(range(1000, 1100), chunksize=10)
    assert (plan.partitions, plan.cached) == (10, 0)
    f.map(range(1000, 1100), chunksize=10).result()
    again = f.plan(range(1000, 1100), chunksize=10)
    assert again.cached == 10
    assert f.plan(range(2000, 2100), chunksize=10, key="as for map").estimate is not None


def test_results_are_reduced(fab: Fabric) -> None:
    assert fab.function(square).map(range(200), reduce=operator.add, fan_in=4).result() == sum(
        n * n for n in range(200)
    )
    longest = fab.function(str).map([5, 123, 10], reduce=lambda a, b: max(a, b, key=len), chunksize=1)
    assert longest.result() == "123"
    with pytest.raises(ValueError, match="two too many"):
        fab.function(picky).map(range(10), reduce=operator.add).result()


def test_objects_are_items(fab: Fabric) -> None:
    f = fab.function(lambda p: p.moved(1))
    assert f.map([Point(n) for n in range(3)]).result() == [Point(n + 1, 1) for n in range(3)]


def test_a_data_set_is_read_by_partition(fab: Fabric) -> None:
    fab.put("lines/a.txt", "one\ntwo\n" * 50)
    fab.put("lines/b.txt", "drei grün\r\n")

    @fab.function
    def about(part: TextIO) -> tuple[str, int, list[str]]:
        lines = list(part)
        return part.name, part.offset, [lines[0], lines[-1]]  # type: ignore[attr-defined]

    found = about.map(fab.dataset("lines/", split="lines:100")).result()
    assert ("lines/a.txt", 0, ["one\n", "one\n"]) in found
    assert ("lines/b.txt", 0, ["drei grün\r\n", "drei grün\r\n"]) in found
    assert len(found) > 4

    @fab.function
    def words(part: TextIO) -> collections.Counter[str]:
        return collections.Counter(part.read().split())

    total = words.map(fab.dataset("lines/", split="lines:64"), reduce=operator.add).result()
    assert total == {"one": 50, "two": 50, "drei": 1, "grün": 1}
    size = fab.function(lambda part: (part.size, len(part.buffer.read())))
    assert size.map(fab.dataset("lines/b.txt")).result() == [(12, 12)]


def test_a_map_over_nothing_is_refused(fab: Fabric) -> None:
    with pytest.raises(BadRequest, match="the list of items is empty"):
        fab.function(len).map([])
    with pytest.raises(BadRequest, match="the list of items is empty"):
        fab.function(len).map([], reduce=operator.add)


def test_many_bytes_of_items_are_stored_first(fab: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "INLINE_BYTES", 1000)
    f = fab.function(len)
    items = ["x\n" * n for n in range(300)]
    first = f.map(items)
    assert first.result() == [2 * n for n in range(300)]
    again = f.map(iter(items))
    again.wait()
    assert again.progress.cached == again.progress.total
    assert len(fab.ls("python-items/")) == 1


def test_what_can_not_be_mapped_over_says_so(fab: Fabric) -> None:
    f = fab.function(square)
    for wrong in ("text", b"bytes", {"a": 1}):
        with pytest.raises(TypeError, match="can't map over"):
            f.map(wrong)


def test_a_chunk_that_takes_too_much_fails_the_job(fab: Fabric) -> None:
    def spin(n: int) -> None:
        while n:
            pass

    job = fab.function(limits={"fuel": 50_000_000})(spin).map([0, 1])
    with pytest.raises(LimitExceeded, match="chunksize"):
        job.result()


def test_a_job_is_found_again(fab: Fabric, python_server: Server) -> None:
    job = fab.function(square).map(range(10), name="squares")
    with python_server.connect() as other:
        found = other.function(square).job(job.id)
        assert found.result() == [n * n for n in range(10)]
        assert found.name == "squares"
        assert other.job(job.id).result() == [n * n for n in range(10)]
        points = fab.function(lambda n: Point(n)).map(range(2))
        assert other.job(points.id).result() == [Point(0), Point(1)]


def test_a_server_that_is_killed_goes_on(own_python_server: Server) -> None:
    def slow(n: int) -> int:
        return sum(i % 7 for i in range(20_000 + n))

    with own_python_server.connect() as fab:
        f = fab.function(slow)
        job = f.map(range(100), chunksize=2)
        looks: Iterator[object] = job.watch()
        next(looks)
        own_python_server.restart()
        assert job.result() == [slow(n) for n in range(100)]


def test_the_runner_is_deployed_again_where_it_was_deleted(own_python_server: Server) -> None:
    with own_python_server.connect() as fab:
        f = fab.function(square)
        assert f.remote(2) == 4
        for deployed in fab.functions(tag="python"):
            deployed.delete()
        assert f.remote(3) == 9
        assert f.map([4]).result() == [16]


def test_one_thread_of_many_deploys_the_runner(python_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(*args: object) -> object:
        asked.append(args)
        return deployed(*args)  # type: ignore[arg-type]

    deployed = runner.deployed
    monkeypatch.setattr(runner, "deployed", counted)
    with python_server.connect() as fab, FabricExecutor(fab, max_workers=8) as executor:
        assert list(executor.map(square, range(16))) == [n * n for n in range(16)]
    assert len(asked) == 1


def test_coroutines_of_the_async_twin(python_server: Server) -> None:
    async def main() -> tuple[object, ...]:
        async with AsyncFabric(python_server.url, python_server.token) as there:
            f = there.function(square)
            calls = await asyncio.gather(f.remote(2), f.remote(3))
            job = await f.map(range(5))
            spread = await there.function(pow).starmap([(2, 3)])
            call = await there.function(picky).spawn(2)
            found = await f.job(job.id)
            error = type(await call.exception(60))
            return calls, await job, [value async for value in job], await spread, f(4), await found, error

    five = [0, 1, 4, 9, 16]
    assert asyncio.run(main()) == ([4, 9], five, five, [8], 16, five, ValueError)


def test_await_in_a_coroutine(fab: Fabric) -> None:
    async def main() -> object:
        return await fab.function(square).map([1, 2])

    assert asyncio.run(main()) == [1, 4]


def test_a_call_that_is_awaited_explains_its_error(fab: Fabric) -> None:
    def spin() -> None:
        while True:
            pass

    call = fab.function(limits={"fuel": 100_000_000})(spin).spawn()

    async def main() -> object:
        return await call

    with pytest.raises(LimitExceeded, match=r"@fab\.function\(limits="):
        asyncio.run(main())
    assert "@fab.function(limits={" in str(call.exception())
    assert asyncio.run(_awaited(fab.function(square).spawn(3))) == 9


async def _awaited(call: Awaitable[object]) -> object:
    return await call


def test_an_executor_takes_python_functions(fab: Fabric) -> None:
    with FabricExecutor(fab, max_workers=4) as executor:
        assert list(executor.map(square, range(5))) == [0, 1, 4, 9, 16]
        future = executor.submit(picky, 2)
        assert isinstance(future.exception(60), ValueError)
        assert executor.submit(fab.function(square), 3).result() == 9
