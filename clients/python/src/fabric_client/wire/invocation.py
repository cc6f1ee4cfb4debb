"""Invocations and log lines."""

from __future__ import annotations

from dataclasses import dataclass

from .problem import Fault


@dataclass(frozen=True)
class Invocation:
    """One call of a function. Times are milliseconds since 1970."""

    id: str
    function: str
    version: int
    #: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    state: str
    created_ms: int
    fuel: int
    cached: bool
    #: Device time on GPUs, in microseconds.
    gpu_us: int = 0
    ended_ms: int | None = None
    result_bytes: int | None = None
    content_type: str | None = None
    result_url: str | None = None
    error: Fault | None = None


@dataclass(frozen=True)
class LogLine:
    """A line that a guest wrote, or that Fabric wrote about a call."""

    #: Milliseconds since 1970.
    at_ms: int
    #: The invocation, or the job for a task's line.
    invocation_id: str
    function: str
    #: `stdout`, `stderr`, `log` or `system`.
    source: str
    #: `trace`, `debug`, `info`, `warn` or `error`.
    level: str
    #: The text without its line feed. Untrusted: use `fabric_client.text.printable` before displaying it.
    message: str
    #: The task, as `stage/index`, for a job's lines.
    task: str | None = None
