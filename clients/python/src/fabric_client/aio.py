"""The async versions of `Fabric`, `Function`, `Job` and `Invocation`, with the same names, arguments and errors.

Both versions run the operations of `api/` (see `steps`). `tests/test_twins.py` compares their signatures.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from . import convert
from .api import follow, functions, jobs, nodes, objects
from .batches import Batches, raw, table_of
from .codec import Decoder, Reply, decode
from .config import Settings
from .dataset import AsyncDataset, DatasetBase
from .fabric import settled
from .function import FunctionBase, invoked, split_ref
from .in_order import InOrder
from .invocation import InvocationBase
from .job import JobBase
from .node import AsyncNode, Nodes
from .request import Policy
from .spec import job_spec, module_and_manifest
from .steps import Plan
from .transport import AsyncDriver
from .upload import Source
from .wire import function as function_wire
from .wire import invocation as invocation_wire
from .wire import job as job_wire
from .wire.node import Explanation, Identity, Usage
from .wire.object import ObjectInfo

if TYPE_CHECKING:
    from .pyfn.aio import AsyncPyFunction

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class AsyncFabric:
    """The async version of `Fabric`, for one event loop. An async context manager that closes its connections."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        tenant: str | None = None,
        context: str | None = None,
        ca: str | os.PathLike[str] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        policy: Policy | None = None,
        max_connections: int = 100,
    ) -> None:
        settings = settled(url, token, tenant=tenant, context=context, ca=ca, data_dir=data_dir)
        self._connect(settings, policy or Policy(), max_connections)

    def _connect(self, settings: Settings, policy: Policy, max_connections: int) -> None:
        self.settings = settings
        self.policy = policy
        self._io = AsyncDriver(settings, max_connections=max_connections)
        self._python_runners: dict[str, str] = {}
        self._package_code: dict[Path, str | None] = {}

    @classmethod
    def _of(cls, settings: Settings, policy: Policy) -> AsyncFabric:
        made = cls.__new__(cls)
        made._connect(settings, policy, 100)
        return made

    @property
    def url(self) -> str:
        """The server's URL."""
        return self.settings.url

    async def close(self) -> None:
        """See `Fabric.close`."""
        await self._io.close()

    async def __aenter__(self) -> AsyncFabric:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _repr_html_(self) -> str:
        from .notebook.html import fabric_card

        return fabric_card(self.settings)

    def __repr__(self) -> str:
        tenant = f" tenant {self.settings.tenant}" if self.settings.tenant else ""
        return f"<AsyncFabric {self.url}{tenant}>"

    @overload
    def function(self, target: str, /) -> Awaitable[AsyncFunction]: ...

    @overload
    def function(self, target: Callable[P, R], /) -> AsyncPyFunction[P, R]: ...

    @overload
    def function(
        self,
        /,
        *,
        name: str | None = None,
        packages: Iterable[str] = (),
        limits: Mapping[str, Any] | None = None,
        grants: Mapping[str, Any] | None = None,
    ) -> Callable[[Callable[P, R]], AsyncPyFunction[P, R]]: ...

    def function(
        self,
        target: Any = None,
        /,
        *,
        name: str | None = None,
        packages: Iterable[str] = (),
        limits: Mapping[str, Any] | None = None,
        grants: Mapping[str, Any] | None = None,
    ) -> Any:
        """See `Fabric.function`. With a name the result must be awaited, with a Python function not."""
        if isinstance(target, str):
            return self._function(target)
        from .pyfn.aio import AsyncPyFunction

        def decorate(function: Callable[P, R]) -> AsyncPyFunction[P, R]:
            return AsyncPyFunction(self, function, name=name, packages=packages, limits=limits, grants=grants)

        return decorate if target is None else decorate(target)

    async def _function(self, name: str) -> AsyncFunction:
        return AsyncFunction(self, await self._io.run(functions.summary(self.policy, split_ref(name))), name)

    async def functions(
        self, q: str | None = None, *, tag: str | None = None, limit: int = 1000
    ) -> list[AsyncFunction]:
        """See `Fabric.functions`."""
        found = await self._io.run(functions.summaries(self.policy, q, tag, limit))
        return [AsyncFunction(self, info, info.name) for info in found]

    async def deploy(
        self,
        module: str | Path | bytes,
        name: str | None = None,
        *,
        manifest: str | Mapping[str, Any] | None = None,
        description: str | None = None,
        tags: list[str] | None = None,
        public: bool | None = None,
        limits: Mapping[str, Any] | None = None,
        grants: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        note: str | None = None,
        promote: bool = True,
    ) -> AsyncFunction:
        """See `Fabric.deploy`."""
        content, document = module_and_manifest(
            module,
            name,
            manifest,
            description=description,
            tags=tags,
            public=public,
            limits=limits,
            grants=grants,
            resources=resources,
        )
        info = await self._io.run(functions.deployed(self.policy, content, document, note, promote))
        return AsyncFunction(self, info, info.name)

    async def submit(self, spec: Mapping[str, Any], *, key: str | None = None, decoder: Decoder = decode) -> AsyncJob:
        """See `Fabric.submit`."""
        return AsyncJob(self, await self._io.run(jobs.submit(self.policy, spec, key)), decoder)

    async def job(self, id: str, *, decoder: Decoder = decode) -> AsyncJob:
        """See `Fabric.job`."""
        from .pyfn import attached

        return attached.async_job(self, await self._io.run(jobs.look(self.policy, id)), decoder)

    async def jobs(
        self,
        *,
        state: str | None = None,
        function: str | None = None,
        name: str | None = None,
        tag: str | None = None,
        q: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        deleted: bool | None = None,
        limit: int = 20,
    ) -> list[AsyncJob]:
        """See `Fabric.jobs`."""
        plan = jobs.listing(
            self.policy,
            limit,
            state=state,
            function=function,
            name=name,
            tag=tag,
            q=q,
            since_ms=since_ms,
            until_ms=until_ms,
            deleted=deleted,
        )
        from .pyfn import attached

        return [attached.async_job(self, info, decode) for info in await self._io.run(plan)]

    async def delete_jobs(
        self,
        *,
        state: str | None = None,
        function: str | None = None,
        tag: str | None = None,
        until_ms: int | None = None,
        deleted: bool | None = None,
        for_good: bool = False,
    ) -> int:
        """See `Fabric.delete_jobs`."""
        plan = jobs.delete_all(
            self.policy, for_good, state=state, function=function, tag=tag, until_ms=until_ms, deleted=deleted
        )
        return await self._io.run(plan)

    async def invocation(self, id: str, *, decoder: Decoder = decode) -> AsyncInvocation:
        """See `Fabric.invocation`."""
        from .pyfn import attached

        return attached.async_invocation(self, await self._io.run(jobs.look_at_invocation(self.policy, id)), decoder)

    async def logs(
        self,
        *,
        function: str | None = None,
        invocation: str | None = None,
        job: str | None = None,
        q: str | None = None,
        since_ms: int | None = None,
        limit: int = 1000,
    ) -> list[invocation_wire.LogLine]:
        """See `Fabric.logs`."""
        wanted = {"function": function, "invocation": invocation, "job": job, "q": q, "since_ms": since_ms}
        return await self._io.run(jobs.logs(self.policy, limit, **wanted))

    def follow_logs(
        self, *, function: str | None = None, invocation: str | None = None, job: str | None = None, since_ms: int = 0
    ) -> AsyncIterator[invocation_wire.LogLine]:
        """See `Fabric.follow_logs`."""
        wanted = {"function": function, "invocation": invocation, "job": job, "since_ms": since_ms}
        return self._io.iterate(follow.log_lines(self.policy, **wanted))

    def dataset(self, path: str, split: str = "object") -> AsyncDataset:
        """See `Fabric.dataset`."""
        return AsyncDataset(self, path, split)

    async def put(
        self,
        path: str,
        source: Source,
        *,
        content_type: str | None = None,
        create: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """See `Fabric.put`. Files are read in a thread, so that the event loop is not blocked."""
        return await self._io.run(objects.put(self.policy, path, source, content_type, create, if_match))

    async def get(self, path: str) -> bytes:
        """See `Fabric.get`."""
        return b"".join([chunk async for chunk in self.stream(path)])

    def stream(self, path: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `Fabric.stream`."""
        return self._io.iterate(objects.content(self.policy, path, start, length))

    async def download(self, path: str, to: str | Path) -> int:
        """See `Fabric.download`."""
        from .files import write_whole_async

        return await write_whole_async(Path(to), self.stream(path))

    async def stat(self, path: str) -> ObjectInfo | None:
        """See `Fabric.stat`."""
        return await self._io.run(objects.head(self.policy, path))

    async def ls(self, prefix: str = "", *, recursive: bool = False, limit: int = 1000) -> list[ObjectInfo]:
        """See `Fabric.ls`."""
        return await self._io.run(objects.listing(self.policy, prefix, not recursive, limit))

    async def rm(self, path: str) -> None:
        """See `Fabric.rm`."""
        await self._io.run(objects.delete(self.policy, path))

    async def nodes(self) -> Nodes[AsyncNode]:
        """See `Fabric.nodes`."""
        return Nodes(AsyncNode(self, info) for info in await self._io.run(nodes.listing(self.policy, 10_000)))

    async def explain(self, function: str, *, params: Mapping[str, Any] | None = None) -> Explanation:
        """See `Fabric.explain`."""
        return await self._io.run(nodes.explain(self.policy, {"function": function, "params": dict(params or {})}))

    async def usage(self, *, since_ms: int | None = None, until_ms: int | None = None) -> Usage:
        """See `Fabric.usage`."""
        return await self._io.run(nodes.usage(self.policy, since_ms, until_ms))

    async def whoami(self) -> Identity:
        """See `Fabric.whoami`."""
        return await self._io.run(nodes.whoami(self.policy))


class AsyncFunction(FunctionBase):
    """The async version of `Function`."""

    def __init__(self, fabric: AsyncFabric, info: function_wire.FunctionSummary, ref: str) -> None:
        super().__init__(info, ref)
        self._fabric = fabric

    async def __call__(self, value: object = None, /, **params: Any) -> Any:
        """See `Function.__call__`."""
        return (await self.invoke(value, params=params)).value

    async def remote(self, value: object = None, /, **params: Any) -> Any:
        """See `Function.remote`."""
        return await self(value, **params)

    async def invoke(
        self,
        value: object = None,
        *,
        params: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        key: str | None = None,
    ) -> Reply:
        """See `Function.invoke`."""
        return await self._fabric._io.run(invoked(self._fabric.policy, self.ref, value, params, content_type, key))

    async def spawn(
        self,
        value: object = None,
        /,
        *,
        params: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        key: str | None = None,
        decoder: Decoder = decode,
    ) -> AsyncInvocation:
        """See `Function.spawn`."""
        plan = functions.spawn(self._fabric.policy, self.ref, value, params, content_type, key)
        return AsyncInvocation(self._fabric, await self._fabric._io.run(plan), decoder)

    async def map(
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
    ) -> AsyncJob:
        """See `Function.map`."""
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
        return await self._fabric.submit(spec, key=key, decoder=decoder)

    async def plan(
        self, over: DatasetBase | Iterable[object], *, params: Mapping[str, Any] | None = None
    ) -> job_wire.JobPlan:
        """See `Function.plan`."""
        return await self._fabric._io.run(jobs.plan(self._fabric.policy, job_spec(self.ref, over, params=params)))

    async def versions(self, limit: int = 100) -> list[function_wire.Deployment]:
        """See `Function.versions`."""
        return await self._fabric._io.run(functions.versions(self._fabric.policy, self.name, limit))

    def at(self, version: int | str) -> AsyncFunction:
        """See `Function.at`."""
        mark = "@" if isinstance(version, int) else ":"
        return AsyncFunction(self._fabric, self.info, f"{self.name}{mark}{version}")

    async def aliases(self) -> list[function_wire.Alias]:
        """See `Function.aliases`."""
        return await self._fabric._io.run(functions.aliases(self._fabric.policy, self.name))

    async def set_alias(self, alias: str, targets: int | Mapping[int, int]) -> function_wire.Alias:
        """See `Function.set_alias`."""
        weights = {targets: 1} if isinstance(targets, int) else targets
        return await self._fabric._io.run(functions.set_alias(self._fabric.policy, self.name, alias, weights))

    async def rollback(self, to: int | None = None) -> function_wire.Alias:
        """See `Function.rollback`."""
        return await self._fabric._io.run(functions.rollback(self._fabric.policy, self.name, to))

    async def logs(
        self, *, q: str | None = None, since_ms: int | None = None, limit: int = 1000
    ) -> list[invocation_wire.LogLine]:
        """See `Function.logs`."""
        plan = jobs.logs(self._fabric.policy, limit, function=self.name, q=q, since_ms=since_ms)
        return await self._fabric._io.run(plan)

    async def delete_version(self, version: int) -> None:
        """See `Function.delete_version`."""
        await self._fabric._io.run(functions.delete_version(self._fabric.policy, self.name, version))

    async def delete(self) -> None:
        """See `Function.delete`."""
        await self._fabric._io.run(functions.delete(self._fabric.policy, self.name))


class AsyncJob(JobBase):
    """The async version of `Job`. `await job` returns its result. Cancelling the waiting task does not stop the job."""

    def __init__(self, fabric: AsyncFabric, info: job_wire.Job, decoder: Decoder = decode) -> None:
        super().__init__(info, decoder)
        self._fabric = fabric

    def _ipython_display_(self) -> None:
        from .notebook.live import card

        card(self)

    async def _run(self, plan: Plan[T]) -> T:
        return await self._fabric._io.run(plan)

    async def refresh(self) -> AsyncJob:
        """See `Job.refresh`."""
        self.info = await self._run(jobs.look(self._fabric.policy, self.id))
        return self

    async def done(self) -> bool:
        """See `Job.done`."""
        return self.ended or (await self.refresh()).ended

    async def wait(self, timeout: float | None = None, *, progress: bool | None = None) -> AsyncJob:
        """See `Job.wait`."""
        from .progress import bar

        if self.ended:
            return self
        with bar(progress) as shown:
            every = jobs.LONG_POLL if shown is None else 1.0
            async for info in self._fabric._io.iterate(jobs.looks(self._fabric.policy, self.id, timeout, every)):
                self.info = info
                if shown is not None:
                    shown(self)
        return self

    async def result(self, timeout: float | None = None, *, progress: bool | None = None) -> Any:
        """See `Job.result`."""
        await self.wait(timeout, progress=progress)
        return await self._run(jobs.values(self._fabric.policy, self.info, self.decoder))

    def results(self, timeout: float | None = None) -> AsyncIterator[tuple[int, Any]]:
        """See `Job.results`."""
        return self._fabric._io.iterate(jobs.completed(self._fabric.policy, self.info, self.decoder, timeout))

    async def __aiter__(self) -> AsyncIterator[Any]:
        """See `Job.__iter__`."""
        ordered = InOrder()
        async for index, value in self.results():
            for due in ordered.add(index, value):
                yield due
        for late in ordered.rest():
            yield late

    def __await__(self) -> Generator[Any, None, Any]:
        return self.result().__await__()

    async def exception(self, timeout: float | None = None) -> BaseException | None:
        """See `Job.exception`."""
        await self.wait(timeout)
        return await self._run(jobs.failure(self._fabric.policy, self.info))

    async def cancel(self) -> bool:
        """See `Job.cancel`."""
        info = await self._run(jobs.cancel(self._fabric.policy, self.id))
        if info is None:
            await self.refresh()
            return False
        self.info = info
        return True

    async def watch(self) -> AsyncIterator[job_wire.JobEvent]:
        """See `Job.watch`."""
        async for event in self._fabric._io.iterate(follow.job_events(self._fabric.policy, self.id, None)):
            yield event
        await self.refresh()

    async def logs(
        self, *, task: str | None = None, q: str | None = None, limit: int = 1000
    ) -> list[invocation_wire.LogLine]:
        """See `Job.logs`."""
        return await self._run(jobs.logs(self._fabric.policy, limit, job=self.id, task=task, q=q))

    async def tasks(
        self, *, state: str | None = None, stage: int | None = None, limit: int = 1000
    ) -> list[job_wire.Task]:
        """See `Job.tasks`."""
        return await self._run(jobs.tasks(self._fabric.policy, self.id, state, stage, limit))

    async def dead_letters(self, limit: int = 1000) -> list[job_wire.DeadLetter]:
        """See `Job.dead_letters`."""
        return await self._run(jobs.dead_letters(self._fabric.policy, self.id, limit))

    async def audit(self, sample: float = 5.0) -> job_wire.Audit:
        """See `Job.audit`."""
        return await self._run(jobs.audit(self._fabric.policy, self.id, sample))

    async def delete(self) -> None:
        """See `Job.delete`."""
        await self._run(jobs.delete(self._fabric.policy, self.id))

    async def retry(
        self, function: str | AsyncFunction | None = None, *, budget_fuel: int | str | None = None
    ) -> AsyncJob:
        """See `Job.retry`."""
        ref = function if function is None or isinstance(function, str) else function.ref
        info = await self._run(jobs.retry(self._fabric.policy, self.id, ref, budget_fuel))
        return self._renewed(info)

    def _renewed(self, info: job_wire.Job) -> AsyncJob:
        return AsyncJob(self._fabric, info, self.decoder)

    async def restore(self) -> AsyncJob:
        """See `Job.restore`."""
        self.info = await self._run(jobs.restore(self._fabric.policy, self.id))
        return self

    async def stream(self, timeout: float | None = None) -> AsyncIterator[bytes]:
        """See `Job.stream`."""
        await self.wait(timeout)
        error = await self._run(jobs.failure(self._fabric.policy, self.info))
        if error is not None:
            raise error
        async for chunk in self._fabric._io.iterate(jobs.content(self._fabric.policy, self.id)):
            yield chunk

    async def save(self, path: str | Path, timeout: float | None = None) -> int:
        """See `Job.save`."""
        from .files import write_whole_async

        return await write_whole_async(Path(path), self.stream(timeout))

    async def to_pandas(self, timeout: float | None = None) -> Any:
        """See `Job.to_pandas`."""
        return convert.to_pandas(await self._parts(timeout))

    async def to_arrow(self, timeout: float | None = None, *, schema: Any = None) -> Any:
        """See `Job.to_arrow`."""
        if schema is None:
            return convert.to_arrow(await self._parts(timeout))
        return table_of([batch async for batch in self.to_arrow_batches(timeout, schema=schema)], schema)

    async def to_arrow_batches(self, timeout: float | None = None, *, schema: Any = None) -> AsyncIterator[Any]:
        """See `Job.to_arrow_batches`."""
        batches, ordered = Batches(schema), InOrder()
        plan = jobs.completed(self._fabric.policy, self.info, raw, timeout)
        async for index, part in self._fabric._io.iterate(plan):
            for due in ordered.add(index, part):
                for batch in batches.of_part(due):
                    yield batch
        for late in ordered.rest():
            for batch in batches.of_part(late):
                yield batch

    async def to_numpy(self, dtype: Any = None, timeout: float | None = None) -> Any:
        """See `Job.to_numpy`."""
        return convert.to_numpy(await self._parts(timeout), dtype)

    async def _parts(self, timeout: float | None) -> list[jobs.Part]:
        await self.wait(timeout)
        return await self._run(jobs.parts(self._fabric.policy, self.info))


class AsyncInvocation(InvocationBase):
    """The async version of `Invocation`. `await call` returns its result."""

    def __init__(self, fabric: AsyncFabric, info: invocation_wire.Invocation, decoder: Decoder = decode) -> None:
        super().__init__(info, decoder)
        self._fabric = fabric

    async def refresh(self) -> AsyncInvocation:
        """See `Invocation.refresh`."""
        self.info = await self._fabric._io.run(jobs.look_at_invocation(self._fabric.policy, self.id))
        return self

    async def done(self) -> bool:
        """See `Invocation.done`."""
        return self.ended or (await self.refresh()).ended

    async def wait(self, timeout: float | None = None) -> AsyncInvocation:
        """See `Invocation.wait`."""
        if not self.ended:
            self.info = await self._fabric._io.run(jobs.wait_invocation(self._fabric.policy, self.id, timeout))
        return self

    async def result(self, timeout: float | None = None) -> Any:
        """See `Invocation.result`."""
        await self.wait(timeout)
        return await self._fabric._io.run(jobs.invocation_value(self._fabric.policy, self.info, self.decoder))

    async def exception(self, timeout: float | None = None) -> BaseException | None:
        """See `Invocation.exception`."""
        await self.wait(timeout)
        return await self._fabric._io.run(jobs.invocation_failure(self._fabric.policy, self.info))

    async def cancel(self) -> bool:
        """See `Invocation.cancel`."""
        info = await self._fabric._io.run(jobs.cancel_invocation(self._fabric.policy, self.id))
        self.info = info if info is not None else (await self.refresh()).info
        return info is not None

    async def logs(self, limit: int = 1000) -> list[invocation_wire.LogLine]:
        """See `Invocation.logs`."""
        return await self._fabric._io.run(jobs.logs(self._fabric.policy, limit, invocation=self.id))

    def __await__(self) -> Generator[Any, None, Any]:
        return self.result().__await__()
