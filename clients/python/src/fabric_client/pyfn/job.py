"""`PyJob`: a handle to a job of a Python function, with Python values and exceptions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import convert
from ..api import jobs
from ..batches import Batches
from ..errors import FabricError, LimitExceeded, SettingError
from ..in_order import InOrder
from ..job import Job, JobBase
from ..steps import Plan
from .errors import OutsideFrames
from .outcome import Outcome
from .results import Decoder, Item, Items, hinted, note, of_items

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..wire import job as wire


@dataclass(frozen=True)
class Submitted:
    """A submitted map, as far as this process knows it."""

    info: wire.Job
    decoder: Decoder
    items: Items | None = None
    #: Submits the items with these numbers again, each as a task; None if this process cannot.
    again: Callable[[list[int]], Plan[Submitted]] | None = None


class PyJobBase(JobBase):
    """The base of the sync and the async class: the plans that both run."""

    def __init__(
        self,
        fabric: Any,
        info: wire.Job,
        decoder: Callable[..., Any],
        items: Items | None = None,
        again: Callable[[list[int]], Plan[Submitted]] | None = None,
    ) -> None:
        JobBase.__init__(self, info, decoder)
        self._fabric = fabric
        #: The items, as far as this process knows them.
        self.items = items or Items()
        #: Number of items that failed, once results were read.
        self.failed_items: int | None = None
        self._again = again
        #: The job of the items that a limit ended together with others, once it was submitted.
        self._alone: Self | None = None

    @classmethod
    def _of(cls, fabric: Any, given: Submitted) -> Self:
        return cls(fabric, given.info, given.decoder, given.items, given.again)

    def _renewed(self, info: wire.Job) -> Self:
        return type(self)(self._fabric, info, self.decoder, self.items, self._again)

    # Plans for an ended job.

    def _failure(self) -> Plan[FabricError | None]:
        """Returns the error of the whole job, or None."""
        failure = yield from jobs.failure(self._fabric.policy, self.info)
        return None if failure is None else hinted(failure)

    def _listed(self) -> Plan[list[Item]]:
        """Returns all items with their outcomes. A job with a reduce has one."""
        if self.is_single:
            found: list[Outcome] = yield from jobs.values(self._fabric.policy, self.info, self.decoder)
            listed = [Item(0, found[0], 0)]
        else:
            listed = yield from of_items(self._fabric.policy, self.info, self.decoder, self.items)
        self.failed_items = sum(item.outcome.error is not None for item in listed)
        return listed

    def _read(self, return_exceptions: bool) -> Plan[list[Item]]:
        """Returns all items for `result`.

        Raises:
            FabricError: the failure of the whole job, unless each item has a place for it.
        """
        if self.is_single or self.state != "failed" or not return_exceptions:
            failure = yield from self._failure()
            if failure is not None:
                raise failure
        return (yield from self._listed())

    def _exception(self) -> Plan[BaseException | None]:
        failure = yield from self._failure()
        if failure is not None:
            return failure
        listed = yield from self._listed()
        return next((item.outcome.error for item in listed if self._is_raised(item)), None)

    def _failures(self) -> Plan[list[tuple[int, BaseException]]]:
        if self.is_single:
            error = yield from self._exception()
            return [] if error is None else [(0, error)]
        listed = yield from self._listed()
        return [(item.number, item.outcome.error) for item in listed if item.outcome.error is not None]

    def _retried(self) -> Plan[Self]:
        if self._again is None:
            raise SettingError(
                f"the items of job {self.id} are not known to this process, or it has a reduce",
                hint="map the function over them again; results of items that succeeded are cached",
            )
        numbers = [number for number, _ in (yield from self._failures())]
        if not numbers:
            raise SettingError(f"no item of job {self.id} failed")
        return self._of(self._fabric, (yield from self._again(numbers)))

    def _rerun(self, listed: list[Item]) -> Plan[Self | None]:
        """Submits the items again, each alone, that a limit ended together with others. Returns their job, or None."""
        numbers = self._ended_together(listed)
        if not numbers or self._again is None:
            return None
        if self._alone is None:
            self._alone = self._of(self._fabric, (yield from self._again(numbers)))
        return self._alone

    def _merged(self, listed: list[Item], alone: PyJobBase) -> Plan[list[Item]]:
        """Returns the items with the outcomes of those that were run again."""
        numbers = self._ended_together(listed)
        found = yield from alone._listed()
        new = dict(zip(numbers, (item.outcome for item in found), strict=True))
        for number, outcome in new.items():
            if outcome.error is not None:
                # The number in the other job.
                vars(outcome.error).pop("__notes__", None)
                note(outcome.error, number, self.items)
        merged = [Item(item.number, new.get(item.number, item.outcome), item.task) for item in listed]
        self.failed_items = sum(item.outcome.error is not None for item in merged)
        return merged

    def _ended_together(self, listed: list[Item]) -> list[int]:
        """Returns the numbers of the items without an outcome of their own because their task was ended."""
        sizes: dict[int, int] = {}
        for item in listed:
            sizes[item.task] = sizes.get(item.task, 0) + 1
        lost = {item.task for item in listed if isinstance(item.outcome.error, LimitExceeded)}
        if self.state == "failed":
            lost |= {item.task for item in listed if item.outcome.error is not None and item.outcome.from_task}
        return [
            item.number for item in listed if item.task in lost and (sizes[item.task] > 1 or self.state == "failed")
        ]

    # Values.

    def _is_raised(self, item: Item) -> bool:
        """Returns True if `result` raises the exception of this item. A task that was allowed to fail is a value."""
        allowed = self.info.spec.allow_failed > 0 and item.outcome.from_task
        return item.outcome.error is not None and not allowed

    def _values(self, listed: list[Item], return_exceptions: bool) -> Any:
        if self.is_single:
            return listed[0].outcome.get()
        for item in listed:
            if not return_exceptions and self._is_raised(item):
                item.outcome.get()
        return [item.outcome.value if item.outcome.error is None else item.outcome.error for item in listed]

    def _rows(self, result: Any) -> list[Any]:
        """Returns the values for a table."""
        return self._with_rows([result] if self.is_single else result)

    def _with_rows(self, values: list[Any]) -> list[Any]:
        """Returns values for a table. An item that was allowed to fail has none. Columns are rows, if the function
        received columns."""
        values = [value for value in values if not isinstance(value, BaseException)]
        batch = self.info.spec.params.get("batch")
        are_columns = isinstance(batch, dict) and batch.get("format") == "columns"
        return list(map(convert.rows_of_columns, values)) if are_columns else values

    def _repr_html_(self) -> str:
        from ..notebook.html import job_card

        return job_card(self.info, self.failed_items or 0)


def given(outcomes: Iterable[Outcome], return_exceptions: bool) -> list[Any]:
    """Returns the values of a task, with exceptions in their places, or raises the first exception."""
    with OutsideFrames():
        if return_exceptions:
            return [outcome.value if outcome.error is None else outcome.error for outcome in outcomes]
        return [outcome.get() for outcome in outcomes]


class PyJob(PyJobBase, Job):
    """A handle to a job of a Python function. Like `Job`, with one value per item, in order, or per partition, or a
    single value for a job with a reduce."""

    def result(
        self, timeout: float | None = None, *, progress: bool | None = None, return_exceptions: bool = False
    ) -> Any:
        """Waits for the end and returns the list of values, in order, or the one value of a job with a reduce.

        An exception has a note that names its item. In a job with `allow_failed`, an item whose task failed has the
        exception in its place.

        Args:
            timeout: Seconds, also for items that are run again; None for no limit.
            progress: As `Job.wait`.
            return_exceptions: Return exceptions of the function in place of values. By default the first one is
                raised. Items that a limit ended together with another one are run again, each alone.

        Raises:
            Exception: the first that the function raised.
            GuestFault, LimitExceeded and others: the failure of the whole job.
            JobCancelled, WaitTimeout: as `Job.result`.
        """
        limit = jobs.Limit(timeout)
        self.wait(timeout, progress=progress)
        with OutsideFrames():
            listed = self._run(self._read(return_exceptions))
            alone = self._run(self._rerun(listed)) if return_exceptions else None
            if alone is not None:
                alone.wait(limit.remaining(), progress=progress)
                listed = self._run(self._merged(listed, alone))
            return self._values(listed, return_exceptions)

    def failures(self, timeout: float | None = None) -> list[tuple[int, BaseException]]:
        """Waits for the end and returns the numbers of the items that failed, with their exceptions."""
        self.wait(timeout)
        return self._run(self._failures())

    def retry_failed(self, timeout: float | None = None) -> PyJob:
        """Waits for the end and runs the items that failed again, each as a task. Returns the new job, with results in
        the order of `failures`. It has the options of this job, without `key` and `output`.

        Raises:
            SettingError: if no item failed, if the job has a reduce, or if this process did not submit it, since it
                does not know the items then.
        """
        self.wait(timeout)
        return self._run(self._retried())

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits for the end and returns the exception that `result` would raise, or None."""
        self.wait(timeout)
        return self._run(self._exception())

    def results(self, timeout: float | None = None, *, return_exceptions: bool = False) -> Iterator[tuple[int, Any]]:
        """Yields pairs of a task's number and the list of its values, as tasks complete: `chunksize` items each. With
        `return_exceptions`, exceptions of the function take the places of values, and the results go on."""
        for index, outcomes in super().results(timeout):
            yield index, given(outcomes, return_exceptions)

    def __iter__(self) -> Iterator[Any]:
        """Yields the values in order, as soon as their tasks complete. Raises the function's exception in its place."""
        for values in super().__iter__():
            yield from values

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        from ..aio import AsyncFabric
        from .aio import AsyncPyJob

        async with AsyncFabric._of(self._fabric.settings, self._fabric.policy) as twin:
            return await AsyncPyJob(twin, self.info, self.decoder, self.items).result()

    def to_pandas(self, timeout: float | None = None) -> Any:
        """Waits for the end and returns one pandas DataFrame of the values, in order: a dict, a dataclass or a named
        tuple is a row, a DataFrame stays one, a list has one row per element, any other value is a row with the column
        `value`. If the function received columns, a dict of lists or arrays of one length is columns. An item whose
        task was allowed to fail has no row: see `failures`.

        Raises:
            ImportError: if pandas is not installed.
            As `result`.
        """
        return convert.rows_to_pandas(self._rows(self.result(timeout)))

    def to_arrow(self, timeout: float | None = None, *, schema: Any = None) -> Any:
        """Waits for the end and returns one pyarrow Table of the values, with rows as in `to_pandas`.

        Raises:
            SettingError: for rows that have other columns or types than `schema`, if given, or than each other.
            As `result`.
        """
        return Batches(schema).table(list(convert.value_rows(self._rows(self.result(timeout)))))

    def to_arrow_batches(self, timeout: float | None = None, *, schema: Any = None) -> Iterator[Any]:
        """Yields a pyarrow RecordBatch for each task with rows, in order, as tasks complete, for tables that are larger
        than memory. Rows are as in `to_pandas`. See `Job.to_arrow_batches`."""
        batches, ordered = Batches(schema), InOrder()
        for index, values in self.results(timeout):
            for due in ordered.add(index, values):
                yield from batches.of_values(self._with_rows(due))
        for late in ordered.rest():
            yield from batches.of_values(self._with_rows(late))

    def to_numpy(self, dtype: Any = None, timeout: float | None = None) -> Any:
        """Waits for the end and returns one NumPy array of the values, which are numbers or lists of numbers."""
        return convert.values_to_numpy(self._rows(self.result(timeout)), dtype)

    def stream(self, timeout: float | None = None) -> Iterator[bytes]:
        """Waits for the end and yields the values as JSON lines.

        Raises:
            TypeError: for a value that is not JSON.
            As `result`.
        """
        yield from convert.json_lines(self._rows(self.result(timeout)))
