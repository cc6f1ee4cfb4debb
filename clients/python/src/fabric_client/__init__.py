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
from .dataset import AsyncDataset, Dataset
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
from .executor import FabricExecutor
from .fabric import Fabric
from .function import Function
from .invocation import Invocation
from .job import Job
from .node import AsyncNode, Node
from .pyfn import NotShippable, PyFunction, RemoteError
from .request import Policy
from .version import __version__
from .wait import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, as_completed, wait

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "AsyncDataset",
    "AsyncFabric",
    "AsyncFunction",
    "AsyncInvocation",
    "AsyncJob",
    "AsyncNode",
    "BadRequest",
    "Conflict",
    "Dataset",
    "Denied",
    "Fabric",
    "FabricError",
    "FabricExecutor",
    "Function",
    "GuestFault",
    "Invocation",
    "Job",
    "JobCancelled",
    "LimitExceeded",
    "Node",
    "NotFound",
    "NotShippable",
    "Policy",
    "ProtocolError",
    "PyFunction",
    "RemoteError",
    "Reply",
    "SettingError",
    "Settings",
    "Unavailable",
    "Unreachable",
    "WaitTimeout",
    "__version__",
    "as_completed",
    "wait",
]


def load_ipython_extension(ipython: object) -> None:
    """Registers the magics `%fabric` and `%%fabric`. Called by `%load_ext fabric_client`."""
    from .notebook.magic import load

    load(ipython)
