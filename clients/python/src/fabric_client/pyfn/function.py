"""`PyFunction`: a Python function that can run locally and in the sandbox."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from ..api import functions, jobs
from ..codec import Decoder
from ..dataset import DatasetBase
from ..errors import GuestFault, NotFound
from ..function import invoked
from ..steps import Plan
from . import compiled, packages, runner
from .codec import dumps
from .errors import NotShippable, OutsideFrames
from .invocation import PyInvocation
from .job import PyJob, Submitted
from .mapping import Map, MapOptions, Specification, specified
from .outcome import Reader
from .ship import Shipment

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..fabric import Fabric
    from ..wire.invocation import Invocation
    from ..wire.job import JobPlan

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

CONTENT_TYPE = "application/json"


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
        if not isinstance(limits, Mapping | None):
            raise TypeError('limits must be a dict, such as limits={"fuel": 10**10}')
        if not isinstance(grants, Mapping | None):
            raise TypeError('grants must be a dict, such as grants={"clocks": True}')
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

    def _with_code(self, shipment: Shipment) -> Plan[None]:
        """Adds the code of the modules that the function imports from its packages."""
        modules = shipment.packaged_modules()
        if not modules:
            return
        kept = compiled.file(self._fabric.settings.url, shipment.packages, modules)
        known: dict[Any, str | None] = self._fabric._package_code
        if kept not in known:
            known[kept] = yield from compiled.code(kept, shipment.packages, self._compiled(shipment.packages, modules))
        shipment.code = known[kept]

    def _compiled(self, wheels: packages.Packages, modules: set[str]) -> Plan[bytes]:
        """Compiles modules in the sandbox, with the default limits."""
        policy = self._fabric.policy
        body, reader = compiled.request(wheels, modules)
        ref = yield from runner.deployed(policy, compiled.NAME, {}, {})
        reply = yield from invoked(policy, ref, body, None, CONTENT_TYPE)
        content: bytes = reader.one(reply.content)
        return content

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan[tuple[bytes, Reader]]:
        """Returns the body of a call and the reader of its result."""
        shipment, entry = self._shipment()
        call = {
            "args": [shipment.value(value, f"argument {n} of {self.name}") for n, value in enumerate(args, 1)],
            "kwargs": {key: shipment.value(value, f"argument {key} of {self.name}") for key, value in kwargs.items()},
        }
        yield from self._with_code(shipment)
        shipped = shipment.finish(entry)
        return f"{shipped.bundle}\n{dumps(call)}".encode("ascii"), Reader(shipped)

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
        body, reader = yield from self._call(args, kwargs)
        policy = self._fabric.policy
        try:
            reply = yield from self._with_ref(lambda ref: invoked(policy, ref, body, None, CONTENT_TYPE))
        except GuestFault as error:
            raise reader.explained(error) from None
        return reader.one(reply.content)

    def _spawned(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan[tuple[Invocation, Decoder]]:
        body, reader = yield from self._call(args, kwargs)
        policy = self._fabric.policy
        info = yield from self._with_ref(lambda ref: functions.spawn(policy, ref, body, None, CONTENT_TYPE, None))
        return info, reader.one

    def _specified(self, given: Map) -> Plan[Specification]:
        shipment, entry = self._shipment()
        yield from self._with_code(shipment)
        return (yield from specified(self._fabric.policy, self.name, given, shipment, entry))

    def _submitted(self, given: Map) -> Plan[Submitted]:
        policy, key = self._fabric.policy, given.options.get("key")
        spec = yield from self._specified(given)
        info = yield from self._with_ref(lambda ref: jobs.submit(policy, spec.of(ref), key))
        items = spec.items

        def again(numbers: list[int]) -> Plan[Submitted]:
            values = [] if items is None else [items.values[number] for number in numbers]
            return self._submitted(given.again(values))

        can_repeat = items is not None and given.reduce is None
        return Submitted(info, Reader(spec.shipped).many, items, again if can_repeat else None)

    def _planned(self, given: Map) -> Plan[JobPlan]:
        spec = yield from self._specified(given)
        return (yield from self._with_ref(lambda ref: jobs.plan(self._fabric.policy, spec.of(ref))))

    def _found(self, id: str) -> Plan[Submitted]:
        """Returns an earlier job of this function."""
        info = yield from jobs.look(self._fabric.policy, id)
        shipment, entry = self._shipment()
        return Submitted(info, Reader(shipment.finish(entry)).many)


class PyFunction(PyFunctionBase[P, R]):
    """A Python function that can run in the sandbox. Created by `@fab.function`.

    A call runs it in this process. `remote`, `spawn`, `map` and `starmap` run it in new sandboxes of the server, with
    CPython 3.14 and nearly all of its standard library, without files, network, threads, processes or native
    extensions.

    The function there is the function here: its source is sent, and with it the values that it uses now: default
    values, variables of enclosing functions, global variables, attributes of functions and classes, and what decorators
    made. Nothing that was evaluated here is evaluated again. Two names of one list are two names of one list there.
    What cannot be sent raises `NotShippable` before any request, with the path to it.

    Arguments and results may be None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set,
    frozenset, date, time, datetime (naive or with a fixed offset), timedelta, Decimal, Fraction, UUID, range, Counter,
    OrderedDict, defaultdict, deque, `array.array`, built-in types, dataclasses, named tuples, enums and plain classes
    of the user, and containers of these. Arguments may also be functions, classes, methods, exceptions, objects of the
    standard library that can be pickled, and values of numpy, pandas and pyarrow, which become standard values.
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
        with OutsideFrames():
            result: R = self._fabric._io.run(self._remote(args, kwargs))
        return result

    def spawn(self, *args: P.args, **kwargs: P.kwargs) -> PyInvocation:
        """Submits a call and returns its handle, with `result`, `exception`, `done`, `cancel` and `await`. The call
        survives a restart of the server.

        Raises:
            NotShippable: as `remote`.
        """
        return PyInvocation(self._fabric, *self._fabric._io.run(self._spawned(args, kwargs)))

    def map(
        self,
        over: DatasetBase | Iterable[Any],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Unpack[MapOptions],
    ) -> PyJob:
        """Calls the function for every item, or for every partition of a data set, and returns the job.

        Args:
            over: Items, or a data set (`fab.dataset(path, split=…)`). For a data set of CSV or Parquet the function
                receives the rows of each partition, a list of dicts; for any other the partition as a text file, with
                `name`, `offset` and `size`, and `buffer` for bytes.
            reduce: An associative function that merges two results, applied from left to right. The job then has one
                result.
            chunksize: Number of items per task, called sequentially. By default chosen for 64 tasks, at most 1000
                items. The limits apply to the whole task.
            options: As `Function.map`: output, name, tags, concurrency, max_attempts, allow_failed, priority,
                budget_fuel, node_selector, cache, key; and `fan_in`, the number of results merged at a time. For CSV
                and Parquet also `batch_format`: `"rows"`, `"columns"` (a dict of columns: an `array.array` of numbers
                if none is missing, else a list) or `"file"`; `columns`, the names of those to read; and for CSV
                `types`, such as `{"temperature": float}`, since its values are text otherwise. A missing value is None.

        Raises:
            NotShippable: as `remote`.
            TypeError: for an unknown option, and for options that do not fit the data set.
        """
        plan = self._submitted(Map(over, reduce, chunksize, options))
        return PyJob._of(self._fabric, self._fabric._io.run(plan))

    def starmap(
        self,
        over: Iterable[Iterable[Any]],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Unpack[MapOptions],
    ) -> PyJob:
        """See `map`. Each item is a tuple of arguments."""
        plan = self._submitted(Map(over, reduce, chunksize, options, star=True))
        return PyJob._of(self._fabric, self._fabric._io.run(plan))

    def plan(
        self,
        over: DatasetBase | Iterable[Any],
        *,
        reduce: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        **options: Unpack[MapOptions],
    ) -> JobPlan:
        """Returns the plan of a map without running it: tasks, bytes, cached tasks, and an estimate of its cost if
        Python functions have run with these limits and grants. The arguments are those of `map`.

        Raises:
            NotShippable: as `remote`.
        """
        return self._fabric._io.run(self._planned(Map(over, reduce, chunksize, options)))

    def job(self, id: str) -> PyJob:
        """Returns an earlier job of this function by its id. It may have been submitted by another process."""
        return PyJob._of(self._fabric, self._fabric._io.run(self._found(id)))
