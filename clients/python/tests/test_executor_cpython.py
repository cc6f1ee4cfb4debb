"""CPython's own tests of executors, over `FabricExecutor`, where the interpreter comes with them (from 3.12 on).

Their functions are arbitrary Python, so each piece of work is a call on the server and then the test's function here:
what is tested is that submitting, futures, waiting, mapping and shutting down behave as CPython wants it.
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
    """A function whose work begins with a call on the server."""

    def __init__(self, fab: Fabric, function: Callable[..., Any]) -> None:
        self._fab = fab
        self._function = function

    def remote(self, /, *args: Any, **kwargs: Any) -> Any:
        assert self._fab.function("noop")(b"on the server") == b"on the server"
        return self._function(*args, **kwargs)


class Executor(FabricExecutor):
    """Takes what CPython's tests submit."""

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
    """Of CPython's tests of shutdown those that know nothing of what an executor is made of."""

    def test_cancel_futures(self) -> None:
        from test.test_concurrent_futures.test_shutdown import ExecutorShutdownTest

        ExecutorShutdownTest.test_cancel_futures(self)

    def test_run_after_shutdown(self) -> None:
        from test.test_concurrent_futures.test_shutdown import ExecutorShutdownTest

        ExecutorShutdownTest.test_run_after_shutdown(self)

    def test_hang_issue12364(self) -> None:
        from test.test_concurrent_futures.test_shutdown import ExecutorShutdownTest

        ExecutorShutdownTest.test_hang_issue12364(self)
