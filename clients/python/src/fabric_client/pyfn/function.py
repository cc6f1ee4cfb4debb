"""`PyFunction`: a Python function that runs here when called, and in the sandbox when asked to."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from ..api import functions, jobs, objects
from ..dataset import DatasetBase
from ..errors import Conflict, NotFound
from ..function import invoked
from ..spec import job_spec
from ..steps import Plan
from . import chunks, packages, runner
from .codec import dumps
from .errors import NotShippable
from .job import AsyncPyInvocation, AsyncPyJob, PyInvocation, PyJob
from .outcome import Reader
from .ship import Shipment, Shipped

if TYPE_CHECKING:
    from ..aio import AsyncFabric
    from ..fabric import Fabric
    from ..wire.job import Job

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

CONTENT_TYPE = "application/json"


class PyFunctionBase(Generic[P, R]):
    """What the two twins share: everything but who carries the requests out."""

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
                f"{function.__qualname__} yields, and a half-finished function can't come back", "return a list"
            )
        if isinstance(packages, str):
            raise TypeError('packages is a list: packages=["more-itertools==10.*"]')
        functools.update_wrapper(self, function)
        self.__fabric_function__ = function
        self._fabric = fabric
        #: What jobs are called, for people.
        self.name = name or getattr(function, "__name__", type(function).__name__)
        #: Requirements of pure-Python packages that go along.
        self.packages = tuple(packages)
        #: What a call may use, as `Fabric.deploy` takes it. A task of a map is one call, with all of its items.
        self.limits = dict(limits or {})
        #: Capabilities. None by default: the function is pure, and the same call is answered from the cache.
        self.grants = dict(grants or {})

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs it here, as plain Python."""
        return self.__fabric_function__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # What is sent.

    def _shipment(self) -> tuple[Shipment, Any]:
        shipment = Shipment(packages.resolve(self.packages))
        return shipment, shipment.function(self.__fabric_function__)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, Reader]:
        """The body of one call, and what reads its answer."""
        shipment, entry = self._shipment()
        call = {
            "args": [shipment.value(value, f"argument {n} of {self.name}") for n, value in enumerate(args, 1)],
            "kwargs": {key: shipment.value(value, f"argument {key} of {self.name}") for key, value in kwargs.items()},
        }
        shipped = shipment.finish(entry)
        return f"{shipped.bundle}\n{dumps(call)}".encode("ascii"), Reader(shipped)

    def _items(
        self, items: Iterable[Any], star: bool, reduce: Callable[[Any, Any], Any] | None, chunksize: int | None
    ) -> tuple[list[str], dict[str, Any], Shipped]:
        """The items of each task, the parameters of all, and what is needed to read their results."""
        if isinstance(items, str | bytes | Mapping):
            raise TypeError(f"can't map over a {type(items).__name__}: give a list of items, or fab.dataset(path)")
        shipment, entry = self._shipment()
        texts = []
        for number, item in enumerate(items):
            value = list(item) if star else item
            texts.append(dumps(shipment.value(value, f"item {number} of {self.name}")))
        parts = [f"[{','.join(chunk)}]" for chunk in chunks.chunks(texts, chunksize)]
        shipped = self._finished(shipment, entry, reduce)
        return parts, self._params(shipped, "star" if star else "items"), shipped

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
        key = dumps([sorted(self.limits.items()), sorted(self.grants.items())])
        if key not in known:
            known[key] = yield from runner.deployed(self._fabric.policy, self.limits, self.grants)
        return known[key]

    def _with_ref(self, use: Callable[[str], Plan[T]]) -> Plan[T]:
        """Does something with the runner's deployment; deploys it again where somebody has deleted it."""
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
        reply = yield from self._with_ref(lambda ref: invoked(policy, ref, body, None, CONTENT_TYPE))
        return reader.one(reply.content)

    def _submitted(
        self,
        over: DatasetBase | Iterable[Any],
        star: bool,
        reduce: Callable[[Any, Any], Any] | None,
        chunksize: int | None,
        options: dict[str, Any],
    ) -> Plan[tuple[Job, Reader]]:
        policy = self._fabric.policy
        source: DatasetBase | list[str]
        if isinstance(over, DatasetBase):
            shipment, entry = self._shipment()
            shipped = self._finished(shipment, entry, reduce)
            source, params = over, self._params(shipped, "partition")
        else:
            source, params, shipped = self._items(over, star, reduce, chunksize)
            if sum(map(len, source)) > chunks.INLINE_BYTES:
                path, content = chunks.stored(source)
                # Where it is there already, the same items were mapped over before.
                with contextlib.suppress(Conflict):
                    yield from objects.put(policy, path, content, "application/jsonl", True, None)
                source = DatasetBase(path, "items")
        options = {"name": self.name, **options}
        key, fan_in = options.pop("key", None), options.pop("fan_in", None)
        merge = (fan_in or True) if reduce is not None else False

        def submit(ref: str) -> Plan[Job]:
            spec = job_spec(ref, source, params=params, reduce=merge, **options)
            return jobs.submit(policy, spec, key)

        return (yield from self._with_ref(submit)), Reader(shipped)

    def _reader(self) -> Reader:
        """What reads the results of an earlier job of this function."""
        shipment, entry = self._shipment()
        return Reader(shipment.finish(entry))


