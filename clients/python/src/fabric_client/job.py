"""`Job`: a function mapped over a data set."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from . import convert
from .api import follow, jobs
from .codec import Decoder, decode
from .steps import Flow, Plan
from .wire import job as wire
from .wire.invocation import LogLine

if TYPE_CHECKING:
    from .fabric import Fabric
    from .function import Function
    from .notebook.live import Shown

T = TypeVar("T")


class JobBase:
    """What the two twins share: what the last look at the job has shown. No request is made here."""

    def __init__(self, info: wire.Job, decoder: Decoder) -> None:
        #: The last look at it.
        self.info = info
        self.decoder = decoder
        #: Where a notebook has shown its card last.
        self._shown: Shown | None = None

    @property
    def id(self) -> str:
        """Its id; `Fabric.job(id)` finds it again, from another process too."""
        return self.info.id

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self.info.name

    @property
    def state(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`, at the last look."""
        return self.info.state

    @property
    def ended(self) -> bool:
        """Whether it had ended at the last look."""
        return jobs.has_ended(self.info)

    @property
    def progress(self) -> wire.TaskCounts:
        """How many tasks are in which state, at the last look."""
        return self.info.tasks

    @property
    def cost(self) -> wire.Cost:
        """Fuel, microseconds in sandboxes, bytes in and out, at the last look."""
        return self.info.cost

    @property
    def is_single(self) -> bool:
        """Whether it has one result: it reduces. Else it has one for each partition."""
        return self.info.spec.reduce is not None

    def __repr__(self) -> str:
        tasks = self.info.tasks
        return f"<{type(self).__name__} {self.id} {self.name!r} {self.state}, {tasks.succeeded} of {tasks.total} tasks>"

    def _repr_html_(self) -> str:
        from .notebook.html import job_card

        return job_card(self.info)


