"""Python functions in the sandbox: see `PyFunction`.

- `function.py`: what users hold; `job.py`: their jobs and calls
- `ship.py` with `source.py`, `names.py`, `modules.py`, `refuse.py`, `packages.py`: what goes along with a function
- `codec.py`: values on the wire, on both sides; `outcome.py`: what came back
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
