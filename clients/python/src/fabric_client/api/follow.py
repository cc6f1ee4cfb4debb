"""Following a job's events and log lines: one stream to the caller, over as many connections as it takes."""

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

#: Seconds that a stream may be silent before it counts as broken; the server sends a comment every 15 s.
IDLE_TIMEOUT = 60.0


class Patience:
    """How long a server that went away is waited for."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.refresh()

    def refresh(self) -> None:
        """It answered: the next time counts from zero."""
        self._attempt, self._waited = 0, 0.0

    def pause(self, error: FabricError) -> Plan[None]:
        """Waits before the next connection, or gives up with `error`."""
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
                # The server may say where a stream begins before there is an event.
                last_id = parser.last_id or last_id
        except Unreachable as e:
            error = e
        yield Close(answer)
        yield from patience.pause(error)


def job_events(policy: Policy, job: str, after: int | None) -> Flow[JobEvent]:
    """A job's events from `after` (an event's `seq`) to its end, across restarts of the server."""
    last_id = None if after is None else str(after)
    return _follow(policy, get("jobs", job, "events"), JobEvent, lambda event: event.state in ENDED, last_id)


def log_lines(policy: Policy, **wanted: object) -> Flow[LogLine]:
    """Log lines as they are written, the stored ones first, without an end."""
    return _follow(policy, get("logs", follow=True, **wanted), LogLine, lambda _: False)
