"""`Function`: something deployed that can be called and mapped."""

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
    """What the two twins share. No request is made here."""

    def __init__(self, info: wire.FunctionSummary, ref: str) -> None:
        #: What the server says of it.
        self.info = info
        #: How it is called: `name`, `name@version` or `name:alias`.
        self.ref = ref

    @property
    def name(self) -> str:
        """Its name in the tenant."""
        return self.info.name

    @property
    def description(self) -> str:
        """From its manifest."""
        return self.info.description

    def __repr__(self) -> str:
        can = [word for word in ("handler", "mapper", "reducer") if getattr(self.info.entry, word)]
        return f"<{type(self).__name__} {self.ref} ({', '.join(can) or self.info.entry.kind})>"

    def _repr_html_(self) -> str:
        from .notebook.html import function_card

        return function_card(self.info, self.ref)


def split_ref(ref: str) -> str:
    """The name in `name`, `name@version` or `name:alias`."""
    name, at, version = ref.partition("@")
    name, colon, alias = (name, "", "") if at else ref.partition(":")
    if not name or (at and not (version.isascii() and version.isdigit())) or (colon and not alias):
        raise SettingError(f"{ref!r} names no function", hint="write NAME, NAME@VERSION or NAME:ALIAS")
    return name


def invoked(
    policy: Policy,
    ref: str,
    value: object,
    params: Mapping[str, Any] | None,
    content_type: str | None = None,
    key: str | None = None,
) -> Plan[Reply]:
    """A call whose failure carries the guest's last lines."""
    try:
        return (yield from functions.invoke(policy, ref, value, params, content_type, key))
    except GuestFault as error:
        raise (yield from jobs.with_tail(policy, error)) from None


class Function(FunctionBase):
    """A deployed function. Made by `Fabric.function` and `Fabric.deploy`.

    Calling it sends the first argument as the body and keyword arguments as parameters, waits, and gives the result:

    - bytes go as they are, a `Path` or an open binary file is streamed, `str` goes as text, anything else as JSON;
    - JSON comes back as what it says, text as `str`, everything else as bytes.
    """

    def __init__(self, fabric: Fabric, info: wire.FunctionSummary, ref: str) -> None:
        super().__init__(info, ref)
        self._fabric = fabric

    def __call__(self, value: object = None, /, **params: Any) -> Any:
        """Calls it and gives the value of its result.

        Raises:
            GuestFault, LimitExceeded: it failed; with code, hint, backtrace and its last lines.
            BadRequest: the parameters do not fit.
            Unavailable, Unreachable: the server had no room or went away, and trying again did not help.
        """
        return self.invoke(value, params=params).value

    def remote(self, value: object = None, /, **params: Any) -> Any:
        """The same as calling it: what an executor and Python functions call."""
        return self(value, **params)

    def invoke(
        self,
        value: object = None,
        *,
        params: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        key: str | None = None,
    ) -> Reply:
        """Calls it and gives the whole answer: bytes, media type, fuel, id.

        Args:
            value: The body: see the class.
            params: Parameters, checked against the function's schema.
            content_type: The body's media type; by default from its type.
            key: An idempotency key: a repeat within a day gives the stored answer. By default a new one for each
                call, so that a call whose connection broke is not made twice.
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
        """Has a call accepted and gives its handle at once. It survives a restart of the server and of this process."""
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
        """Maps it over a data set, a task for each partition, and gives the job at once.

        Args:
            over: A data set (`Fabric.dataset`), or items: texts as they are, everything else as JSON.
            params: Parameters for every task.
            reduce: Merge the partial results with the function's reducer; a number says how many at a time, 2 to 1024
                (16 by default).
            shuffle: Group the emitted records by key and reduce each group, in so many tasks.
            output: Where the server stores results, too: an object's path when there is one result, else a prefix
                ending in `/`.
            name: For people; the function's by default.
            tags: Words to find the job by.
            concurrency: Tasks at once; as many as there is room for by default.
            max_attempts: Attempts that a task may have; 4 by default.
            allow_failed: Tasks that may fail for good without failing the job; 0 by default. Their results are left
                out.
            priority: Runs before your jobs with a lower one, -100 to 100; 0 by default.
            budget_fuel: Fuel the whole job may spend, as a number or a text such as `"10G"`; no limit by default.
            node_selector: Labels that a node must have.
            cache: Whether results of earlier runs of a pure function may serve.
            key: An idempotency key: a repeat within a day gives the same job.
            decoder: What makes a value of a result.

        Raises:
            TypeError: for a text or a dictionary in place of a data set.
            BadRequest: for parameters or a splitter that do not fit.
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
        """What a map over `over` would take, without running it: partitions, tasks, bytes, how many are cached."""
        return self._fabric._io.run(jobs.plan(self._fabric.policy, job_spec(self.ref, over, params=params)))

    def versions(self, limit: int = 100) -> list[wire.Deployment]:
        """Its versions, oldest first."""
        return self._fabric._io.run(functions.versions(self._fabric.policy, self.name, limit))

    def at(self, version: int | str) -> Function:
        """This function, pinned to a version (a number) or an alias (its name). Makes no request."""
        mark = "@" if isinstance(version, int) else ":"
        return Function(self._fabric, self.info, f"{self.name}{mark}{version}")

    def aliases(self) -> list[wire.Alias]:
        """Its aliases."""
        return self._fabric._io.run(functions.aliases(self._fabric.policy, self.name))

    def set_alias(self, alias: str, targets: int | Mapping[int, int]) -> wire.Alias:
        """Points an alias at a version, or at several by weight: `{3: 9, 4: 1}`. `live` is what the bare name means."""
        weights = {targets: 1} if isinstance(targets, int) else targets
        return self._fabric._io.run(functions.set_alias(self._fabric.policy, self.name, alias, weights))

    def rollback(self, to: int | None = None) -> wire.Alias:
        """Points `live` at an older version; by default the one that was live before."""
        return self._fabric._io.run(functions.rollback(self._fabric.policy, self.name, to))

    def logs(self, *, q: str | None = None, since_ms: int | None = None, limit: int = 1000) -> list[LogLine]:
        """What its calls wrote, oldest first."""
        plan = jobs.logs(self._fabric.policy, limit, function=self.name, q=q, since_ms=since_ms)
        return self._fabric._io.run(plan)

    def delete_version(self, version: int) -> None:
        """Deletes one version.

        Raises:
            Conflict: where an alias points at it, or it is the only one.
        """
        self._fabric._io.run(functions.delete_version(self._fabric.policy, self.name, version))

    def delete(self) -> None:
        """Deletes it with its versions and aliases; its jobs keep running."""
        self._fabric._io.run(functions.delete(self._fabric.policy, self.name))
