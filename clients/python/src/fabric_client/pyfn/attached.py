"""Handles to jobs and calls that another process submitted: those of Python functions decode themselves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..codec import decode
from ..invocation import Invocation
from ..job import Job
from . import runner
from .modules import Origin, origin
from .outcome import Reader
from .ship import Shipped

if TYPE_CHECKING:
    from ..aio import AsyncFabric, AsyncInvocation, AsyncJob
    from ..fabric import Fabric
    from ..wire import invocation as invocation_wire
    from ..wire import job as job_wire


class _OwnClasses(dict[str, type]):
    """The classes of the user's own modules that are loaded, by `module:qualname`."""

    def get(self, name: str, default: Any = None) -> Any:
        module, _, path = name.partition(":")
        found: Any = sys.modules.get(module)
        if found is None or (module != "__main__" and origin(module, ()) is not Origin.OWN):
            return default
        for part in path.split("."):
            found = getattr(found, part, None)
        return found if isinstance(found, type) else default


def _reader() -> Reader:
    return Reader(Shipped("", {}, _OwnClasses()))


def job(fabric: Fabric, info: job_wire.Job, decoder: Any) -> Job:
    """Returns the handle of a job."""
    from .job import PyJob

    if decoder is decode and runner.is_runner(info.function):
        return PyJob(fabric, info, _reader().many)
    return Job(fabric, info, decoder)


def async_job(fabric: AsyncFabric, info: job_wire.Job, decoder: Any) -> AsyncJob:
    """Returns the async handle of a job."""
    from ..aio import AsyncJob
    from .job import AsyncPyJob

    if decoder is decode and runner.is_runner(info.function):
        return AsyncPyJob(fabric, info, _reader().many)
    return AsyncJob(fabric, info, decoder)


def invocation(fabric: Fabric, info: invocation_wire.Invocation, decoder: Any) -> Invocation:
    """Returns the handle of an asynchronous call."""
    from .job import PyInvocation

    if decoder is decode and runner.is_runner(info.function):
        return PyInvocation(fabric, info, _reader().one)
    return Invocation(fabric, info, decoder)


def async_invocation(fabric: AsyncFabric, info: invocation_wire.Invocation, decoder: Any) -> AsyncInvocation:
    """Returns the async handle of an asynchronous call."""
    from ..aio import AsyncInvocation
    from .job import AsyncPyInvocation

    if decoder is decode and runner.is_runner(info.function):
        return AsyncPyInvocation(fabric, info, _reader().one)
    return AsyncInvocation(fabric, info, decoder)