class Job(JobBase):
    """A function mapped over a data set. Made by `Function.map` and `Fabric.job`.

    Its properties tell what the last look has shown; `refresh`, `done`, `wait`, `result` and `watch` look. In a
    coroutine or a notebook cell `await job` gives what `result()` gives, without blocking the event loop.

    Interrupting a wait (Ctrl-C) leaves the job running: it is the server's. `cancel` stops it.
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
        """Looks at it; gives itself."""
        self.info = self._run(jobs.look(self._fabric.policy, self.id))
        return self

    def done(self) -> bool:
        """Whether it has ended; looks, unless that is known."""
        return self.ended or self.refresh().ended

    def wait(self, timeout: float | None = None, *, progress: bool | None = None) -> Job:
        """Waits until it has ended, well or not; gives itself. A server that restarts meanwhile is waited for.

        Args:
            timeout: Seconds; None for no limit.
            progress: Whether to show how it goes: in a notebook its card, elsewhere tqdm's bar. By default where
                somebody is looking: in a notebook, and on a terminal where tqdm is installed.

        Raises:
            WaitTimeout: when the time is over. The job goes on.
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
        """Waits and gives the result: the one value of a job that reduces, else the list of all values in the order of
        the partitions or items. Values are made by `codec.decode` from what the function gave.

        Results that are large belong into a file: see `save` and `stream`.

        Raises:
            GuestFault, LimitExceeded and the like: what failed the job, with hint, backtrace and the last lines.
            JobCancelled: when it was cancelled.
            WaitTimeout: when the time is over.
        """
        self.wait(timeout, progress=progress)
        return self._run(jobs.values(self._fabric.policy, self.info, self.decoder))

    def results(self, timeout: float | None = None) -> Iterator[tuple[int, Any]]:
        """Pairs of a partition's or item's number and its value, as tasks complete; the job goes on meanwhile. A job
        that reduces or shuffles gives its results when it has ended. Of partitions that were allowed to fail there is
        no pair.

        Raises:
            As `result`, once what completed has been given.
        """
        return self._fabric._io.iterate(jobs.completed(self._fabric.policy, self.info, self.decoder, timeout))

    def __iter__(self) -> Iterator[Any]:
        """The values in order, as soon as each is there."""
        early: dict[int, Any] = {}
        due = 0
        for index, value in self.results():
            early[index] = value
            while due in early:
                yield early.pop(due)
                due += 1
        for index in sorted(early):
            yield early[index]

    def __await__(self) -> Generator[Any, None, Any]:
        return self._fabric._twin_await(self.id, self.decoder).__await__()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits and gives the exception that `result` would raise, or None."""
        self.wait(timeout)
        return self._run(jobs.failure(self._fabric.policy, self.info))

    def cancel(self) -> bool:
        """Stops it; gives whether it was still going."""
        info = self._run(jobs.cancel(self._fabric.policy, self.id))
        if info is None:
            self.refresh()
            return False
        self.info = info
        return True

    def watch(self) -> Iterator[wire.JobEvent]:
        """Its events to its end, across restarts of the server."""
        yield from self._fabric._io.iterate(follow.job_events(self._fabric.policy, self.id, None))
        self.refresh()

    def logs(self, *, task: str | None = None, q: str | None = None, limit: int = 1000) -> list[LogLine]:
        """What its tasks wrote, oldest first.

        Args:
            task: Only of this task, as `stage/index`.
            q: Only lines with these words.
            limit: How many at most.
        """
        return self._run(jobs.logs(self._fabric.policy, limit, job=self.id, task=task, q=q))

    def tasks(self, *, state: str | None = None, stage: int | None = None, limit: int = 1000) -> list[wire.Task]:
        """Its tasks, by stage and index."""
        return self._run(jobs.tasks(self._fabric.policy, self.id, state, stage, limit))

    def dead_letters(self, limit: int = 1000) -> list[wire.DeadLetter]:
        """Its tasks that were given up on."""
        return self._run(jobs.dead_letters(self._fabric.policy, self.id, limit))

    def audit(self, sample: float = 5.0) -> wire.Audit:
        """Runs `sample` percent of its map tasks again and compares the results.

        Raises:
            Conflict: where it has not succeeded or its function is not pure.
        """
        return self._run(jobs.audit(self._fabric.policy, self.id, sample))

    def delete(self) -> None:
        """Puts it into the bin, once it has ended."""
        self._run(jobs.delete(self._fabric.policy, self.id))

    def retry(self, function: str | Function | None = None, *, budget_fuel: int | str | None = None) -> Job:
        """Runs it once more, as a new job, once it has ended; gives the new job. Tasks that succeeded come from the
        cache where the function is pure and the version the same.

        Args:
            function: What to run instead of the version that it ran, such as a corrected one: `name`, `name@version` or
                `name:alias`, or a function's handle.
            budget_fuel: Fuel that the new job may spend, as a number or a text such as `"10G"`; by default as this job.
        """
        ref = function if function is None or isinstance(function, str) else function.ref
        info = self._run(jobs.retry(self._fabric.policy, self.id, ref, budget_fuel))
        return Job(self._fabric, info, self.decoder)

    def restore(self) -> Job:
        """Takes it out of the bin; gives itself."""
        self.info = self._run(jobs.restore(self._fabric.policy, self.id))
        return self

    def stream(self, timeout: float | None = None) -> Iterator[bytes]:
        """Waits and gives the bytes of all results, one after another, as they come: nothing is held in memory.

        Raises:
            As `result`.
        """
        self.wait(timeout)
        error = self._run(jobs.failure(self._fabric.policy, self.info))
        if error is not None:
            raise error
        yield from self._fabric._io.iterate(jobs.content(self._fabric.policy, self.id))

    def save(self, path: str | Path, timeout: float | None = None) -> int:
        """Waits and writes all results, one after another, to a file; gives the bytes written. The file appears when it
        is whole.

        Raises:
            As `result`; OSError of the file.
        """
        from .files import write_whole

        return write_whole(Path(path), self.stream(timeout))

    def to_pandas(self, timeout: float | None = None) -> Any:
        """Waits and gives one pandas DataFrame of all results, in order.

        JSON: an object is a row, a list has a row for each element, anything else is a row with the column `value`.
        CSV, Parquet and Arrow by their media types; JSON lines too.

        Raises:
            ImportError: where pandas (for Parquet and Arrow: pyarrow) is not installed.
            As `result`.
        """
        return convert.to_pandas(self._parts(timeout))

    def to_arrow(self, timeout: float | None = None) -> Any:
        """Waits and gives one pyarrow Table of all results, in order; read as in `to_pandas`."""
        return convert.to_arrow(self._parts(timeout))

    def to_numpy(self, dtype: Any = None, timeout: float | None = None) -> Any:
        """Waits and gives one NumPy array of all results, in order: of JSON numbers and lists, or of bytes, of which
        `dtype` says what they are.
        """
        return convert.to_numpy(self._parts(timeout), dtype)

    def _parts(self, timeout: float | None) -> list[jobs.Part]:
        self.wait(timeout)
        return self._run(jobs.parts(self._fabric.policy, self.info))
