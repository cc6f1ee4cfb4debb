"""`FabricExecutor`: a `concurrent.futures.Executor` that runs its calls in sandboxes."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from .fabric import Fabric
from .function import Function

T = TypeVar("T")


class FabricExecutor(concurrent.futures.Executor):
    """An executor that calls functions on a Fabric server. Its pool of threads only waits for the server.

    `submit(function, value)` and `map(function, values)` accept a `Function`, a Python function, which is sent to the
    sandbox as with `@fab.function`, or any object with a method `remote`. Otherwise the executor behaves like
    `ThreadPoolExecutor`: a future can be cancelled until its call has begun, `shutdown` waits, and so does the end of a
    `with` block. If the server restarts during a call, the call is repeated with the same idempotency key.

    For thousands of values `Function.map` is cheaper: it submits one job instead of a request per value.

    Args:
        fabric: The server. Its connections are used and stay open after `shutdown`. They bound the concurrent calls
            (`max_connections`, 100 by default).
        max_workers: Number of concurrent calls; 32 by default.
        thread_name_prefix: Prefix of the names of the threads.

    Raises:
        ValueError: if `max_workers` is below 1.
    """

    def __init__(self, fabric: Fabric, max_workers: int = 32, *, thread_name_prefix: str = "fabric") -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers, thread_name_prefix)
        # The same connections, with a policy that waits for a server that restarts.
        self._fabric = fabric._with_policy(replace(fabric.policy, patient_calls=True))

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[T]:
        """Calls `fn` with the arguments on the server and returns a future of its value.

        Raises:
            TypeError: if `fn` cannot run on Fabric.
            RuntimeError: after `shutdown`.
        """
        return self._pool.submit(self._remote(fn), *args, **kwargs)

    def _remote(self, fn: Callable[..., T]) -> Callable[..., T]:
        if isinstance(fn, Function):
            return Function(self._fabric, fn.info, fn.ref).remote
        remote: Callable[..., T] | None = getattr(fn, "remote", None)
        if remote is None:
            if not callable(fn):
                raise TypeError(f"{fn!r} cannot run on Fabric: pass a Function or a Python function")
            from .pyfn.function import PyFunction

            return PyFunction(self._fabric, fn).remote
        return remote

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accepts no more calls. With `wait`, returns when all calls have ended. With `cancel_futures`, cancels calls
        that have not begun.
        """
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
