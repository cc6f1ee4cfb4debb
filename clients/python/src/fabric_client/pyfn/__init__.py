"""Python functions in the sandbox: see `PyFunction`.

- `function.py`: the handles of functions; `job.py`: the handles of their jobs and calls
- `ship.py` with `source.py`, `names.py`, `modules.py`, `refuse.py`, `packages.py`: the bundle of a function
- `codec.py`: the encoding of values, used on both sides; `outcome.py`: decoding of results and exceptions
- `runner.py`: the component that runs them, built from `clients/python/runner/`
"""

from .errors import NotShippable, RemoteError, RemoteTraceback
from .function import AsyncPyFunction, PyFunction
from .job import AsyncPyJob, PyInvocation, PyJob

__all__ = [
    "AsyncPyFunction",
    "AsyncPyJob",
    "NotShippable",
    "PyFunction",
    "PyInvocation",
    "PyJob",
    "RemoteError",
    "RemoteTraceback",
]
