"""`Invocation`: one call that runs while the caller does something else."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from .api import jobs
from .codec import Decoder, decode
from .wire import invocation as wire

if TYPE_CHECKING:
    from .fabric import Fabric


class InvocationBase:
    """What the two twins share. No request is made here."""

    def __init__(self, info: wire.Invocation, decoder: Decoder) -> None:
        #: The last look at it.
        self.info = info
        self.decoder = decoder

    @property
    def id(self) -> str:
        """Its id; `Fabric.invocation(id)` finds it again."""
        return self.info.id

    @property
    def state(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`, at the last look."""
        return self.info.state

    @property
    def ended(self) -> bool:
        """Whether it had ended at the last look."""
        return jobs.has_ended(self.info)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.info.function}@{self.info.version} {self.state}>"

    def _repr_html_(self) -> str:
        from .notebook.html import invocation_card

        return invocation_card(self.info)


class Invocation(InvocationBase):
    """One call that was accepted and runs by itself. Made by `Function.spawn` and `Fabric.invocation`."""

    def __init__(self, fabric: Fabric, info: wire.Invocation, decoder: Decoder = decode) -> None:
        super().__init__(info, decoder)
        self._fabric = fabric

    def refresh(self) -> Invocation:
        """Looks at it; gives itself."""
        self.info = self._fabric._io.run(jobs.look_at_invocation(self._fabric.policy, self.id))
        return self

    def done(self) -> bool:
        """Whether it has ended; looks, unless that is known."""
        return self.ended or self.refresh().ended

    def wait(self, timeout: float | None = None) -> Invocation:
        """Waits until it has ended, well or not; gives itself.

        Raises:
            WaitTimeout: when `timeout` seconds are over. It goes on.
        """
        if not self.ended:
            self.info = self._fabric._io.run(jobs.wait_invocation(self._fabric.policy, self.id, timeout))
        return self

    def result(self, timeout: float | None = None) -> Any:
        """Waits and gives the value.

        Raises:
            GuestFault, LimitExceeded and the like: its failure, with hint, backtrace and the last lines.
            JobCancelled: when it was cancelled.
            WaitTimeout: when the time is over.
        """
        self.wait(timeout)
        return self._fabric._io.run(jobs.invocation_value(self._fabric.policy, self.info, self.decoder))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits and gives the exception that `result` would raise, or None."""
        self.wait(timeout)
        return self._fabric._io.run(jobs.invocation_failure(self._fabric.policy, self.info))

    def cancel(self) -> bool:
        """Stops it; gives whether it was still going."""
        info = self._fabric._io.run(jobs.cancel_invocation(self._fabric.policy, self.id))
        self.info = info if info is not None else self.refresh().info
        return info is not None

    def logs(self, limit: int = 1000) -> list[wire.LogLine]:
        """What it wrote, oldest first."""
        return self._fabric._io.run(jobs.logs(self._fabric.policy, limit, invocation=self.id))

    def __await__(self) -> Generator[Any, None, Any]:
        return self._fabric._twin_await_invocation(self.id, self.decoder).__await__()
