"""Handles to jobs and calls of Python functions, with Python values and exceptions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .. import convert
from ..aio import AsyncFabric, AsyncInvocation, AsyncJob
from ..api import jobs
from ..errors import FabricError, GuestFault, LimitExceeded, SettingError
from ..invocation import Invocation
from ..job import Job, JobBase
from .errors import RemoteTraceback, explained
from .outcome import Outcome
from .results import Item, Items, hinted, note, of_items

if TYPE_CHECKING:
    from ..fabric import Fabric
    from ..wire import job as wire

_KILLED = (LimitExceeded,)
"""Errors that end a task with all of its items, although one item may have caused them."""


class _PyJobBase(JobBase):
    """What the sync and the async class share."""

    #: The items, as far as this process knows them.
    items: Items
    #: Submits some of the items again, each as a task; None if this process does not know the function.
    again: Callable[[list[int]], Any] | None
    #: Number of items that failed, once results were read.
    failed_items: int | None

    def _began(self, items: Items | None, again: Callable[[list[int]], Any] | None) -> None:
        self.items, self.again, self.failed_items = items or Items(), again, None

    def _count(self, listed: list[Item]) -> list[Item]:
        self.failed_items = sum(item.outcome.error is not None for item in listed)
        return listed

    def _killed(self, listed: list[Item]) -> list[int]:
        """Returns the numbers of the items without an outcome of their own because their task was ended."""
        sizes: dict[int, int] = {}
        for item in listed:
            sizes[item.task] = sizes.get(item.task, 0) + 1
        lost = {item.task for item in listed if isinstance(item.outcome.error, _KILLED)}
        if self.state == "failed":
            lost |= {item.task for item in listed if item.outcome.error is not None and item.outcome.from_task}
        return [
            item.number for item in listed if item.task in lost and (sizes[item.task] > 1 or self.state == "failed")
        ]

    def _values(self, listed: list[Item], return_exceptions: bool) -> list[Any]:
        allowed = self.info.spec.allow_failed > 0
        found = []
        for item in listed:
            error = item.outcome.error
            if error is None:
                found.append(item.outcome.value)
            elif return_exceptions or (allowed and item.outcome.from_task):
                found.append(error)
            else:
                raise error
        return found

    def _repr_html_(self) -> str:
        from ..notebook.html import job_card

        return job_card(self.info, self.failed_items or 0)


def _merged(listed: list[Item], numbers: list[int], outcomes: list[Outcome]) -> list[Item]:
    """Returns items with new outcomes for those with these numbers."""
    new = dict(zip(numbers, outcomes, strict=True))
    return [Item(item.number, new.get(item.number, item.outcome), item.task) for item in listed]


class PyJob(_PyJobBase, Job):
    """A handle to a job of a Python function. Like `Job`, with one value per item, in order, or per partition, or a
    single value for a job with a reduce."""

    def __init__(
        self,
        fabric: Fabric,
        info: wire.Job,
        decoder: Callable[..., Any],
        items: Items | None = None,
        again: Callable[[list[int]], PyJob] | None = None,
    ) -> None:
        super().__init__(fabric, info, decoder)
        self._began(items, again)

    def result(
        self, timeout: float | None = None, *, progress: bool | None = None, return_exceptions: bool = False
    ) -> Any:
        """Waits for the end and returns the list of values, in order, or the one value of a job with a reduce.

        An exception has a note that names its item. In a job with `allow_failed`, an item whose task failed has the
        exception in its place.

        Args:
            timeout: Seconds; None for no limit.
            progress: As `Job.wait`.
            return_exceptions: Return exceptions of the function in place of values. By default the first one is
                raised. Items that a limit ended together with another one are run again, each alone.

        Raises:
            Exception: the first that the function raised.
            GuestFault, LimitExceeded and others: the failure of the whole job.
            JobCancelled, WaitTimeout: as `Job.result`.
        """
        self.wait(timeout, progress=progress)
        if self.is_single:
            return self._single().get()
        if self.state == "failed" and not return_exceptions:
            raise self._failure()
        listed = self._listed()
        if return_exceptions:
            listed = self._apart(listed)
        try:
            return self._values(self._count(listed), return_exceptions)
        except Exception as error:
            if not isinstance(error.__cause__, RemoteTraceback):
                raise
            # The frames of this package say nothing about the function's exception.
            raise error.with_traceback(None) from error.__cause__

    def _failure(self) -> BaseException:
        failure = self._run(jobs.failure(self._fabric.policy, self.info))
        return hinted(failure) if failure is not None else RuntimeError("the job did not fail")

    def _single(self) -> Outcome:
        try:
            found = self._run(jobs.values(self._fabric.policy, self.info, self.decoder))
        except LimitExceeded as error:
            raise hinted(error) from None
        outcome: Outcome = found[0]
        return outcome

    def _listed(self) -> list[Item]:
        return self._run(of_items(self._fabric.policy, self.info, self.decoder, self.items))

    def _apart(self, listed: list[Item]) -> list[Item]:
        """Runs items again, each alone, whose task was ended."""
        numbers = self._killed(listed)
        if not numbers or self.again is None:
            return listed
        again: PyJob = self.again(numbers)
        again.wait()
        outcomes = [item.outcome for item in again._listed()]
        for number, outcome in zip(numbers, outcomes, strict=True):
            if outcome.error is not None:
                vars(outcome.error).pop("__notes__", None)
                note(outcome.error, number, self.items)
        return _merged(listed, numbers, outcomes)

    def failures(self, timeout: float | None = None) -> list[tuple[int, BaseException]]:
        """Waits for the end and returns the numbers of the items that failed, with their exceptions."""
        self.wait(timeout)
        if self.is_single:
            error = self.exception()
            return [] if error is None else [(0, error)]
        listed = self._count(self._listed())
        return [(item.number, item.outcome.error) for item in listed if item.outcome.error is not None]

    def retry_failed(self, timeout: float | None = None) -> PyJob:
        """Waits for the end and runs the items that failed again, each as a task. Returns the new job, with results in
        the order of `failures`.

        Raises:
            SettingError: if this process did not submit the job, since it does not know the items then.
        """
        numbers = [number for number, _ in self.failures(timeout)]
        if self.again is None:
            raise SettingError(
                f"the items of job {self.id} are not known to this process",
                hint="map the function over them again; results of items that succeeded are cached",
            )
        made: PyJob = self.again(numbers)
        return made

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits for the end and returns the exception that `result` would raise, or None."""
        failure = super().exception(timeout)
        if isinstance(failure, FabricError):
            return hinted(failure)
        if failure is not None:
            return failure
        if self.is_single:
            return self._single().error
        for item in self._count(self._listed()):
            if item.outcome.error is not None:
                return item.outcome.error
        return None

    def results(self, timeout: float | None = None, *, return_exceptions: bool = False) -> Iterator[tuple[int, Any]]:
        """Yields pairs of a task's number and the list of its values, as tasks complete: `chunksize` items each. With
        `return_exceptions`, exceptions of the function take the places of values, and the results go on."""
        for index, outcomes in super().results(timeout):
            yield index, _given(outcomes, return_exceptions)

    def __iter__(self) -> Iterator[Any]:
        """Yields the values in order, as soon as their tasks complete. Raises the function's exception in its place."""
        for values in super().__iter__():
            yield from values

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        async with AsyncFabric._of(self._fabric.settings, self._fabric.policy) as twin:
            job = AsyncPyJob(twin, (await twin.job(self.id)).info, self.decoder, self.items)
            return await job.result()

    def to_pandas(self, timeout: float | None = None) -> Any:
        """Waits for the end and returns one pandas DataFrame of the values, in order: a dict, a dataclass or a named
        tuple is a row, a DataFrame stays one, a list has one row per element, any other value is a row with the column
        `value`.

        Raises:
            ImportError: if pandas is not installed.
            As `result`.
        """
        return convert.rows_to_pandas(self._all(timeout))

    def to_arrow(self, timeout: float | None = None) -> Any:
        """Waits for the end and returns one pyarrow Table of the values, with rows as in `to_pandas`."""
        return convert.rows_to_arrow(self._all(timeout))

    def to_numpy(self, dtype: Any = None, timeout: float | None = None) -> Any:
        """Waits for the end and returns one NumPy array of the values, which are numbers or lists of numbers."""
        return convert.values_to_numpy(self._all(timeout), dtype)

    def stream(self, timeout: float | None = None) -> Iterator[bytes]:
        """Waits for the end and yields the values as JSON lines.

        Raises:
            TypeError: for a value that is not JSON.
            As `result`.
        """
        yield from convert.json_lines(self._all(timeout))

    def _all(self, timeout: float | None) -> list[Any]:
        found = self.result(timeout)
        return [found] if self.is_single else found


