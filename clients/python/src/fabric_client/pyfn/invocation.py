"""`PyInvocation`: a handle to an asynchronous call of a Python function, with its Python value and exception."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ..api import jobs
from ..errors import FabricError
from ..invocation import Invocation, InvocationBase
from ..steps import Plan
from .errors import OutsideFrames, explained


class PyInvocationBase(InvocationBase):
    """The base of the sync and the async class: the plans that both run."""

    _fabric: Any

    def _failure(self) -> Plan[FabricError | None]:
        failure = yield from jobs.invocation_failure(self._fabric.policy, self.info)
        return None if failure is None else explained(failure)

    def _value(self) -> Plan[Any]:
        failure = yield from self._failure()
        if failure is not None:
            raise failure
        return self.decoder(*(yield from jobs.invocation_result(self._fabric.policy, self.id)))

    def _exception(self) -> Plan[BaseException | None]:
        failure = yield from self._failure()
        if failure is not None:
            return failure
        content, kind = yield from jobs.invocation_result(self._fabric.policy, self.id)
        try:
            self.decoder(content, kind)
        except Exception as error:
            return error
        return None


class PyInvocation(PyInvocationBase, Invocation):
    """A handle to an asynchronous call of a Python function. Like `Invocation`, with Python values and exceptions."""

    def result(self, timeout: float | None = None) -> Any:
        """Waits for the end and returns the value.

        Raises:
            Exception: the function's.
            GuestFault, LimitExceeded, JobCancelled, WaitTimeout: as `Invocation.result`.
        """
        self.wait(timeout)
        with OutsideFrames():
            return self._fabric._io.run(self._value())

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits for the end and returns the exception that `result` would raise, or None."""
        self.wait(timeout)
        found: BaseException | None = self._fabric._io.run(self._exception())
        return found

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        from ..aio import AsyncFabric
        from .aio import AsyncPyInvocation

        async with AsyncFabric._of(self._fabric.settings, self._fabric.policy) as twin:
            return await AsyncPyInvocation(twin, self.info, self.decoder).result()
