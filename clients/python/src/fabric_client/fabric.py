"""`Fabric`: a client of one server with one token."""

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
    """A client of a Fabric server.

    Without arguments it resolves the server like the `fabric` command: `FABRIC_URL` and `FABRIC_TOKEN`, the current
    context of `~/.config/fabric/config.toml`, the server on this machine with its admin token, `http://127.0.0.1:8080`.
    The constructor makes no request. Safe to use from several threads. A context manager that closes its connections.

    Args:
        url: The server's URL.
        token: The secret to send.
        tenant: The tenant to act in. Only an admin's token may name another tenant than its own.
        context: A named server of the CLI's configuration file.
        ca: A PEM file of certificates to trust in addition to the system's.
        data_dir: The data folder of the server on this machine.
        policy: The retry policy.
        max_connections: Maximum number of connections.

    Raises:
        SettingError: if an address, a token or a context is invalid.
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
        #: The resolved settings.
        self.settings = settings
        #: The retry policy.
        self.policy = policy
        self._io = SyncDriver(settings, max_connections=max_connections)
        #: Known deployments of the Python runner, by limits and grants.
        self._python_runners: dict[str, str] = {}
        self._package_code: dict[Path, str | None] = {}
        self._python_lock = threading.Lock()

    def _with_policy(self, policy: Policy) -> Fabric:
        """Returns a client of the same server that shares the connections."""
        made = copy.copy(self)
        made.policy = policy
        return made

    @property
    def url(self) -> str:
        """The server's URL."""
        return self.settings.url

    def close(self) -> None:
        """Closes the connections. Submitted jobs and calls continue."""
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
        """Returns a deployed function by its name or, as a decorator, a Python function that runs in the sandbox.

        `fab.function("wordcount")` returns a `Function`; the name may be `name@version` or `name:alias`.
        `@fab.function`, or `@fab.function(packages=["more-itertools==10.*"])` with options, creates a `PyFunction`.

        Args:
            target: A name, or a Python function.
            name: The display name of jobs of the Python function.
            packages: Requirements of pure-Python packages to send along, as for pip.
            limits: Limits of a call, such as `{"fuel": 10**9, "memory_bytes": "64MiB", "deadline_ms": 5000}`.
            grants: Capabilities such as `{"clocks": True}`; none by default.

        The version or alias is checked by the first call.

        Raises:
            NotFound: if no function has that name.
            TypeError: if `target` is neither a name nor a function.
        """
        if isinstance(target, str):
            return Function(self, self._io.run(functions.summary(self.policy, split_ref(target))), target)
        from .pyfn.function import PyFunction

        def decorate(function: Callable[P, R]) -> PyFunction[P, R]:
            return PyFunction(self, function, name=name, packages=packages, limits=limits, grants=grants)

        return decorate if target is None else decorate(target)

    def functions(self, q: str | None = None, *, tag: str | None = None, limit: int = 1000) -> list[Function]:
        """Lists deployed functions by name; with `q`, those with these words in the name or description."""
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
        """Deploys a module and returns the function. Deploying the newest version again creates no new version.

        Args:
            module: The path of a `.wasm` file, a project folder (with `fabric.toml` and the built module), or bytes.
            name: The function's name; by default the manifest's, or the file's.
            manifest: `fabric.toml` as a string or as a dictionary. The other arguments override it.
            description: One or two sentences.
            tags: Tags of the function.
            public: Allow calls of an http function without a token.
            limits: Limits of a call, such as `{"fuel": 10**9, "memory_bytes": "64MiB", "deadline_ms": 5000}`.
            grants: Capabilities; none by default.
            resources: Resources that placement reserves for one call.
            note: A note on this version, such as a commit id.
            promote: Move `live` to the new version.

        Raises:
            SettingError: if the module or the name is missing.
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
        """Submits a job specification of the REST API. `Function.map` creates such specifications."""
        return Job(self, self._io.run(jobs.submit(self.policy, spec, key)), decoder)

    def job(self, id: str, *, decoder: Decoder = decode) -> Job:
        """Returns a job by its id. It may have been submitted by another process.

        Raises:
            NotFound: if it does not exist.
        """
        from .pyfn import attached

        return attached.job(self, self._io.run(jobs.look(self.policy, id)), decoder)

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
        """Lists jobs, newest first.

        Args:
            state: One or more of `queued`, `running`, `succeeded`, `failed`, `cancelled`, separated by commas.
            function: Only jobs of this function.
            name: Only jobs with this text in their name.
            tag: Only jobs with this tag.
            q: Only jobs with these words in any field.
            since_ms: Only jobs accepted since this time, in milliseconds since 1970.
            until_ms: Only jobs accepted until this time, in milliseconds since 1970.
            deleted: Only jobs in the bin.
            limit: Maximum number of jobs.
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
        from .pyfn import attached

        return [attached.job(self, info, decode) for info in self._io.run(plan)]

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
        """Moves ended jobs to the bin, or removes them permanently with their journals. Returns their number.

        At least one filter is required. Jobs that have not ended are not deleted.

        Args:
            state: One or more of `succeeded`, `failed`, `cancelled`, separated by commas.
            function: Only jobs of this function.
            tag: Only jobs with this tag.
            until_ms: Only jobs accepted before this time, in milliseconds since 1970.
            deleted: Only jobs in the bin.
            for_good: Remove the jobs permanently instead of moving them to the bin.
        """
        plan = jobs.delete_all(
            self.policy, for_good, state=state, function=function, tag=tag, until_ms=until_ms, deleted=deleted
        )
        return self._io.run(plan)

    def invocation(self, id: str, *, decoder: Decoder = decode) -> Invocation:
        """Returns an invocation by its id.

        Raises:
            NotFound: if it does not exist.
        """
        from .pyfn import attached

        return attached.invocation(self, self._io.run(jobs.look_at_invocation(self.policy, id)), decoder)

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
        """Lists log lines, oldest first."""
        wanted = {"function": function, "invocation": invocation, "job": job, "q": q, "since_ms": since_ms}
        return self._io.run(jobs.logs(self.policy, limit, **wanted))

    def follow_logs(
        self, *, function: str | None = None, invocation: str | None = None, job: str | None = None, since_ms: int = 0
    ) -> Iterator[LogLine]:
        """Yields the log lines since `since_ms` (milliseconds since 1970), then new lines as they are written.

        Does not end. Reconnects to a server that restarts, and skips no line.
        """
        wanted = {"function": function, "invocation": invocation, "job": job, "since_ms": since_ms}
        return self._io.iterate(follow.log_lines(self.policy, **wanted))

    # Objects.

    def dataset(self, path: str, split: str = "object") -> Dataset:
        """Returns a data set of stored objects: an object's path, or a prefix ending in `/`. Makes no request.

        Args:
            path: The path or prefix.
            split: The splitter of each object: see `DatasetBase.split`.
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
            path: The object's path, such as `folder/name`.
            source: Bytes, text, the `Path` of a file, an open binary file, or chunks of bytes.
            content_type: The object's media type.
            create: Only store the object if it does not exist.
            if_match: Only store the object if it has this entity tag.

        Raises:
            Conflict: if the condition does not hold.
        """
        return self._io.run(objects.put(self.policy, path, source, content_type, create, if_match))

    def get(self, path: str) -> bytes:
        """Returns an object's bytes. Use `stream` or `download` for large objects.

        Raises:
            NotFound: if it does not exist.
        """
        return b"".join(self.stream(path))

    def stream(self, path: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yields an object's bytes as they arrive, from `start` on. Resumes after a broken connection."""
        return self._io.iterate(objects.content(self.policy, path, start, length))

    def download(self, path: str, to: str | Path) -> int:
        """Writes an object to a file atomically. Returns the number of bytes written."""
        from .files import write_whole

        return write_whole(Path(to), self.stream(path))

    def stat(self, path: str) -> ObjectInfo | None:
        """Returns an object's description, or None if it does not exist."""
        return self._io.run(objects.head(self.policy, path))

    def ls(self, prefix: str = "", *, recursive: bool = False, limit: int = 1000) -> list[ObjectInfo]:
        """Lists stored objects by path: one level with its folders, or all levels with `recursive`."""
        return self._io.run(objects.listing(self.policy, prefix, not recursive, limit))

    def rm(self, path: str) -> None:
        """Deletes an object.

        Raises:
            NotFound: if it does not exist.
        """
        self._io.run(objects.delete(self.policy, path))

    # The server.

    def nodes(self) -> Nodes[Node]:
        """Lists all nodes."""
        return Nodes(Node(self, info) for info in self._io.run(nodes.listing(self.policy, 10_000)))

    def explain(self, function: str, *, params: Mapping[str, Any] | None = None) -> Explanation:
        """Explains the placement of a function: every node with its filters and scores."""
        return self._io.run(nodes.explain(self.policy, {"function": function, "params": dict(params or {})}))

    def usage(self, *, since_ms: int | None = None, until_ms: int | None = None) -> Usage:
        """Returns the tenant's usage, in total and by function.

        Args:
            since_ms: From the UTC day of this time on, in milliseconds since 1970; all usage by default. A day more
                than two months ago counts as the first day of its month.
            until_ms: Up to and including the UTC day of this time.
        """
        return self._io.run(nodes.usage(self.policy, since_ms, until_ms))

    def whoami(self) -> Identity:
        """Returns the identity of this client's token."""
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
    """Resolves the settings. Warns if the token would be sent over a network unencrypted."""
    settings = Settings.resolve(url, token, **more)
    if settings.sends_token_in_clear:
        text = f"the token is sent to {settings.url} unencrypted and can be read in transit; use https"
        warnings.warn(text, stacklevel=3)
    return settings