class PyFunction(PyFunctionBase[P, R]):
    """A Python function with a place in the sandbox. Made by `@fab.function`.

    Calling it runs it here. `remote`, `spawn`, `map` and `starmap` run it in a fresh sandbox of the fabric, with
    CPython 3.14 and most of its standard library, without files, network, threads or native extensions. Its source goes
    along with what it uses of its module: functions, classes, constants and imports, and variables of functions around
    it by their present values.

    Arguments and results are values: None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set,
    frozenset, date, time, datetime (with a fixed offset), timedelta, Decimal, Fraction, UUID, range, Counter,
    OrderedDict, defaultdict, deque; dataclasses, named tuples, enums and plain classes beside the function; and what
    these contain. Arguments may also be functions, classes and modules.
    """

    _fabric: Fabric

    def _ref(self) -> Plan[str]:
        # Of several threads one deploys, and the others find it done.
        with self._fabric._python_lock:
            return (yield from super()._ref())

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs it in the sandbox, waits, and gives what it returns.

        Raises:
            NotShippable: before anything is sent, for what can't go there; with the reason and what to do.
            Exception: what the function raised, with its traceback there as `__cause__`; `RemoteError` for a type
                that is neither built in nor defined beside the function.
            LimitExceeded: it took more fuel, memory or time than `limits` allow.
        """
        result: R = self._fabric._io.run(self._remote(args, kwargs))
        return result

    def spawn(self, *args: P.args, **kwargs: P.kwargs) -> PyInvocation:
        """Has a call accepted and gives its handle at once: `result`, `exception`, `done`, `cancel`, `await`. It
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
        """Calls it for every item, or for every partition of a data set, and gives the job at once.

        Args:
            over: Items; or a data set (`fab.dataset(path, split=…)`). For a data set the function gets a text file of
                each partition's lines, with `name`, `offset` and `size`, and `buffer` for bytes.
            reduce: A function of two values that merges results, from left to right in their order; it must be
                associative. The job has one result then.
            chunksize: Items of one task, called one after another. By default as many as make 64 tasks, at most 1000.
                The limits hold for the task as a whole.
            options: As `Function.map`: output, name, tags, concurrency, max_attempts, allow_failed, priority,
                budget_fuel, node_selector, cache, key; and `fan_in`, how many results are merged at a time.

        Raises:
            NotShippable: as `remote`.
        """
        return self._job(self._submitted(over, False, reduce, chunksize, options))

    def starmap(
        self,
        over: Iterable[Iterable[Any]],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Any,
    ) -> PyJob:
        """As `map`, with the arguments of each call as a tuple."""
        return self._job(self._submitted(over, True, reduce, chunksize, options))

    def job(self, id: str) -> PyJob:
        """An earlier map of this function, from whatever process it was submitted; its results are read as this
        function's are."""
        return PyJob(self._fabric, self._fabric.job(id).info, self._reader().many)

    def _job(self, plan: Plan[tuple[Job, Reader]]) -> PyJob:
        info, reader = self._fabric._io.run(plan)
        return PyJob(self._fabric, info, reader.many)


class AsyncPyFunction(PyFunctionBase[P, R]):
    """As `PyFunction`, with coroutines. Made by `@fab.function` of an `AsyncFabric`."""

    _fabric: AsyncFabric

    async def remote(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Runs it in the sandbox and gives what it returns."""
        return await self._fabric._io.run(self._remote(args, kwargs))

    async def spawn(self, *args: P.args, **kwargs: P.kwargs) -> AsyncPyInvocation:
        """As `PyFunction.spawn`."""
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
        """Calls it for every item, or for every partition of a data set, and gives the job at once."""
        return await self._job(self._submitted(over, False, reduce, chunksize, options))

    async def starmap(
        self,
        over: Iterable[Iterable[Any]],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Any,
    ) -> AsyncPyJob:
        """As `map`, with the arguments of each call as a tuple."""
        return await self._job(self._submitted(over, True, reduce, chunksize, options))

    async def job(self, id: str) -> AsyncPyJob:
        """As `PyFunction.job`."""
        return AsyncPyJob(self._fabric, (await self._fabric.job(id)).info, self._reader().many)

    async def _job(self, plan: Plan[tuple[Job, Reader]]) -> AsyncPyJob:
        running: Awaitable[tuple[Job, Reader]] = self._fabric._io.run(plan)
        info, reader = await running
        return AsyncPyJob(self._fabric, info, reader.many)
