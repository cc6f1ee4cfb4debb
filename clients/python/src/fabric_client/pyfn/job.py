"""Handles to jobs and calls of Python functions, with Python values and exceptions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from typing import Any

from ..aio import AsyncFabric, AsyncInvocation, AsyncJob
from ..errors import LimitExceeded
from ..invocation import Invocation
from ..job import Job
from .outcome import Outcome


def _values(tasks: Iterable[list[Outcome]], return_exceptions: bool) -> list[Any]:
    """Returns the values of all tasks in order. Raises the first exception, or returns exceptions as values."""
    outcomes = (outcome for task in tasks for outcome in task)
    if return_exceptions:
        return [outcome.value if outcome.error is None else outcome.error for outcome in outcomes]
    return [outcome.get() for outcome in outcomes]


def _of(job: Job | AsyncJob, found: Any, return_exceptions: bool) -> Any:
    """Converts the results of a job's tasks to the value of `result`."""
    values = _values([found] if job.is_single else found, return_exceptions)
    return values[0] if job.is_single else values


def _hinted(error: LimitExceeded) -> LimitExceeded:
    """Adds a hint for users of `map`."""
    more = "the limits apply to all items of a task: use a smaller chunksize, or raise the limits"
    error.hint = f"{error.hint}; {more}" if error.hint else more
    return error


class PyJob(Job):
    """A handle to a job of a Python function. Like `Job`, with one value per item, in order, or per partition, or a
    single value for a job with a reduce."""

    def result(
        self, timeout: float | None = None, *, progress: bool | None = None, return_exceptions: bool = False
    ) -> Any:
        """Waits for the end and returns the list of values, in order, or the one value of a job with a reduce.

        Args:
            timeout: Seconds; None for no limit.
            progress: As `Job.wait`.
            return_exceptions: Return exceptions of the function in place of values. By default the first one is
                raised.

        Raises:
            Exception: the first that the function raised.
            GuestFault, LimitExceeded and others: the failure of the whole job.
            JobCancelled, WaitTimeout: as `Job.result`.
        """
        try:
            found = super().result(timeout, progress=progress)
        except LimitExceeded as error:
            raise _hinted(error) from None
        return _of(self, found, return_exceptions)

    def results(self, timeout: float | None = None) -> Iterator[tuple[int, Any]]:
        """Yields pairs of a task's number and the list of its values, as tasks complete: `chunksize` items each."""
        for index, outcomes in super().results(timeout):
            yield index, _values([outcomes], False)

    def __iter__(self) -> Iterator[Any]:
        """Yields the values in order, as soon as their tasks complete. Raises the function's exception in its place."""
        for values in super().__iter__():
            yield from values

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        async with AsyncFabric._of(self._fabric.settings, self._fabric.policy) as twin:
            job = await twin.job(self.id, decoder=self.decoder)
            return _of(job, await job.result(), False)


class AsyncPyJob(AsyncJob):
    """The async version of `PyJob`."""

    async def result(
        self, timeout: float | None = None, *, progress: bool | None = None, return_exceptions: bool = False
    ) -> Any:
        """See `PyJob.result`."""
        try:
            found = await super().result(timeout, progress=progress)
        except LimitExceeded as error:
            raise _hinted(error) from None
        return _of(self, found, return_exceptions)

    async def results(self, timeout: float | None = None) -> AsyncIterator[tuple[int, Any]]:
        """See `PyJob.results`."""
        async for index, outcomes in super().results(timeout):
            yield index, _values([outcomes], False)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """See `PyJob.__iter__`."""
        async for values in super().__aiter__():
            for value in values:
                yield value


class PyInvocation(Invocation):
    """A handle to an asynchronous call of a Python function. Like `Invocation`, with Python values and exceptions."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits for the end and returns the exception that `result` would raise, or None."""
        failure = super().exception(timeout)
        if failure is not None:
            return failure
        try:
            self.result()
        except Exception as error:
            return error
        return None


class AsyncPyInvocation(AsyncInvocation):
    """The async version of `PyInvocation`."""

    async def exception(self, timeout: float | None = None) -> BaseException | None:
        """See `PyInvocation.exception`."""
        failure = await super().exception(timeout)
        if failure is not None:
            return failure
        try:
            await self.result()
        except Exception as error:
            return error
        return None
