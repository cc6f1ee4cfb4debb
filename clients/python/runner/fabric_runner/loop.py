"""An event loop without sockets and threads: only timers and callbacks."""

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
        """Sleeps until the next timer."""
        if timeout is None:
            raise RuntimeError("deadlock: every coroutine waits for an event that never comes in the sandbox")
        if timeout > 0:
            time.sleep(timeout)
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def install() -> None:
    """Makes this the default loop, also of `asyncio.run`."""
    asyncio.events.new_event_loop = SandboxLoop
    asyncio.new_event_loop = SandboxLoop


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs one coroutine to completion."""
    loop = SandboxLoop()
    asyncio.events.set_event_loop(loop)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.events.set_event_loop(None)
        loop.close()
