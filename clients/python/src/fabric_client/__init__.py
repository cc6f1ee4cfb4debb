"""Fabric from Python: call WebAssembly functions, map them over data sets, and get results back as Python values.

>>> from fabric_client import Fabric  # doctest: +SKIP
>>> fab = Fabric()  # doctest: +SKIP
>>> wordcount = fab.function("wordcount")  # doctest: +SKIP
>>> wordcount("to be or not to be")["words"]["be"]  # doctest: +SKIP
2
"""

from .aio import AsyncFabric, AsyncFunction, AsyncInvocation, AsyncJob
from .codec import Reply
from .config import Settings
from .errors import (
    BadRequest,
    Conflict,
    Denied,
    FabricError,
    GuestFault,
    JobCancelled,
    LimitExceeded,
    NotFound,
    ProtocolError,
    SettingError,
    Unavailable,
    Unreachable,
    WaitTimeout,
)
from .fabric import Fabric
from .function import Function
from .invocation import Invocation
from .job import Job
from .request import Policy
from .version import __version__

__all__ = [
    "AsyncFabric",
    "AsyncFunction",
    "AsyncInvocation",
    "AsyncJob",
    "BadRequest",
    "Conflict",
    "Denied",
    "Fabric",
    "FabricError",
    "Function",
    "GuestFault",
    "Invocation",
    "Job",
    "JobCancelled",
    "LimitExceeded",
    "NotFound",
    "Policy",
    "ProtocolError",
    "Reply",
    "SettingError",
    "Settings",
    "Unavailable",
    "Unreachable",
    "WaitTimeout",
    "__version__",
]
