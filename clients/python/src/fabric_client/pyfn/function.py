"""`PyFunction`: a Python function that can run locally and in the sandbox."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from ..api import functions, jobs, objects
from ..dataset import DatasetBase
from ..errors import Conflict, GuestFault, NotFound
from ..function import invoked
from ..spec import job_spec
from ..steps import Plan
from . import chunks, packages, runner
from .codec import dumps
from .errors import NotShippable, RemoteTraceback
from .job import AsyncPyInvocation, AsyncPyJob, PyInvocation, PyJob
from .outcome import Reader
from .results import Items
from .ship import Shipment, Shipped

if TYPE_CHECKING:
    from ..aio import AsyncFabric
    from ..fabric import Fabric
    from ..wire.job import Job, JobPlan

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

CONTENT_TYPE = "application/json"
_OPTIONS = (inspect.signature(job_spec).parameters.keys() | {"key", "fan_in"}) - {
    "function",
    "over",
    "params",
    "reduce",
    "shuffle",
}
"""Options of a map, besides `reduce` and `chunksize`."""
_EXAMPLES = {"limits": '{"fuel": 10**10}', "grants": '{"clocks": True}'}


class PyFunctionBase(Generic[P, R]):
    """The base of the sync and the async class: everything except running the requests."""

    def __init__(
        self,
        fabric: Any,
        function: Callable[P, R],
        *,
        name: str | None = None,
        packages: Iterable[str] = (),
        limits: Mapping[str, Any] | None = None,
        grants: Mapping[str, Any] | None = None,
    ) -> None:
        function = getattr(function, "__fabric_function__", function)
        if not callable(function):
            raise TypeError(f"{function!r} is not a function")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise NotShippable(
                f"{function.__qualname__} yields, and a generator cannot be returned from the sandbox", "return a list"
            )
        if isinstance(packages, str):
            raise TypeError('packages must be a list: packages=["more-itertools==10.*"]')
        for what, given in (("limits", limits), ("grants", grants)):
            if given is not None and not isinstance(given, Mapping):
                raise TypeError(f"{what} must be a dict, such as {what}={_EXAMPLES[what]}")
        functools.update_wrapper(self, function)
        self.__fabric_function__ = function
        self._fabric = fabric
        #: The display name of jobs.
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        #: Requirements of pure-Python packages to send along.
        self.packages = tuple(packages)
        #: Limits of a call, as in `Fabric.deploy`. A task of a map is one call for all of its items.
        self.limits = dict(limits or {})
        #: Capabilities. Without any, which is the default, the function is pure and its results are cached.
        self.grants = dict(grants or {})

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs the function in this process."""
        return self.__fabric_function__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # Requests.

    def _shipment(self) -> tuple[Shipment, Any]:
        shipment = Shipment(packages.resolve(self.packages))
        return shipment, shipment.function(self.__fabric_function__)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, Reader]:
        """Returns the body of a call and the reader of its result."""
        shipment, entry = self._shipment()
        call = {
            "args": [shipment.value(value, f"argument {n} of {self.name}") for n, value in enumerate(args, 1)],
            "kwargs": {key: shipment.value(value, f"argument {key} of {self.name}") for key, value in kwargs.items()},
        }
        shipped = shipment.finish(entry)
        return f"{shipped.bundle}\n{dumps(call)}".encode("ascii"), Reader(shipped)

    def _items(
        self, items: Iterable[Any], star: bool, reduce: Callable[[Any, Any], Any] | None, chunksize: int | None
    ) -> tuple[list[str], dict[str, Any], Shipped, Items]:
        """Returns the items of each task, the parameters of all tasks, the data for reading their results, and the
        items."""
        if isinstance(items, str | bytes | Mapping):
            raise TypeError(f"can't map over a {type(items).__name__}: pass a list of items, or fab.dataset(path)")
        shipment, entry = self._shipment()
        texts, known = [], []
        for number, item in enumerate(items):
            value = list(item) if star else item
            known.append(item)
            texts.append(dumps(shipment.value(value, f"item {number} of {self.name}")))
        tasks = list(chunks.chunks(texts, chunksize))
        shipped = self._finished(shipment, entry, reduce)
        params = self._params(shipped, "star" if star else "items")
        return chunks.texts(tasks), params, shipped, Items([len(task) for task in tasks], known)

    def _finished(self, shipment: Shipment, entry: Any, reduce: Callable[[Any, Any], Any] | None) -> Shipped:
        if reduce is None:
            return shipment.finish(entry)
        return shipment.finish(entry, reduce=shipment.value(reduce, "the function that reduces"))

    def _params(self, shipped: Shipped, over: str) -> dict[str, Any]:
        chunks.check_bundle(shipped.bundle)
        return {"bundle": shipped.bundle, "over": over}

    # Operations.

    def _ref(self) -> Plan[str]:
        known: dict[str, str] = self._fabric._python_runners
        key = dumps([self.name, sorted(self.limits.items()), sorted(self.grants.items())])
        if key not in known:
            known[key] = yield from runner.deployed(self._fabric.policy, self.name, self.limits, self.grants)
        return known[key]

    def _with_ref(self, use: Callable[[str], Plan[T]]) -> Plan[T]:
        """Runs `use` with the runner's deployment. Deploys the runner again if it was deleted."""
        ref = yield from self._ref()
        try:
            return (yield from use(ref))
        except NotFound:
            self._fabric._python_runners.clear()
            again = yield from self._ref()
            return (yield from use(again))

    def _remote(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan[Any]:
        body, reader = self._call(args, kwargs)
        policy = self._fabric.policy
        try:
            reply = yield from self._with_ref(lambda ref: invoked(policy, ref, body, None, CONTENT_TYPE))
        except GuestFault as error:
            raise reader.explained(error) from None
        return reader.one(reply.content)

    def _specified(
        self,
        over: DatasetBase | Iterable[Any],
        star: bool,
        reduce: Callable[[Any, Any], Any] | None,
        chunksize: int | None,
        options: dict[str, Any],
    ) -> Plan[tuple[Callable[[str], dict[str, Any]], Shipped, Items | None]]:
        """Returns a function that makes the job's specification for a deployment of the runner."""
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown:
            known = ", ".join(["reduce", "chunksize", *sorted(_OPTIONS)])
            raise TypeError(f"a map has no option {unknown[0]!r}; its options are {known}")
        if reduce is not None and not callable(reduce):
            raise TypeError(f"reduce is {reduce!r}, and must be a function of two values, such as operator.add")
        policy = self._fabric.policy
        source: DatasetBase | list[str]
        items = None
        if isinstance(over, DatasetBase):
            shipment, entry = self._shipment()
            shipped = self._finished(shipment, entry, reduce)
            source, params = over, self._params(shipped, "partition")
        else:
            source, params, shipped, items = self._items(over, star, reduce, chunksize)
            if sum(map(len, source)) > chunks.INLINE_BYTES:
                path, content = chunks.stored(source)
                # If the object exists, it holds the same items, since its path is their hash.
                with contextlib.suppress(Conflict):
                    yield from objects.put(policy, path, content, "application/jsonl", True, None)
                source = DatasetBase(path, "items")
        options = {"name": self.name, **options}
        fan_in = options.pop("fan_in", None)
        merge = (fan_in or True) if reduce is not None else False
        return lambda ref: job_spec(ref, source, params=params, reduce=merge, **options), shipped, items

    def _submitted(
        self, over: Any, star: bool, reduce: Any, chunksize: int | None, options: dict[str, Any]
    ) -> Plan[tuple[Job, Reader, Items | None]]:
        policy = self._fabric.policy
        options = dict(options)
        key = options.pop("key", None)
        spec, shipped, items = yield from self._specified(over, star, reduce, chunksize, options)
        job = yield from self._with_ref(lambda ref: jobs.submit(policy, spec(ref), key))
        return job, Reader(shipped), items

    def _planned(
        self, over: Any, star: bool, reduce: Any, chunksize: int | None, options: dict[str, Any]
    ) -> Plan[JobPlan]:
        policy = self._fabric.policy
        spec, _, _ = yield from self._specified(over, star, reduce, chunksize, options)
        return (yield from self._with_ref(lambda ref: jobs.plan(policy, spec(ref))))

    def _reader(self) -> Reader:
        """Returns a reader for the results of an earlier job of this function."""
        shipment, entry = self._shipment()
        return Reader(shipment.finish(entry))


class PyFunction(PyFunctionBase[P, R]):
    """A Python function that can run in the sandbox. Created by `@fab.function`.

    A call runs it in this process. `remote`, `spawn`, `map` and `starmap` run it in a new sandbox of the server, with
    CPython 3.14 and most of its standard library, without files, network, threads or native extensions. Its source is
    sent together with the functions, classes, constants and imports of its module that it uses, and with the current
    values of variables of enclosing functions.

    Arguments and results may be None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set,
    frozenset, date, time, datetime (with a fixed offset), timedelta, Decimal, Fraction, UUID, range, Counter,
    OrderedDict, defaultdict, deque; dataclasses, named tuples, enums and plain classes of the function's module; and
    containers of these. Arguments may also be functions, classes and modules.
    """

    _fabric: Fabric

    def _ref(self) -> Plan[str]:
        # One thread deploys the runner, and concurrent threads wait for it.
        with self._fabric._python_lock:
            return (yield from super()._ref())

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs the function in the sandbox, waits, and returns its result.

        Raises:
            NotShippable: before a request is sent, if something cannot be sent; with the reason and a hint.
            Exception: the function's exception, with the traceback in the sandbox as `__cause__`; `RemoteError` if its
                type is neither built in nor defined in the function's module.
            LimitExceeded: if it used more fuel, memory or time than `limits` allow.
        """
        try:
            result: R = self._fabric._io.run(self._remote(args, kwargs))
        except Exception as error:
            if not isinstance(error.__cause__, RemoteTraceback):
                raise
            # The frames of this package say nothing about the function's exception.
            raise error.with_traceback(None) from error.__cause__
        return result

    def spawn(self, *args: P.args, **kwargs: P.kwargs) -> PyInvocation:
        """Submits a call and returns its handle, with `result`, `exception`, `done`, `cancel` and `await`. The call
        survives a restart of the server.

        Raises:
            NotShippable: as `remote`.
        """
        body, reader = self._call(args, kwargs)
        policy = self._fabric.policy
        plan = self._with_ref(lambda ref: functions.spawn(policy, ref, body, None, CONTENT_TYPE, None))
        return PyInvocation(self._fabric, self._fabric._io.run(plan), reader.one)

    def map(
        self,
        over: DatasetBase | Iterable[Any],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Any,
    ) -> PyJob:
        """Calls the function for every item, or for every partition of a data set, and returns the job.

        Args:
            over: Items, or a data set (`fab.dataset(path, split=…)`). For a data set the function receives a text
                file of each partition's lines, with `name`, `offset` and `size`, and `buffer` for bytes.
            reduce: An associative function that merges two results, applied from left to right. The job then has one
                result.
            chunksize: Number of items per task, called sequentially. By default chosen for 64 tasks, at most 1000
                items. The limits apply to the whole task.
            options: As `Function.map`: output, name, tags, concurrency, max_attempts, allow_failed, priority,
                budget_fuel, node_selector, cache, key; and `fan_in`, the number of results merged at a time.

        Raises:
            NotShippable: as `remote`.
        """
        return self._job(over, False, reduce, chunksize, options)

    def starmap(
        self,
        over: Iterable[Iterable[Any]],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Any,
    ) -> PyJob:
        """See `map`. Each item is a tuple of arguments."""
        return self._job(over, True, reduce, chunksize, options)

    def plan(
        self,
        over: DatasetBase | Iterable[Any],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Any,
    ) -> JobPlan:
        """Returns the plan of a map without running it: tasks, bytes, cached tasks, and an estimate of its cost if
        Python functions have run with these limits and grants. The arguments are those of `map`.

        Raises:
            NotShippable: as `remote`.
        """
        return self._fabric._io.run(self._planned(over, False, reduce, chunksize, options))

    def job(self, id: str) -> PyJob:
        """Returns an earlier job of this function by its id. It may have been submitted by another process."""
        return PyJob(self._fabric, self._fabric.job(id).info, self._reader().many)

    def _job(self, over: Any, star: bool, reduce: Any, chunksize: int | None, options: dict[str, Any]) -> PyJob:
        info, reader, items = self._fabric._io.run(self._submitted(over, star, reduce, chunksize, options))

        def again(numbers: list[int]) -> PyJob:
            some = [known.values[number] for number in numbers]
            return self._job(some, star, None, 1, {**options, "key": None, "allow_failed": len(some)})

        known = items or Items()
        return PyJob(self._fabric, info, reader.many, items, again if items is not None and reduce is None else None)


class AsyncPyFunction(PyFunctionBase[P, R]):
    """The async version of `PyFunction`. Created by `@fab.function` of an `AsyncFabric`."""

    _fabric: AsyncFabric

    async def remote(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """See `PyFunction.remote`."""
        return await self._fabric._io.run(self._remote(args, kwargs))

    async def spawn(self, *args: P.args, **kwargs: P.kwargs) -> AsyncPyInvocation:
        """See `PyFunction.spawn`."""
        body, reader = self._call(args, kwargs)
        policy = self._fabric.policy
        plan = self._with_ref(lambda ref: functions.spawn(policy, ref, body, None, CONTENT_TYPE, None))
        return AsyncPyInvocation(self._fabric, await self._fabric._io.run(plan), reader.one)

    async def map(
        self,
        over: DatasetBase | Iterable[Any],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Any,
    ) -> AsyncPyJob:
        """Calls the function for every item, or for every partition of a data set, and returns the job."""
        return await self._job(over, False, reduce, chunksize, options)

    async def starmap(
        self,
        over: Iterable[Iterable[Any]],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Any,
    ) -> AsyncPyJob:
        """See `map`. Each item is a tuple of arguments."""
        return await self._job(over, True, reduce, chunksize, options)

    async def plan(
        self,
        over: DatasetBase | Iterable[Any],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Any,
    ) -> JobPlan:
        """See `PyFunction.plan`."""
        return await self._fabric._io.run(self._planned(over, False, reduce, chunksize, options))

    async def job(self, id: str) -> AsyncPyJob:
        """See `PyFunction.job`."""
        return AsyncPyJob(self._fabric, (await self._fabric.job(id)).info, self._reader().many)

    async def _job(
        self, over: Any, star: bool, reduce: Any, chunksize: int | None, options: dict[str, Any]
    ) -> AsyncPyJob:
        running: Awaitable[tuple[Job, Reader, Items | None]] = self._fabric._io.run(
            self._submitted(over, star, reduce, chunksize, options)
        )
        info, reader, items = await running

        def again(numbers: list[int]) -> Awaitable[AsyncPyJob]:
            some = [known.values[number] for number in numbers]
            return self._job(some, star, None, 1, {**options, "key": None, "allow_failed": len(some)})

        known = items or Items()
        some_again = again if items is not None and reduce is None else None
        return AsyncPyJob(self._fabric, info, reader.many, items, some_again)
