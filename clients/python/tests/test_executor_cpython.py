"""CPython's own tests of executors, run on `FabricExecutor` if the interpreter includes them (3.12 or newer).

Their functions are arbitrary Python, so each task is a call on the server followed by the test's function in this
process. This checks the contract of submitting, futures, waiting, mapping and shutdown.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from server import Server

from fabric_client import Fabric, FabricExecutor

try:
    from test.test_concurrent_futures import executor, test_as_completed, test_wait, util
except ImportError:
    pytest.skip("this interpreter comes without CPython's tests of executors", allow_module_level=True)


class CallFirst:
    """Wraps a function to make a call on the server first."""

    def __init__(self, fab: Fabric, function: Callable[..., Any]) -> None:
        self._fab = fab
        self._function = function

    def remote(self, /, *args: Any, **kwargs: Any) -> Any:
        assert self._fab.function("noop")(b"on the server") == b"on the server"
        return self._function(*args, **kwargs)


class Executor(FabricExecutor):
    """An executor that accepts the functions of CPython's tests."""

    fab: Fabric

    def __init__(self, max_workers: int = 32) -> None:
        super().__init__(self.fab, max_workers)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return super().submit(CallFirst(self.fab, fn), *args, **kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _client(server: Server) -> Iterator[None]:
    with server.connect() as Executor.fab:
        yield


class Mixin(util.ExecutorMixin):  # type: ignore[misc]
    executor_type = Executor


class TestExecutor(Mixin, executor.ExecutorTest, util.BaseTestCase):  # type: ignore[misc]
    pass


class TestWait(Mixin, test_wait.WaitTests, util.BaseTestCase):  # type: ignore[misc]
    pass


class TestAsCompleted(Mixin, test_as_completed.AsCompletedTests, util.BaseTestCase):  # type: ignore[misc]
    pass


class TestShutdown(Mixin, unittest.TestCase):  # type: ignore[misc]
    """CPython's tests of shutdown that do not depend on internals of executors."""

    def test_cancel_futures(self) -> None:
        from test.test_concurrent_futures.test_shutdown import ExecutorShutdownTest

        ExecutorShutdownTest.test_cancel_futures(self)

    def test_run_after_shutdown(self) -> None:
        from test.test_concurrent_futures.test_shutdown import ExecutorShutdownTest

        ExecutorShutdownTest.test_run_after_shutdown(self)

    def test_hang_issue12364(self) -> None:
        from test.test_concurrent_futures.test_shutdown import ExecutorShutdownTest

        ExecutorShutdownTest.test_hang_issue12364(self)
