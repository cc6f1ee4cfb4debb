"""`FabricExecutor` behaves like other executors: the behaviours that CPython's own tests check."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from server import until

from fabric_client import Fabric, FabricExecutor, Function, GuestFault, Invocation


@pytest.fixture
def executor(fab: Fabric) -> Iterator[FabricExecutor]:
    with FabricExecutor(fab, max_workers=4) as made:
        yield made


@pytest.fixture
def noop(fab: Fabric) -> Function:
    return fab.function("noop")


class Gate:
    """A call that runs on the server until the test ends it."""

    def __init__(self, fab: Fabric) -> None:
        self._fab = fab
        self.calls: list[Invocation] = []
        self.begun = threading.Semaphore(0)

    def remote(self, value: object) -> object:
        call = self._fab.function("endless").spawn(value)
        self.calls.append(call)
        self.begun.release()
        call.wait()
        return value

    def open(self) -> None:
        for call in self.calls:
            call.cancel()


@pytest.fixture
def gate(fab: Fabric) -> Iterator[Gate]:
    made = Gate(fab)
    yield made
    made.open()


def test_submit(executor: FabricExecutor, noop: Function, fab: Fabric) -> None:
    assert executor.submit(noop, b"value").result() == b"value"
    counted = executor.submit(fab.function("wordcount"), "a b a", emit=False).result()
    assert counted["words"] == {"a": 2, "b": 1}


def test_map_gives_values_in_the_order_of_the_arguments(executor: FabricExecutor, noop: Function) -> None:
    values = [f"{n}".encode() for n in range(50)]
    assert list(executor.map(noop, values)) == values
    assert list(executor.map(noop, values, chunksize=7)) == values
    assert list(executor.map(noop, [])) == []


def test_map_raises_where_a_call_failed(executor: FabricExecutor, fab: Fabric) -> None:
    results = executor.map(fab.function("montecarlo-pi"), [{"seed": 1, "samples": 10}, {"seed": 1}])
    assert next(results)["total"] == 10
    with pytest.raises(GuestFault, match="samples"):
        next(results)


def test_map_with_a_timeout(executor: FabricExecutor, gate: Gate) -> None:
    results = executor.map(gate, ["never ends by itself"], timeout=0.1)  # type: ignore[arg-type]
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)
    gate.begun.acquire()
    gate.open()


def test_an_exception_is_the_futures(executor: FabricExecutor, fab: Fabric) -> None:
    future = executor.submit(fab.function("trap"))
    error = future.exception()
    assert isinstance(error, GuestFault)
    assert error.backtrace
    with pytest.raises(GuestFault):
        future.result()


def test_what_has_not_begun_can_be_cancelled(fab: Fabric, gate: Gate) -> None:
    with FabricExecutor(fab, max_workers=1) as executor:
        first = executor.submit(gate, 1)  # type: ignore[arg-type]
        gate.begun.acquire()
        second = executor.submit(gate, 2)  # type: ignore[arg-type]
        assert first.running()
        assert not first.cancel()
        assert second.cancel()
        assert second.cancelled()
        gate.open()
        assert first.result() == 1
    with pytest.raises(concurrent.futures.CancelledError):
        second.result()


def test_not_more_calls_at_once_than_workers(fab: Fabric, gate: Gate) -> None:
    with FabricExecutor(fab, max_workers=2) as executor:
        futures = [executor.submit(gate, n) for n in range(4)]  # type: ignore[arg-type]
        gate.begun.acquire()
        gate.begun.acquire()
        assert [future.running() for future in futures] == [True, True, False, False]
        until("all have run", lambda: (gate.open(), all(future.done() for future in futures))[1])
        assert [future.result() for future in futures] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="max_workers"):
        FabricExecutor(fab, max_workers=0)


def test_the_modules_functions_work_on_its_futures(executor: FabricExecutor, noop: Function, gate: Gate) -> None:
    quick = [executor.submit(noop, b"%d" % n) for n in range(5)]
    slow = executor.submit(gate, "slow")  # type: ignore[arg-type]
    done, rest = concurrent.futures.wait([*quick, slow], return_when=concurrent.futures.FIRST_COMPLETED)
    assert slow in rest
    assert done
    assert {future.result() for future in concurrent.futures.as_completed(quick)} == {b"0", b"1", b"2", b"3", b"4"}
    gate.begun.acquire()
    gate.open()
    assert concurrent.futures.wait([slow]).done == {slow}


def test_callbacks_are_called(executor: FabricExecutor, noop: Function) -> None:
    called: list[Any] = []
    future = executor.submit(noop, b"x")
    future.add_done_callback(lambda ended: called.append(ended.result()))
    executor.shutdown()
    assert called == [b"x"]


def test_after_shutdown_nothing_is_taken(fab: Fabric, noop: Function) -> None:
    executor = FabricExecutor(fab)
    futures = [executor.submit(noop, b"%d" % n) for n in range(20)]
    executor.shutdown()
    assert [future.result() for future in futures] == [b"%d" % n for n in range(20)]
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(noop, b"late")
    executor.shutdown()


def test_shutdown_can_cancel_what_has_not_begun(fab: Fabric, gate: Gate) -> None:
    executor = FabricExecutor(fab, max_workers=1)
    futures = [executor.submit(gate, n) for n in range(3)]  # type: ignore[arg-type]
    gate.begun.acquire()
    executor.shutdown(wait=False, cancel_futures=True)
    assert [future.cancelled() for future in futures] == [False, True, True]
    gate.open()
    assert futures[0].result() == 0


def test_shutdown_without_waiting_finishes_what_was_taken(fab: Fabric, noop: Function) -> None:
    executor = FabricExecutor(fab, max_workers=1)
    futures = [executor.submit(noop, b"%d" % n) for n in range(5)]
    executor.shutdown(wait=False)
    assert [future.result() for future in futures] == [b"0", b"1", b"2", b"3", b"4"]


def test_what_does_not_run_on_a_fabric_is_refused(executor: FabricExecutor) -> None:
    with pytest.raises(TypeError, match="cannot run on Fabric"):
        executor.submit("print", "x")  # type: ignore[arg-type]


def test_the_client_it_was_made_of_stays_open(fab: Fabric, noop: Function) -> None:
    with FabricExecutor(fab) as executor:
        executor.submit(noop, b"x").result()
    assert noop(b"y") == b"y"


def test_asyncio_runs_in_it(executor: FabricExecutor, noop: Function) -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, noop, b"%d" % n) for n in range(10)]
        return list(await asyncio.gather(*calls))

    assert asyncio.run(main()) == [b"%d" % n for n in range(10)]
