"""An event loop for a place without sockets and threads: timers and callbacks, nothing to wait for from outside."""

import asyncio
import asyncio.events
import time
from collections.abc import Coroutine
from typing import Any


class SandboxLoop(asyncio.BaseEventLoop):
    """Runs coroutines that await each other and the clock."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self

    def select(self, timeout: float | None) -> list[Any]:
        """Lets the time pass until the next timer."""
        if timeout is None:
            raise RuntimeError("every coroutine waits for something that never comes in the sandbox")
        if timeout > 0:
            time.sleep(timeout)
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def install() -> None:
    """Makes it the loop of `asyncio.run` too."""
    asyncio.events.new_event_loop = SandboxLoop
    asyncio.new_event_loop = SandboxLoop


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs one coroutine to its end."""
    loop = SandboxLoop()
    asyncio.events.set_event_loop(loop)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.events.set_event_loop(None)
        loop.close()
