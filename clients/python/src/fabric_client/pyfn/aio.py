"""The async versions of `PyFunction`, `PyJob` and `PyInvocation`, with the same names, arguments and errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .. import convert
from ..aio import AsyncInvocation, AsyncJob
from ..api import jobs
from ..batches import Batches
from ..dataset import DatasetBase
from ..in_order import InOrder
from .errors import OutsideFrames
from .function import PyFunctionBase
from .invocation import PyInvocationBase
from .job import PyJobBase, given
from .mapping import Map, MapOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..aio import AsyncFabric
    from ..wire.job import JobPlan

P = ParamSpec("P")
R = TypeVar("R")


class AsyncPyFunction(PyFunctionBase[P, R]):
    """The async version of `PyFunction`. Created by `@fab.function` of an `AsyncFabric`."""

    _fabric: AsyncFabric

    async def remote(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """See `PyFunction.remote`."""
        with OutsideFrames():
            result: R = await self._fabric._io.run(self._remote(args, kwargs))
        return result

    async def spawn(self, *args: P.args, **kwargs: P.kwargs) -> AsyncPyInvocation:
        """See `PyFunction.spawn`."""
        return AsyncPyInvocation(self._fabric, *await self._fabric._io.run(self._spawned(args, kwargs)))

    async def map(
        self,
        over: DatasetBase | Iterable[Any],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Unpack[MapOptions],
    ) -> AsyncPyJob:
        """See `PyFunction.map`."""
        plan = self._submitted(Map(over, reduce, chunksize, options))
        return AsyncPyJob._of(self._fabric, await self._fabric._io.run(plan))

    async def starmap(
        self,
        over: Iterable[Iterable[Any]],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Unpack[MapOptions],
    ) -> AsyncPyJob:
        """See `PyFunction.starmap`."""
        plan = self._submitted(Map(over, reduce, chunksize, options, star=True))
        return AsyncPyJob._of(self._fabric, await self._fabric._io.run(plan))

    async def plan(
        self,
        over: DatasetBase | Iterable[Any],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Unpack[MapOptions],
    ) -> JobPlan:
        """See `PyFunction.plan`."""
        return await self._fabric._io.run(self._planned(Map(over, reduce, chunksize, options)))

    async def job(self, id: str) -> AsyncPyJob:
        """See `PyFunction.job`."""
        return AsyncPyJob._of(self._fabric, await self._fabric._io.run(self._found(id)))


class AsyncPyJob(PyJobBase, AsyncJob):
    """The async version of `PyJob`."""

    async def result(
        self, timeout: float | None = None, *, progress: bool | None = None, return_exceptions: bool = False
    ) -> Any:
        """See `PyJob.result`."""
        limit = jobs.Limit(timeout)
        await self.wait(timeout, progress=progress)
        with OutsideFrames():
            listed = await self._run(self._read(return_exceptions))
            alone = await self._run(self._rerun(listed)) if return_exceptions else None
            if alone is not None:
                await alone.wait(limit.remaining(), progress=progress)
                listed = await self._run(self._merged(listed, alone))
            return self._values(listed, return_exceptions)

    async def failures(self, timeout: float | None = None) -> list[tuple[int, BaseException]]:
        """See `PyJob.failures`."""
        await self.wait(timeout)
        return await self._run(self._failures())

    async def retry_failed(self, timeout: float | None = None) -> AsyncPyJob:
        """See `PyJob.retry_failed`."""
        await self.wait(timeout)
        return await self._run(self._retried())

    async def exception(self, timeout: float | None = None) -> BaseException | None:
        """See `PyJob.exception`."""
        await self.wait(timeout)
        return await self._run(self._exception())

    async def results(
        self, timeout: float | None = None, *, return_exceptions: bool = False
    ) -> AsyncIterator[tuple[int, Any]]:
        """See `PyJob.results`."""
        async for index, outcomes in super().results(timeout):
            yield index, given(outcomes, return_exceptions)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """See `PyJob.__iter__`."""
        async for values in super().__aiter__():
            for value in values:
                yield value

    async def to_pandas(self, timeout: float | None = None) -> Any:
        """See `PyJob.to_pandas`."""
        return convert.rows_to_pandas(self._rows(await self.result(timeout)))

    async def to_arrow(self, timeout: float | None = None, *, schema: Any = None) -> Any:
        """See `PyJob.to_arrow`."""
        return Batches(schema).table(list(convert.value_rows(self._rows(await self.result(timeout)))))

    async def to_arrow_batches(self, timeout: float | None = None, *, schema: Any = None) -> AsyncIterator[Any]:
        """See `PyJob.to_arrow_batches`."""
        batches, ordered = Batches(schema), InOrder()
        async for index, values in self.results(timeout):
            for due in ordered.add(index, values):
                for batch in batches.of_values(self._with_rows(due)):
                    yield batch
        for late in ordered.rest():
            for batch in batches.of_values(self._with_rows(late)):
                yield batch

    async def to_numpy(self, dtype: Any = None, timeout: float | None = None) -> Any:
        """See `PyJob.to_numpy`."""
        return convert.values_to_numpy(self._rows(await self.result(timeout)), dtype)

    async def stream(self, timeout: float | None = None) -> AsyncIterator[bytes]:
        """See `PyJob.stream`."""
        for line in convert.json_lines(self._rows(await self.result(timeout))):
            yield line


class AsyncPyInvocation(PyInvocationBase, AsyncInvocation):
    """The async version of `PyInvocation`."""

    async def result(self, timeout: float | None = None) -> Any:
        """See `PyInvocation.result`."""
        await self.wait(timeout)
        with OutsideFrames():
            return await self._fabric._io.run(self._value())

    async def exception(self, timeout: float | None = None) -> BaseException | None:
        """See `PyInvocation.exception`."""
        await self.wait(timeout)
        found: BaseException | None = await self._fabric._io.run(self._exception())
        return found
