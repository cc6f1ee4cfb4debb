"""Handles to jobs and calls that another process submitted: those of Python functions decode themselves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..aio import AsyncInvocation, AsyncJob
from ..codec import Decoder, decode
from ..invocation import Invocation
from ..job import Job
from . import runner
from .aio import AsyncPyInvocation, AsyncPyJob
from .invocation import PyInvocation
from .job import PyJob
from .modules import Origin, origin
from .outcome import Reader
from .ship import Shipped

if TYPE_CHECKING:
    from ..aio import AsyncFabric
    from ..fabric import Fabric
    from ..wire import invocation as invocation_wire
    from ..wire import job as job_wire

H = TypeVar("H")


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


def job(fabric: Fabric, info: job_wire.Job, decoder: Decoder) -> Job:
    """Returns the handle of a job."""
    return _handle(Job, PyJob, Reader.many, fabric, info, decoder)


def async_job(fabric: AsyncFabric, info: job_wire.Job, decoder: Decoder) -> AsyncJob:
    """Returns the async handle of a job."""
    return _handle(AsyncJob, AsyncPyJob, Reader.many, fabric, info, decoder)


def invocation(fabric: Fabric, info: invocation_wire.Invocation, decoder: Decoder) -> Invocation:
    """Returns the handle of an asynchronous call."""
    return _handle(Invocation, PyInvocation, Reader.one, fabric, info, decoder)


def async_invocation(fabric: AsyncFabric, info: invocation_wire.Invocation, decoder: Decoder) -> AsyncInvocation:
    """Returns the async handle of an asynchronous call."""
    return _handle(AsyncInvocation, AsyncPyInvocation, Reader.one, fabric, info, decoder)


def _handle(
    usual: Callable[..., H],
    python: Callable[..., H],
    read: Callable[[Reader, bytes, str | None], Any],
    fabric: Any,
    info: Any,
    decoder: Decoder,
) -> H:
    """Returns a handle of the class `python` for a Python function, unless the caller has a decoder of its own."""
    if decoder is not decode or not runner.is_runner(info.function):
        return usual(fabric, info, decoder)
    reader = Reader(Shipped("", {}, _OwnClasses()))
    return python(fabric, info, lambda content, kind: read(reader, content, kind))
