"""Handles of Python functions' jobs and calls: as the client's, with values and exceptions of Python."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from typing import Any

from ..aio import AsyncFabric, AsyncInvocation, AsyncJob
from ..errors import LimitExceeded
from ..invocation import Invocation
from ..job import Job
from .outcome import Outcome


def _values(tasks: Iterable[list[Outcome]], return_exceptions: bool) -> list[Any]:
    """The values of all tasks in order; raises the first exception, or gives exceptions as values."""
    outcomes = (outcome for task in tasks for outcome in task)
    if return_exceptions:
        return [outcome.value if outcome.error is None else outcome.error for outcome in outcomes]
    return [outcome.get() for outcome in outcomes]


def _of(job: Job | AsyncJob, found: Any, return_exceptions: bool) -> Any:
    """What `result` gives, from what the job's tasks gave."""
    values = _values([found] if job.is_single else found, return_exceptions)
    return values[0] if job.is_single else values


def _hinted(error: LimitExceeded) -> LimitExceeded:
    """The error with what a user of `map` can do."""
    more = "the limits hold for all items of a task: give a smaller chunksize, or higher limits"
    error.hint = f"{error.hint}; {more}" if error.hint else more
    return error


class PyJob(Job):
    """A Python function mapped over items or a data set. As `Job`, but for what it gives: a value for each item, in
    order, or for each partition; or one value of a job that reduces."""

    def result(
        self, timeout: float | None = None, *, progress: bool | None = None, return_exceptions: bool = False
    ) -> Any:
        """Waits and gives the list of values, in order, or the one value of a job that reduces.

        Args:
            timeout: Seconds; None for no limit.
            progress: As `Job.wait`.
            return_exceptions: Give exceptions that the function raised in place of values; else the first one is
                raised.

        Raises:
            Exception: the first that the function raised.
            GuestFault, LimitExceeded and the like: what failed the job as a whole.
            JobCancelled, WaitTimeout: as `Job.result`.
        """
        try:
            found = super().result(timeout, progress=progress)
        except LimitExceeded as error:
            raise _hinted(error) from None
        return _of(self, found, return_exceptions)

    def results(self, timeout: float | None = None) -> Iterator[tuple[int, Any]]:
        """Pairs of a task's number and the list of its values, as tasks complete. A task has `chunksize` items."""
        for index, outcomes in super().results(timeout):
            yield index, _values([outcomes], False)

    def __iter__(self) -> Iterator[Any]:
        """The values in order, as soon as each task is there; raises where the function raised."""
        for values in super().__iter__():
            yield from values

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        async with AsyncFabric._of(self._fabric.settings, self._fabric.policy) as twin:
            job = await twin.job(self.id, decoder=self.decoder)
            return _of(job, await job.result(), False)


class AsyncPyJob(AsyncJob):
    """As `PyJob`, for coroutines."""

    async def result(
        self, timeout: float | None = None, *, progress: bool | None = None, return_exceptions: bool = False
    ) -> Any:
        """As `PyJob.result`."""
        try:
            found = await super().result(timeout, progress=progress)
        except LimitExceeded as error:
            raise _hinted(error) from None
        return _of(self, found, return_exceptions)

    async def results(self, timeout: float | None = None) -> AsyncIterator[tuple[int, Any]]:
        """As `PyJob.results`."""
        async for index, outcomes in super().results(timeout):
            yield index, _values([outcomes], False)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """As `PyJob.__iter__`."""
        async for values in super().__aiter__():
            for value in values:
                yield value


class PyInvocation(Invocation):
    """A call of a Python function that runs by itself. As `Invocation`, with values and exceptions of Python."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits and gives the exception that `result` would raise, or None."""
        failure = super().exception(timeout)
        if failure is not None:
            return failure
        try:
            self.result()
        except Exception as error:
            return error
        return None


class AsyncPyInvocation(AsyncInvocation):
    """As `PyInvocation`, for coroutines."""

    async def exception(self, timeout: float | None = None) -> BaseException | None:
        """As `PyInvocation.exception`."""
        failure = await super().exception(timeout)
        if failure is not None:
            return failure
        try:
            await self.result()
        except Exception as error:
            return error
        return None
