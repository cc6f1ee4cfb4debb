"""`wait` and `as_completed` for jobs and invocations, as in `concurrent.futures`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import NamedTuple

from .errors import WaitTimeout
from .invocation import Invocation
from .job import Job

Handle = Job | Invocation

#: Maximum polling interval, in seconds.
_PAUSE = 0.5


class DoneAndNotDone(NamedTuple):
    """The handles that have ended, and the others."""

    done: set[Handle]
    not_done: set[Handle]


def wait(handles: Iterable[Handle], timeout: float | None = None, return_when: str = ALL_COMPLETED) -> DoneAndNotDone:
    """Waits for jobs and invocations.

    Args:
        handles: The jobs and invocations.
        timeout: Seconds; None for no limit. After the timeout, the current state is returned.
        return_when: `ALL_COMPLETED`, `FIRST_COMPLETED`, or `FIRST_EXCEPTION`, which returns when one has failed or was
            cancelled, or all have ended.

    Raises:
        ValueError: for another `return_when`.
    """
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(f"{return_when!r} is not one of ALL_COMPLETED, FIRST_COMPLETED and FIRST_EXCEPTION")
    pending = list(dict.fromkeys(handles))
    done: set[Handle] = set()
    for ended in _ended(pending, timeout):
        done.update(ended)
        enough = return_when == FIRST_COMPLETED and done
        broken = return_when == FIRST_EXCEPTION and any(handle.state != "succeeded" for handle in ended)
        if enough or broken:
            break
    return DoneAndNotDone(done, set(pending) - done)


def as_completed(handles: Iterable[Handle], timeout: float | None = None) -> Iterator[Handle]:
    """Yields each handle once, when it has ended.

    Raises:
        WaitTimeout: after `timeout` seconds, if some have not ended. These continue.
    """
    pending = list(dict.fromkeys(handles))
    left = len(pending)
    for ended in _ended(pending, timeout):
        for handle in ended:
            left -= 1
            yield handle
    if left:
        raise WaitTimeout(f"{left} of {len(pending)} have not ended after {timeout} s")


def _ended(handles: list[Handle], timeout: float | None) -> Iterator[list[Handle]]:
    """Yields the handles that ended since the last poll, until all have ended or the timeout."""
    until = None if timeout is None else time.monotonic() + timeout
    pending = handles
    pause = 0.01
    while pending:
        ended = [handle for handle in pending if handle.done()]
        if ended:
            pending = [handle for handle in pending if not handle.ended]
            pause = 0.01
            yield ended
            continue
        now = time.monotonic()
        if until is not None and now >= until:
            return
        # The server supports a long poll for one handle, not for several.
        if len(pending) == 1:
            _await_one(pending[0], until)
            continue
        time.sleep(pause if until is None else min(pause, max(0.0, until - now)))
        pause = min(_PAUSE, pause * 1.5)


def _await_one(handle: Handle, until: float | None) -> None:
    try:
        if isinstance(handle, Job):
            handle.wait(None if until is None else until - time.monotonic(), progress=False)
        else:
            handle.wait(None if until is None else until - time.monotonic())
    except WaitTimeout:
        pass


__all__ = ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "DoneAndNotDone", "as_completed", "wait"]
