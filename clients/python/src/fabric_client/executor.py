"""`FabricExecutor`: a `concurrent.futures.Executor` whose work runs in sandboxes."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from .fabric import Fabric
from .function import Function

T = TypeVar("T")


class FabricExecutor(concurrent.futures.Executor):
    """Calls functions on a Fabric from a pool of threads, which only wait: the work is done by the server.

    `submit(function, value)` and `map(function, values)` take a `Function`; a Python function, which is sent to the
    sandbox as `@fab.function` does; and anything with a method `remote`. Everything else is as with
    `ThreadPoolExecutor`: futures can be cancelled until their call has begun, `shutdown` waits, a `with` block ends
    with it. A call whose server goes away and comes back is made again under its idempotency key.

    For thousands of values `Function.map` costs less: it is one job, not a request for each.

    Args:
        fabric: The server. Its connections are used, and stay open after `shutdown`; the calls at once are at most
            as many as it has (`max_connections`, 100 by default).
        max_workers: Calls at once; 32 by default.
        thread_name_prefix: For the threads.

    Raises:
        ValueError: for a number of workers below 1.
    """

    def __init__(self, fabric: Fabric, max_workers: int = 32, *, thread_name_prefix: str = "fabric") -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers, thread_name_prefix)
        # The same connections; and a server that restarts is waited for.
        self._fabric = fabric._with_policy(replace(fabric.policy, patient_calls=True))

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[T]:
        """Has `fn` called with the arguments on the server, and gives a future of its value.

        Raises:
            TypeError: for what does not run on a Fabric.
            RuntimeError: after `shutdown`.
        """
        return self._pool.submit(self._remote(fn), *args, **kwargs)

    def _remote(self, fn: Callable[..., T]) -> Callable[..., T]:
        if isinstance(fn, Function):
            return Function(self._fabric, fn.info, fn.ref).remote
        remote: Callable[..., T] | None = getattr(fn, "remote", None)
        if remote is None:
            if not callable(fn):
                raise TypeError(f"{fn!r} does not run on a Fabric: give a Function or a Python function")
            from .pyfn.function import PyFunction

            return PyFunction(self._fabric, fn).remote
        return remote

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more work and, with `wait`, returns when all is done; with `cancel_futures` what has not begun is
        cancelled.
        """
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
