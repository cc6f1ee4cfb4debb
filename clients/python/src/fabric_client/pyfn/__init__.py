"""Python functions in the sandbox: see `PyFunction`.

- `function.py`, `job.py`, `invocation.py`: the handles of functions, jobs and calls, and the plans that the async
  versions in `aio.py` share; `mapping.py`: the specification of a map
- `ship.py`: the bundle of a function, with `functions.py`, `source.py` and `names.py` for functions, `variables.py` for
  their global variables, `classes.py` for classes, `importable.py` for what the sandbox has,
  `library.py` for objects of the standard library, `tables.py` for those of numpy, pandas and pyarrow, `sharing.py` for
  values that occur twice, `modules.py` and `packages.py` for imports, `refuse.py` for what cannot be sent
- `codec.py`: the encoding of values, used on both sides; `outcome.py`: decoding of results and exceptions
- `results.py`: the outcomes of a map by item; `attached.py`: handles to jobs and calls of other processes
- `runner.py`: the component that runs them, built from `clients/python/runner/`
"""

from .aio import AsyncPyFunction, AsyncPyInvocation, AsyncPyJob
from .errors import MemoryLimitExceeded, NotShippable, RemoteError, RemoteTraceback
from .function import PyFunction
from .invocation import PyInvocation
from .job import PyJob

__all__ = [
    "AsyncPyFunction",
    "AsyncPyInvocation",
    "AsyncPyJob",
    "MemoryLimitExceeded",
    "NotShippable",
    "PyFunction",
    "PyInvocation",
    "PyJob",
    "RemoteError",
    "RemoteTraceback",
]
