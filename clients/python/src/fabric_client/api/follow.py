"""Follows a job's events and log lines as one stream, across reconnects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from ..errors import FabricError, Unavailable, Unreachable
from ..request import Policy, get, parse, send
from ..sse import Parser
from ..steps import Close, Emit, Flow, Pause, Plan, Read, Request
from ..wire.invocation import LogLine
from ..wire.job import ENDED, JobEvent

T = TypeVar("T")

#: Seconds without data after which a stream counts as broken. The server sends a comment every 15 s.
IDLE_TIMEOUT = 60.0


class Patience:
    """The retry state of a stream: how long to wait for a server that is not reachable."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.refresh()

    def refresh(self) -> None:
        """Resets the state after data was received."""
        self._attempt, self._waited = 0, 0.0

    def pause(self, error: FabricError) -> Plan[None]:
        """Waits before the next connection, or raises `error` after `Policy.reconnect_for`."""
        if self._waited >= self._policy.reconnect_for:
            raise error
        seconds = self._policy.pause(self._attempt, None)
        self._attempt += 1
        self._waited += seconds
        yield Pause(seconds)


def _follow(
    policy: Policy, request: Request, model: type[T], is_last: Callable[[T], bool], last_id: str | None = None
) -> Flow[T]:
    patience = Patience(policy)
    request = replace(request, timeout=IDLE_TIMEOUT, patient=True).with_headers(("accept", "text/event-stream"))
    while True:
        again = request if last_id is None else request.with_headers(("last-event-id", last_id))
        answer = yield from send(again, policy)
        parser = Parser()
        error: FabricError = Unavailable("the server ended the stream")
        try:
            while chunk := (yield Read(answer)):
                for event in parser.feed(chunk):
                    patience.refresh()
                    found = parse(event.data, model)
                    yield Emit(found)
                    if is_last(found):
                        return
                # The server may send the position of a stream before its first event.
                last_id = parser.last_id or last_id
        except Unreachable as e:
            error = e
        yield Close(answer)
        yield from patience.pause(error)


def job_events(policy: Policy, job: str, after: int | None) -> Flow[JobEvent]:
    """Yields a job's events from `after` (an event's `seq`) to its end, across restarts of the server."""
    last_id = None if after is None else str(after)
    return _follow(policy, get("jobs", job, "events"), JobEvent, lambda event: event.state in ENDED, last_id)


def log_lines(policy: Policy, **wanted: object) -> Flow[LogLine]:
    """Yields stored log lines, then new ones as they are written, without an end."""
    return _follow(policy, get("logs", follow=True, **wanted), LogLine, lambda _: False)
