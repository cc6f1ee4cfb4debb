"""`Fabric`: a server, as seen by one token."""

from __future__ import annotations

import copy
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from .api import follow, functions, jobs, nodes, objects
from .codec import Decoder, decode
from .config import Settings
from .dataset import Dataset
from .function import Function, split_ref
from .invocation import Invocation
from .job import Job
from .node import Node, Nodes
from .request import Policy
from .spec import module_and_manifest
from .transport import SyncDriver
from .upload import Source
from .wire.invocation import LogLine
from .wire.node import Explanation, Identity, Usage
from .wire.object import ObjectInfo

if TYPE_CHECKING:
    from .pyfn.function import PyFunction

P = ParamSpec("P")
R = TypeVar("R")


class Fabric:
    """A Fabric server.

    Without arguments it finds the server as the `fabric` command does: `FABRIC_URL` and `FABRIC_TOKEN`, the context in
    use of `~/.config/fabric/config.toml`, the server on this machine with its admin token, `http://127.0.0.1:8080`.
    Makes no request until it is asked for something. Safe to use from several threads; a context manager that closes
    its connections.

    Args:
        url: The server's address.
        token: The secret to send.
        tenant: The tenant to act in; only an admin's token may name another than its own.
        context: A named server of the CLI's configuration file.
        ca: A file of certificates to trust besides the system's, in PEM.
        data_dir: Where the server on this machine keeps its data.
        policy: When requests are sent again.
        max_connections: Connections at once.

    Raises:
        SettingError: for an address, a token or a context that can't be used.
    """

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
        #: Where it talks to, as whom.
        self.settings = settings
        #: When requests are sent again.
        self.policy = policy
        self._io = SyncDriver(settings, max_connections=max_connections)
        #: The deployments of the Python runner that are known to be there, by what they may use.
        self._python_runners: dict[str, str] = {}
        self._python_lock = threading.Lock()

    def _with_policy(self, policy: Policy) -> Fabric:
        """The same server over the same connections."""
        made = copy.copy(self)
        made.policy = policy
        return made

    @property
    def url(self) -> str:
        """The server's address."""
        return self.settings.url

    def close(self) -> None:
        """Closes the connections. What was submitted goes on."""
        self._io.close()

    def __enter__(self) -> Fabric:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        tenant = f" tenant {self.settings.tenant}" if self.settings.tenant else ""
        return f"<Fabric {self.url}{tenant}>"

    # Functions.

    @overload
    def function(self, target: str, /) -> Function: ...

    @overload
    def function(self, target: Callable[P, R], /) -> PyFunction[P, R]: ...

    @overload
    def function(
        self,
        /,
        *,
        name: str | None = None,
        packages: Iterable[str] = (),
        limits: Mapping[str, Any] | None = None,
        grants: Mapping[str, Any] | None = None,
    ) -> Callable[[Callable[P, R]], PyFunction[P, R]]: ...

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
        """A deployed function by its name; or, as a decorator, a Python function that runs in the sandbox.

        `fab.function("wordcount")` gives the `Function` of that name, `name@version` or `name:alias`. `@fab.function`,
        or `@fab.function(packages=["more-itertools==10.*"])` with options, gives a `PyFunction`.

        Args:
            target: A name, or a Python function.
            name: What jobs of the Python function are called, for people.
            packages: Requirements of packages in pure Python that go along, as for pip.
            limits: What a call may use, such as `{"fuel": 10**9, "memory_bytes": "64MiB", "deadline_ms": 5000}`.
            grants: Capabilities such as `{"clocks": True}`; none by default.

        Whether there is such a version or alias is found out by the first call.

        Raises:
            NotFound: where there is no function of that name.
            TypeError: for what is neither a name nor a function.
        """
        if isinstance(target, str):
            return Function(self, self._io.run(functions.summary(self.policy, split_ref(target))), target)
        from .pyfn.function import PyFunction

        def decorate(function: Callable[P, R]) -> PyFunction[P, R]:
            return PyFunction(self, function, name=name, packages=packages, limits=limits, grants=grants)

        return decorate if target is None else decorate(target)

    function.__fabric_decorator__ = True  # type: ignore[attr-defined]

    def functions(self, q: str | None = None, *, tag: str | None = None, limit: int = 1000) -> list[Function]:
        """Deployed functions by name; with `q` those with these words in name or description."""
        found = self._io.run(functions.summaries(self.policy, q, tag, limit))
        return [Function(self, info, info.name) for info in found]

    def deploy(
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
    ) -> Function:
        """Deploys a module and gives the function. The same module and manifest as the newest version make no new one.

        Args:
            module: The path of a `.wasm` file, a project's folder (with `fabric.toml` and the built module), or bytes.
            name: The function's name; by default the manifest's, or the file's.
            manifest: `fabric.toml` as text or as a dictionary; the other arguments change what it says.
            description: One or two sentences.
            tags: Words to find it by.
            public: Whether an http function may be called without a token.
            limits: What a call may use, such as `{"fuel": 10**9, "memory_bytes": "64MiB", "deadline_ms": 5000}`.
            grants: Capabilities; none by default.
            resources: What placement sets aside for one call.
            note: A word on this version, such as a commit id.
            promote: Whether `live` moves to the new version.

        Raises:
            SettingError: where there is no module or no name.
            BadRequest: `not-wasm`, `invalid-module`, `unknown-import`, `no-entry`, `invalid-manifest`.
        """
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
        info = self._io.run(functions.deployed(self.policy, content, document, note, promote))
        return Function(self, info, info.name)

    # Jobs and invocations.

    def submit(self, spec: Mapping[str, Any], *, key: str | None = None, decoder: Decoder = decode) -> Job:
        """Submits a job as the REST API takes it; `Function.map` writes such specifications."""
        return Job(self, self._io.run(jobs.submit(self.policy, spec, key)), decoder)

    def job(self, id: str, *, decoder: Decoder = decode) -> Job:
        """A job by its id, from whatever process it was submitted.

        Raises:
            NotFound: where there is none.
        """
        return Job(self, self._io.run(jobs.look(self.policy, id)), decoder)

    def jobs(
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
    ) -> list[Job]:
        """Jobs, newest first.

        Args:
            state: One or more of `queued`, `running`, `succeeded`, `failed`, `cancelled`, separated by commas.
            function: Of this function.
            name: With this in the name.
            tag: With this tag.
            q: With these words anywhere.
            since_ms: Accepted since, milliseconds since 1970.
            until_ms: Accepted until.
            deleted: Those in the bin.
            limit: How many at most.
        """
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
        return [Job(self, info) for info in self._io.run(plan)]

    def delete_jobs(
        self,
        *,
        state: str | None = None,
        function: str | None = None,
        tag: str | None = None,
        until_ms: int | None = None,
        deleted: bool | None = None,
        for_good: bool = False,
    ) -> int:
        """Puts jobs that have ended into the bin, or removes them for good with their journals; gives how many.

        At least one of the conditions is needed; they are as for `jobs`. Jobs that have not ended stay.

        Args:
            state: One or more of `succeeded`, `failed`, `cancelled`, separated by commas.
            function: Of this function.
            tag: With this tag.
            until_ms: Accepted before, milliseconds since 1970.
            deleted: Those in the bin.
            for_good: Not into the bin.
        """
        plan = jobs.delete_all(
            self.policy, for_good, state=state, function=function, tag=tag, until_ms=until_ms, deleted=deleted
        )
        return self._io.run(plan)

    def invocation(self, id: str, *, decoder: Decoder = decode) -> Invocation:
        """An invocation by its id.

        Raises:
            NotFound: where there is none.
        """
        return Invocation(self, self._io.run(jobs.look_at_invocation(self.policy, id)), decoder)

    def logs(
        self,
        *,
        function: str | None = None,
        invocation: str | None = None,
        job: str | None = None,
        q: str | None = None,
        since_ms: int | None = None,
        limit: int = 1000,
    ) -> list[LogLine]:
        """Log lines, oldest first."""
        wanted = {"function": function, "invocation": invocation, "job": job, "q": q, "since_ms": since_ms}
        return self._io.run(jobs.logs(self.policy, limit, **wanted))

    def follow_logs(
        self, *, function: str | None = None, invocation: str | None = None, job: str | None = None, since_ms: int = 0
    ) -> Iterator[LogLine]:
        """Log lines as they are written, those since `since_ms` (milliseconds since 1970) first; without an end.

        A server that restarts is waited for, and no line is skipped.
        """
        wanted = {"function": function, "invocation": invocation, "job": job, "since_ms": since_ms}
        return self._io.iterate(follow.log_lines(self.policy, **wanted))

    # Objects.

    def dataset(self, path: str, split: str = "object") -> Dataset:
        """Stored objects to map over: an object's path, or a prefix ending in `/`. Makes no request.

        Args:
            path: Where they are.
            split: How each is split: see `DatasetBase.split`.
        """
        return Dataset(self, path, split)

    def put(
        self,
        path: str,
        source: Source,
        *,
        content_type: str | None = None,
        create: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """Stores an object, streamed.

        Args:
            path: Where, such as `folder/name`.
            source: Bytes, text, the `Path` of a file, an open binary file, or chunks of bytes.
            content_type: Its media type.
            create: Only where nothing is there yet.
            if_match: Only where the object has this entity tag.

        Raises:
            Conflict: where the condition does not hold.
        """
        return self._io.run(objects.put(self.policy, path, source, content_type, create, if_match))

    def get(self, path: str) -> bytes:
        """An object's bytes, in memory; `stream` and `download` are for large ones.

        Raises:
            NotFound: where there is none.
        """
        return b"".join(self.stream(path))

    def stream(self, path: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """An object's bytes as they come, from `start` on. A connection that breaks is resumed where it broke."""
        return self._io.iterate(objects.content(self.policy, path, start, length))

    def download(self, path: str, to: str | Path) -> int:
        """Writes an object to a file, which appears when it is whole; gives the bytes written."""
        from .files import write_whole

        return write_whole(Path(to), self.stream(path))

    def stat(self, path: str) -> ObjectInfo | None:
        """What an object is, without its bytes; None where there is none."""
        return self._io.run(objects.head(self.policy, path))

    def ls(self, prefix: str = "", *, recursive: bool = False, limit: int = 1000) -> list[ObjectInfo]:
        """Stored objects by path; one level, with folders, unless `recursive`."""
        return self._io.run(objects.listing(self.policy, prefix, not recursive, limit))

    def rm(self, path: str) -> None:
        """Deletes an object.

        Raises:
            NotFound: where there is none.
        """
        self._io.run(objects.delete(self.policy, path))

    # The server.

    def nodes(self) -> Nodes[Node]:
        """All nodes."""
        return Nodes(Node(self, info) for info in self._io.run(nodes.listing(self.policy, 10_000)))

    def explain(self, function: str, *, params: Mapping[str, Any] | None = None) -> Explanation:
        """Where a function would run, and why: every node with its filters and scores."""
        return self._io.run(nodes.explain(self.policy, {"function": function, "params": dict(params or {})}))

    def usage(self, *, since_ms: int | None = None, until_ms: int | None = None) -> Usage:
        """What the tenant has used, in all and by function.

        Args:
            since_ms: From the UTC day of this moment on, milliseconds since 1970; everything by default. Days more than
                two months ago count as the first of their month.
            until_ms: Up to the UTC day of this moment, that day included.
        """
        return self._io.run(nodes.usage(self.policy, since_ms, until_ms))

    def whoami(self) -> Identity:
        """Who the server takes this client for."""
        return self._io.run(nodes.whoami(self.policy))

    def _repr_html_(self) -> str:
        from .notebook.html import fabric_card

        return fabric_card(self.settings)

    # For `await job` in a coroutine.

    async def _twin_await(self, job: str, decoder: Decoder) -> Any:
        from .aio import AsyncFabric

        async with AsyncFabric._of(self.settings, self.policy) as twin:
            return await (await twin.job(job, decoder=decoder)).result()

    async def _twin_await_invocation(self, invocation: str, decoder: Decoder) -> Any:
        from .aio import AsyncFabric

        async with AsyncFabric._of(self.settings, self.policy) as twin:
            return await (await twin.invocation(invocation, decoder=decoder)).result()


def settled(url: str | None, token: str | None, **more: Any) -> Settings:
    """The settings, with a warning where a token would cross a network unencrypted."""
    settings = Settings.resolve(url, token, **more)
    if settings.sends_token_in_clear:
        text = f"the token goes to {settings.url} unencrypted: anyone on the way can read it; use https"
        warnings.warn(text, stacklevel=3)
    return settings
