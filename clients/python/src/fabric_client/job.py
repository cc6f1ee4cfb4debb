"""`Job`: a handle to a job."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from . import convert
from .api import follow, jobs
from .batches import Batches, raw, table_of
from .codec import Decoder, decode
from .in_order import InOrder
from .steps import Flow, Plan
from .wire import job as wire
from .wire.invocation import LogLine

if TYPE_CHECKING:
    from .fabric import Fabric
    from .function import Function
    from .notebook.live import Shown

T = TypeVar("T")


class JobBase:
    """The base of the sync and the async class: the job as last read. Makes no requests."""

    def __init__(self, info: wire.Job, decoder: Decoder) -> None:
        #: The job as last read from the server.
        self.info = info
        self.decoder = decoder
        #: The last display of its card in a notebook.
        self._shown: Shown | None = None

    @property
    def id(self) -> str:
        """The job id, for `Fabric.job(id)` in any process."""
        return self.info.id

    @property
    def name(self) -> str:
        """The display name."""
        return self.info.name

    @property
    def state(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`, as last read."""
        return self.info.state

    @property
    def ended(self) -> bool:
        """True if the job had ended when last read."""
        return jobs.has_ended(self.info)

    @property
    def progress(self) -> wire.TaskCounts:
        """The number of tasks in each state, as last read."""
        return self.info.tasks

    @property
    def cost(self) -> wire.Cost:
        """The cost as last read: fuel, microseconds in sandboxes, bytes in and out."""
        return self.info.cost

    @property
    def is_single(self) -> bool:
        """True if the job has a reduce and thus one result. Otherwise it has one for each partition."""
        return self.info.spec.reduce is not None

    def __repr__(self) -> str:
        tasks = self.info.tasks
        return f"<{type(self).__name__} {self.id} {self.name!r} {self.state}, {tasks.succeeded} of {tasks.total} tasks>"

    def _repr_html_(self) -> str:
        from .notebook.html import job_card

        return job_card(self.info)