def _given(outcomes: Iterable[Outcome], return_exceptions: bool) -> list[Any]:
    if return_exceptions:
        return [outcome.value if outcome.error is None else outcome.error for outcome in outcomes]
    return [outcome.get() for outcome in outcomes]


class AsyncPyJob(_PyJobBase, AsyncJob):
    """The async version of `PyJob`."""

    def __init__(
        self,
        fabric: AsyncFabric,
        info: wire.Job,
        decoder: Callable[..., Any],
        items: Items | None = None,
        again: Callable[[list[int]], Any] | None = None,
    ) -> None:
        super().__init__(fabric, info, decoder)
        self._began(items, again)

    async def result(
        self, timeout: float | None = None, *, progress: bool | None = None, return_exceptions: bool = False
    ) -> Any:
        """See `PyJob.result`."""
        await self.wait(timeout, progress=progress)
        policy, run = self._fabric.policy, self._fabric._io.run
        if self.is_single:
            try:
                found: list[Outcome] = await run(jobs.values(policy, self.info, self.decoder))
            except LimitExceeded as error:
                raise hinted(error) from None
            return found[0].get()
        if self.state == "failed" and not return_exceptions:
            failure = await run(jobs.failure(policy, self.info))
            if failure is not None:
                raise hinted(failure)
        listed: list[Item] = await run(of_items(policy, self.info, self.decoder, self.items))
        numbers = self._killed(listed) if return_exceptions else []
        if numbers and self.again is not None:
            again: AsyncPyJob = await self.again(numbers)
            await again.wait()
            more: list[Item] = await run(of_items(policy, again.info, again.decoder, again.items))
            listed = _merged(listed, numbers, [item.outcome for item in more])
        return self._values(self._count(listed), return_exceptions)

    async def results(
        self, timeout: float | None = None, *, return_exceptions: bool = False
    ) -> AsyncIterator[tuple[int, Any]]:
        """See `PyJob.results`."""
        async for index, outcomes in super().results(timeout):
            yield index, _given(outcomes, return_exceptions)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """See `PyJob.__iter__`."""
        async for values in super().__aiter__():
            for value in values:
                yield value


class PyInvocation(Invocation):
    """A handle to an asynchronous call of a Python function. Like `Invocation`, with Python values and exceptions."""

    def result(self, timeout: float | None = None) -> Any:
        """See `Invocation.result`."""
        try:
            return super().result(timeout)
        except GuestFault as error:
            raise explained(error) from None

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
