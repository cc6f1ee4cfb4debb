"""`Function`: a handle to a deployed function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .api import functions, jobs
from .codec import Decoder, Reply, decode
from .dataset import DatasetBase
from .errors import GuestFault, SettingError
from .invocation import Invocation
from .job import Job
from .request import Policy
from .spec import job_spec
from .steps import Plan
from .wire import function as wire
from .wire.invocation import LogLine
from .wire.job import JobPlan

if TYPE_CHECKING:
    from .fabric import Fabric


class FunctionBase:
    """The base of the sync and the async class. Makes no requests."""

    def __init__(self, info: wire.FunctionSummary, ref: str) -> None:
        #: The description from the server.
        self.info = info
        #: The reference: `name`, `name@version` or `name:alias`.
        self.ref = ref

    @property
    def name(self) -> str:
        """The function's name, unique in its tenant."""
        return self.info.name

    @property
    def description(self) -> str:
        """The description from the manifest."""
        return self.info.description

    def __repr__(self) -> str:
        can = [word for word in ("handler", "mapper", "reducer") if getattr(self.info.entry, word)]
        return f"<{type(self).__name__} {self.ref} ({', '.join(can) or self.info.entry.kind})>"

    def _repr_html_(self) -> str:
        from .notebook.html import function_card

        return function_card(self.info, self.ref)


def split_ref(ref: str) -> str:
    """Returns the name in `name`, `name@version` or `name:alias`."""
    name, at, version = ref.partition("@")
    name, colon, alias = (name, "", "") if at else ref.partition(":")
    if not name or (at and not (version.isascii() and version.isdigit())) or (colon and not alias):
        raise SettingError(f"{ref!r} is not a function reference", hint="use NAME, NAME@VERSION or NAME:ALIAS")
    return name


def invoked(
    policy: Policy,
    ref: str,
    value: object,
    params: Mapping[str, Any] | None,
    content_type: str | None = None,
    key: str | None = None,
) -> Plan[Reply]:
    """Calls a function. A failure carries the guest's last log lines."""
    try:
        return (yield from functions.invoke(policy, ref, value, params, content_type, key))
    except GuestFault as error:
        raise (yield from jobs.with_tail(policy, error)) from None