class Job(JobBase):
    """A handle to a job: a function mapped over a data set. Created by `Function.map` and `Fabric.job`.

    Properties return the state as last read; `refresh`, `done`, `wait`, `result` and `watch` read it from the server.
    In a coroutine or a notebook cell, `await job` returns the same as `result()` without blocking the event loop.

    Interrupting a wait (Ctrl-C) does not stop the job, which runs on the server. `cancel` stops it.
    """

    def __init__(self, fabric: Fabric, info: wire.Job, decoder: Decoder = decode) -> None:
        super().__init__(info, decoder)
        self._fabric = fabric

    def _ipython_display_(self) -> None:
        from .notebook.live import show

        show(self)

    def _run(self, plan: Plan[T]) -> T:
        return self._fabric._io.run(plan)

    def refresh(self) -> Job:
        """Reads the state from the server. Returns self."""
        self.info = self._run(jobs.look(self._fabric.policy, self.id))
        return self

    def done(self) -> bool:
        """Returns True if the job has ended. Reads the state unless the end is known."""
        return self.ended or self.refresh().ended

    def wait(self, timeout: float | None = None, *, progress: bool | None = None) -> Job:
        """Waits until the job has ended in any state. Returns self. Waits for a server that restarts.

        Args:
            timeout: Seconds; None for no limit.
            progress: Show the progress: a card in a notebook, elsewhere a tqdm bar. By default shown in a notebook, and
                on a terminal if tqdm is installed.

        Raises:
            WaitTimeout: after `timeout` seconds. The job continues.
        """
        from .progress import bar

        if self.ended:
            return self
        with bar(progress) as shown:
            for info in self._fabric._io.iterate(self._looks(timeout, shown is not None)):
                self.info = info
                if shown is not None:
                    shown(self)
        return self

    def _looks(self, timeout: float | None, often: bool) -> Flow[wire.Job]:
        return jobs.looks(self._fabric.policy, self.id, timeout, 1.0 if often else jobs.LONG_POLL)

    def result(self, timeout: float | None = None, *, progress: bool | None = None) -> Any:
        """Waits for the end and returns the result: one value for a job with a reduce, else the list of all values in
        the order of the partitions or items. `codec.decode` converts results to values.

        For large results use `save` or `stream`.

        Raises:
            GuestFault, LimitExceeded and others: the failure, with hint, backtrace and the last log lines.
            JobCancelled: if it was cancelled.
            WaitTimeout: after `timeout` seconds.
        """
        self.wait(timeout, progress=progress)
        return self._run(jobs.values(self._fabric.policy, self.info, self.decoder))

    def results(self, timeout: float | None = None) -> Iterator[tuple[int, Any]]:
        """Yields pairs of a partition's or item's number and its value, as tasks complete while the job runs. A job
        with a reduce or a shuffle yields its results when it has ended. Partitions that were allowed to fail are
        skipped.

        Raises:
            As `result`, after the completed values.
        """
        return self._fabric._io.iterate(jobs.completed(self._fabric.policy, self.info, self.decoder, timeout))

    def __iter__(self) -> Iterator[Any]:
        """Yields the values in order, each as soon as it is available."""
        ordered = InOrder()
        for index, value in self.results():
            yield from ordered.add(index, value)
        yield from ordered.rest()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._fabric._twin_await(self.id, self.decoder).__await__()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits for the end and returns the exception that `result` would raise, or None."""
        self.wait(timeout)
        return self._run(jobs.failure(self._fabric.policy, self.info))

    def cancel(self) -> bool:
        """Cancels the job. Returns True if it had not ended."""
        info = self._run(jobs.cancel(self._fabric.policy, self.id))
        if info is None:
            self.refresh()
            return False
        self.info = info
        return True

    def watch(self) -> Iterator[wire.JobEvent]:
        """Yields the job's events until its end, across restarts of the server."""
        yield from self._fabric._io.iterate(follow.job_events(self._fabric.policy, self.id, None))
        self.refresh()

    def logs(self, *, task: str | None = None, q: str | None = None, limit: int = 1000) -> list[LogLine]:
        """Lists the log lines of its tasks, oldest first.

        Args:
            task: Only lines of this task, as `stage/index`.
            q: Only lines with these words.
            limit: Maximum number of lines.
        """
        return self._run(jobs.logs(self._fabric.policy, limit, job=self.id, task=task, q=q))

    def tasks(self, *, state: str | None = None, stage: int | None = None, limit: int = 1000) -> list[wire.Task]:
        """Lists the tasks, by stage and index."""
        return self._run(jobs.tasks(self._fabric.policy, self.id, state, stage, limit))

    def dead_letters(self, limit: int = 1000) -> list[wire.DeadLetter]:
        """Lists the tasks that were given up."""
        return self._run(jobs.dead_letters(self._fabric.policy, self.id, limit))

    def audit(self, sample: float = 5.0) -> wire.Audit:
        """Runs `sample` percent of the map tasks again and compares the results.

        Raises:
            Conflict: if the job has not succeeded or its function is not pure.
        """
        return self._run(jobs.audit(self._fabric.policy, self.id, sample))

    def delete(self) -> None:
        """Moves the ended job to the bin."""
        self._run(jobs.delete(self._fabric.policy, self.id))

    def retry(self, function: str | Function | None = None, *, budget_fuel: int | str | None = None) -> Job:
        """Runs the ended job again as a new job and returns the new job. Tasks that succeeded are taken from the cache
        if the function is pure and the version unchanged.

        Args:
            function: The function to run instead of the same version, such as a corrected one: `name`, `name@version`,
                `name:alias`, or a function handle.
            budget_fuel: Fuel budget of the new job, as a number or a string such as `"10G"`; by default as this job.
        """
        ref = function if function is None or isinstance(function, str) else function.ref
        info = self._run(jobs.retry(self._fabric.policy, self.id, ref, budget_fuel))
        return self._renewed(info)

    def _renewed(self, info: wire.Job) -> Job:
        return Job(self._fabric, info, self.decoder)

    def restore(self) -> Job:
        """Restores the job from the bin. Returns self."""
        self.info = self._run(jobs.restore(self._fabric.policy, self.id))
        return self

    def stream(self, timeout: float | None = None) -> Iterator[bytes]:
        """Waits for the end and yields the bytes of all results, in order, as they arrive. Nothing is held in memory.

        Raises:
            As `result`.
        """
        self.wait(timeout)
        error = self._run(jobs.failure(self._fabric.policy, self.info))
        if error is not None:
            raise error
        yield from self._fabric._io.iterate(jobs.content(self._fabric.policy, self.id))

    def save(self, path: str | Path, timeout: float | None = None) -> int:
        """Waits for the end and writes all results, in order, to a file atomically. Returns the number of bytes
        written.

        Raises:
            As `result`; OSError of the file.
        """
        from .files import write_whole

        return write_whole(Path(path), self.stream(timeout))

    def to_pandas(self, timeout: float | None = None) -> Any:
        """Waits for the end and returns one pandas DataFrame of all results, in order.

        JSON: an object is a row, a list has one row per element, any other value is a row with the column `value`.
        CSV, Parquet, Arrow and JSON lines are recognised by their media types.

        Raises:
            ImportError: if pandas (for Parquet and Arrow: pyarrow) is not installed.
            As `result`.
        """
        return convert.to_pandas(self._parts(timeout))

    def to_arrow(self, timeout: float | None = None, *, schema: Any = None) -> Any:
        """Waits for the end and returns one pyarrow Table of all results, in order, read as in `to_pandas`.

        Args:
            timeout: Seconds; None for no limit.
            schema: Columns and types of the table; by default those of the results.
        """
        if schema is None:
            return convert.to_arrow(self._parts(timeout))
        return table_of(self.to_arrow_batches(timeout, schema=schema), schema)

    def to_arrow_batches(self, timeout: float | None = None, *, schema: Any = None) -> Iterator[Any]:
        """Yields a pyarrow RecordBatch for each result with rows, in order, as tasks complete, for tables that are
        larger than memory. Results are read as in `to_pandas`.

        Args:
            timeout: Seconds; None for no limit.
            schema: Columns and types of all batches; by default those of the first one.

        Raises:
            SettingError: for a result that does not fit the schema.
            As `results`.
        """
        batches, ordered = Batches(schema), InOrder()
        for index, part in self._fabric._io.iterate(jobs.completed(self._fabric.policy, self.info, raw, timeout)):
            for due in ordered.add(index, part):
                yield from batches.of_part(due)
        for late in ordered.rest():
            yield from batches.of_part(late)

    def to_numpy(self, dtype: Any = None, timeout: float | None = None) -> Any:
        """Waits for the end and returns one NumPy array of all results, in order. Results are JSON numbers and lists,
        or bytes with elements of type `dtype`.
        """
        return convert.to_numpy(self._parts(timeout), dtype)

    def _parts(self, timeout: float | None) -> list[jobs.Part]:
        self.wait(timeout)
        return self._run(jobs.parts(self._fabric.policy, self.info))
