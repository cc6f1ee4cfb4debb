"""The async classes of Python functions do what the sync ones do."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from server import Server

from fabric_client import AsyncFabric, LimitExceeded, SettingError
from fabric_client.pyfn import AsyncPyJob, RemoteTraceback
from pyfn.beside import Point

T = TypeVar("T")


def run(server: Server, main: Callable[[AsyncFabric], Awaitable[T]]) -> T:
    async def connected() -> T:
        async with AsyncFabric(server.url, server.token) as fab:
            return await main(fab)

    return asyncio.run(connected())


def picky(n: int) -> int:
    if n % 3 == 2:
        raise ValueError("two too many", n)
    return n


def spin(n: int) -> int:
    while n == 3:
        pass
    return n


def frames(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_items_that_fail_are_named_and_run_again(python_server: Server) -> None:
    async def main(fab: AsyncFabric) -> None:
        job = await fab.function(picky).map(range(6))
        assert [number for number, _ in await job.failures()] == [2, 5]
        assert job.failed_items == 2
        values = await job.result(return_exceptions=True)
        assert values[:2] + values[3:5] == [0, 1, 3, 4]
        assert vars(values[5])["__notes__"] == ["item 5: 5"]
        assert (await job.exception()).args == ("two too many", 2)
        with pytest.raises(ValueError, match="two too many") as caught:
            await job.result()
        assert frames(caught.value) == ["main", "result"]
        taken = [value async for _, some in job.results(return_exceptions=True) for value in some]
        assert [type(value) for value in taken].count(ValueError) == 2
        again = await job.retry_failed()
        assert isinstance(again, AsyncPyJob)
        assert [number for number, _ in await again.failures()] == [0, 1]

    run(python_server, main)


def test_an_item_that_is_killed_fails_alone(python_server: Server) -> None:
    async def main(fab: AsyncFabric) -> None:
        f = fab.function(limits={"fuel": 200_000_000})(spin)
        values = await (await f.map(range(6), chunksize=2)).result(return_exceptions=True)
        assert values[:3] + values[4:] == [0, 1, 2, 4, 5]
        assert isinstance(values[3], LimitExceeded)
        assert vars(values[3])["__notes__"] == ["item 3: 3"]
        with pytest.raises(SettingError, match="no item of job"):
            await (await f.map([1])).retry_failed()

    run(python_server, main)


def test_results_are_tables_and_lines(python_server: Server, tmp_path: Path) -> None:
    async def main(fab: AsyncFabric) -> None:
        rows = await fab.function(lambda n: {"n": n, "x": n / 2}).map(range(3))
        assert (await rows.to_pandas()).to_dict("list") == {"n": [0, 1, 2], "x": [0.0, 0.5, 1.0]}
        assert (await rows.to_arrow()).to_pylist()[1] == {"n": 1, "x": 0.5}
        points = await fab.function(lambda n: Point(n)).map(range(2))
        assert list(await points.to_pandas()) == ["x", "y", "tags"]
        total = await fab.function(abs).map(range(4), reduce=lambda a, b: a + b)
        assert (await total.to_numpy()).tolist() == [6]
        squares = await fab.function(lambda n: n * n).map(range(4))
        assert (await squares.to_numpy()).tolist() == [0, 1, 4, 9]
        assert b"".join([line async for line in squares.stream()]) == b"0\n1\n4\n9\n"
        assert await squares.save(tmp_path / "squares.jsonl") == 8
        assert (tmp_path / "squares.jsonl").read_bytes() == b"0\n1\n4\n9\n"

    run(python_server, main)


def test_errors_of_calls_are_those_of_python(python_server: Server) -> None:
    async def main(fab: AsyncFabric) -> None:
        with pytest.raises(ValueError, match="two too many") as caught:
            await fab.function(picky).remote(2)
        assert frames(caught.value) == ["main", "remote"]
        assert isinstance(caught.value.__cause__, RemoteTraceback)
        failed = await fab.function(picky).spawn(5)
        with pytest.raises(ValueError, match="two too many") as caught:
            await failed.result(60)
        assert frames(caught.value) == ["main", "result"]
        ended = await fab.function(limits={"fuel": 200_000_000})(spin).spawn(3)
        with pytest.raises(LimitExceeded) as limited:
            await ended.result(60)
        for error in (limited.value, await ended.exception()):
            assert "@fab.function(limits={" in str(error)
            assert "libpython" not in str(error)

    run(python_server, main)