class Function(FunctionBase):
    """A deployed function. Created by `Fabric.function` and `Fabric.deploy`.

    A call sends the first argument as the body and keyword arguments as parameters, waits, and returns the result:

    - bytes are sent unchanged, a `Path` or an open binary file is streamed, `str` is sent as text, the rest as JSON;
    - a JSON result is decoded, text is returned as `str`, anything else as bytes.
    """

    def __init__(self, fabric: Fabric, info: wire.FunctionSummary, ref: str) -> None:
        super().__init__(info, ref)
        self._fabric = fabric

    def __call__(self, value: object = None, /, **params: Any) -> Any:
        """Calls the function and returns the value of its result.

        Raises:
            GuestFault, LimitExceeded: if the function fails; with code, hint, backtrace and its last log lines.
            BadRequest: if the parameters do not match the schema.
            Unavailable, Unreachable: if the server has no capacity or is not reachable after all retries.
        """
        return self.invoke(value, params=params).value

    def remote(self, value: object = None, /, **params: Any) -> Any:
        """Calls the function. The interface that executors use, shared with Python functions."""
        return self(value, **params)

    def invoke(
        self,
        value: object = None,
        *,
        params: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        key: str | None = None,
    ) -> Reply:
        """Calls the function and returns the whole response: bytes, media type, fuel, id.

        Args:
            value: The body; see the class.
            params: Parameters, checked against the function's schema.
            content_type: The body's media type; by default derived from the value's type.
            key: An idempotency key: a repeat within a day returns the stored response. By default a new one for each
                call, so that a retry after a broken connection does not run twice.
        """
        return self._fabric._io.run(invoked(self._fabric.policy, self.ref, value, params, content_type, key))

    def spawn(
        self,
        value: object = None,
        /,
        *,
        params: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        key: str | None = None,
        decoder: Decoder = decode,
    ) -> Invocation:
        """Submits a call and returns its handle. The call survives a restart of the server and of this process."""
        plan = functions.spawn(self._fabric.policy, self.ref, value, params, content_type, key)
        return Invocation(self._fabric, self._fabric._io.run(plan), decoder)

    def map(
        self,
        over: DatasetBase | Iterable[object],
        *,
        params: Mapping[str, Any] | None = None,
        reduce: bool | int = False,
        shuffle: int | None = None,
        output: str | None = None,
        name: str | None = None,
        tags: Iterable[str] = (),
        concurrency: int | None = None,
        max_attempts: int | None = None,
        allow_failed: int | None = None,
        priority: int | None = None,
        budget_fuel: int | str | None = None,
        node_selector: Mapping[str, str] | None = None,
        cache: bool = True,
        key: str | None = None,
        decoder: Decoder = decode,
    ) -> Job:
        """Maps the function over a data set, with a task for each partition, and returns the job.

        Args:
            over: A data set (`Fabric.dataset`), or items: text unchanged, other values as JSON.
            params: Parameters for every task.
            reduce: Merge the partial results with the function's reducer. A number is the fan-in, 2 to 1024; 16 by
                default.
            shuffle: Group the emitted records by key and reduce each group, in this number of tasks.
            output: Also store the results as objects: at this path for one result, else under this prefix, which ends
                in `/`.
            name: A display name; the function's name by default.
            tags: Tags of the job.
            concurrency: Maximum number of concurrent tasks; no maximum by default.
            max_attempts: Maximum number of attempts of a task; 4 by default.
            allow_failed: Number of tasks that may fail permanently without failing the job; 0 by default. Their results
                are left out.
            priority: -100 to 100; 0 by default. Runs before the tenant's jobs with a lower priority.
            budget_fuel: Fuel budget of the job, as a number or a string such as `"10G"`; no limit by default.
            node_selector: Labels that a node must have.
            cache: Use cached results of earlier runs of a pure function.
            key: An idempotency key: a repeat within a day returns the same job.
            decoder: Converts a result to a value.

        Raises:
            TypeError: for a string or a dictionary instead of a data set.
            BadRequest: for invalid parameters or an invalid splitter.
        """
        spec = job_spec(
            self.ref,
            over,
            params=params,
            reduce=reduce,
            shuffle=shuffle,
            output=output,
            name=name,
            tags=tags,
            concurrency=concurrency,
            max_attempts=max_attempts,
            allow_failed=allow_failed,
            priority=priority,
            budget_fuel=budget_fuel,
            node_selector=node_selector,
            cache=cache,
        )
        return self._fabric.submit(spec, key=key, decoder=decoder)

    def plan(self, over: DatasetBase | Iterable[object], *, params: Mapping[str, Any] | None = None) -> JobPlan:
        """Returns the plan of a map without running it: partitions, tasks, bytes, cached tasks."""
        return self._fabric._io.run(jobs.plan(self._fabric.policy, job_spec(self.ref, over, params=params)))

    def versions(self, limit: int = 100) -> list[wire.Deployment]:
        """Lists the versions, oldest first."""
        return self._fabric._io.run(functions.versions(self._fabric.policy, self.name, limit))

    def at(self, version: int | str) -> Function:
        """Returns this function at a version (a number) or an alias (its name). Makes no request."""
        mark = "@" if isinstance(version, int) else ":"
        return Function(self._fabric, self.info, f"{self.name}{mark}{version}")

    def aliases(self) -> list[wire.Alias]:
        """Lists the aliases."""
        return self._fabric._io.run(functions.aliases(self._fabric.policy, self.name))

    def set_alias(self, alias: str, targets: int | Mapping[int, int]) -> wire.Alias:
        """Points an alias to a version, or to several by weight: `{3: 9, 4: 1}`. A name without alias means `live`."""
        weights = {targets: 1} if isinstance(targets, int) else targets
        return self._fabric._io.run(functions.set_alias(self._fabric.policy, self.name, alias, weights))

    def rollback(self, to: int | None = None) -> wire.Alias:
        """Points `live` to an older version; by default the one that was live before."""
        return self._fabric._io.run(functions.rollback(self._fabric.policy, self.name, to))

    def logs(self, *, q: str | None = None, since_ms: int | None = None, limit: int = 1000) -> list[LogLine]:
        """Lists the log lines of its calls, oldest first."""
        plan = jobs.logs(self._fabric.policy, limit, function=self.name, q=q, since_ms=since_ms)
        return self._fabric._io.run(plan)

    def delete_version(self, version: int) -> None:
        """Deletes one version.

        Raises:
            Conflict: if an alias points to the version, or it is the only one.
        """
        self._fabric._io.run(functions.delete_version(self._fabric.policy, self.name, version))

    def delete(self) -> None:
        """Deletes the function with its versions and aliases. Its jobs continue."""
        self._fabric._io.run(functions.delete(self._fabric.policy, self.name))
