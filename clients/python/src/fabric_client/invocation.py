"""`Invocation`: a handle to an asynchronous call."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from .api import jobs
from .codec import Decoder, decode
from .wire import invocation as wire

if TYPE_CHECKING:
    from .fabric import Fabric


class InvocationBase:
    """The base of the sync and the async class. Makes no requests."""

    def __init__(self, info: wire.Invocation, decoder: Decoder) -> None:
        #: The invocation as last read from the server.
        self.info = info
        self.decoder = decoder

    @property
    def id(self) -> str:
        """The invocation id, for `Fabric.invocation(id)`."""
        return self.info.id

    @property
    def state(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`, as last read."""
        return self.info.state

    @property
    def ended(self) -> bool:
        """True if the invocation had ended when last read."""
        return jobs.has_ended(self.info)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.info.function}@{self.info.version} {self.state}>"

    def _repr_html_(self) -> str:
        from .notebook.html import invocation_card

        return invocation_card(self.info)


class Invocation(InvocationBase):
    """A handle to an asynchronous call. Created by `Function.spawn` and `Fabric.invocation`."""

    def __init__(self, fabric: Fabric, info: wire.Invocation, decoder: Decoder = decode) -> None:
        super().__init__(info, decoder)
        self._fabric = fabric

    def refresh(self) -> Invocation:
        """Reads the state from the server. Returns self."""
        self.info = self._fabric._io.run(jobs.look_at_invocation(self._fabric.policy, self.id))
        return self

    def done(self) -> bool:
        """Returns True if the invocation has ended. Reads the state unless the end is known."""
        return self.ended or self.refresh().ended

    def wait(self, timeout: float | None = None) -> Invocation:
        """Waits until the invocation has ended in any state. Returns self.

        Raises:
            WaitTimeout: after `timeout` seconds. The invocation continues.
        """
        if not self.ended:
            self.info = self._fabric._io.run(jobs.wait_invocation(self._fabric.policy, self.id, timeout))
        return self

    def result(self, timeout: float | None = None) -> Any:
        """Waits for the end and returns the value.

        Raises:
            GuestFault, LimitExceeded and others: the failure, with hint, backtrace and the last log lines.
            JobCancelled: if it was cancelled.
            WaitTimeout: after `timeout` seconds.
        """
        self.wait(timeout)
        return self._fabric._io.run(jobs.invocation_value(self._fabric.policy, self.info, self.decoder))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits for the end and returns the exception that `result` would raise, or None."""
        self.wait(timeout)
        return self._fabric._io.run(jobs.invocation_failure(self._fabric.policy, self.info))

    def cancel(self) -> bool:
        """Cancels the invocation. Returns True if it had not ended."""
        info = self._fabric._io.run(jobs.cancel_invocation(self._fabric.policy, self.id))
        self.info = info if info is not None else self.refresh().info
        return info is not None

    def logs(self, limit: int = 1000) -> list[wire.LogLine]:
        """Lists its log lines, oldest first."""
        return self._fabric._io.run(jobs.logs(self._fabric.policy, limit, invocation=self.id))

    def __await__(self) -> Generator[Any, None, Any]:
        return self._fabric._twin_await_invocation(self.id, self.decoder).__await__()
