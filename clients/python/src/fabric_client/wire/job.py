"""Jobs, their tasks, results and events. Times are milliseconds since 1970, sizes are bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .problem import Fault

#: The states in which a job has ended.
ENDED = frozenset(("succeeded", "failed", "cancelled"))


@dataclass(frozen=True)
class TaskCounts:
    """How many tasks are in which state."""

    #: All of them, over all stages.
    total: int
    #: Waiting for inputs, for room or for a backoff.
    waiting: int
    #: With a node.
    running: int
    #: Done, the cached ones included.
    succeeded: int
    #: Done without running.
    cached: int
    #: Failed for good.
    failed: int
    #: Attempts that failed and were, or will be, repeated.
    retries: int
    #: Given up on.
    dead: int = 0


@dataclass(frozen=True)
class Cost:
    """What a job has cost so far."""

    #: Fuel of all attempts that gave a result or a guest fault.
    fuel: int
    #: Wall clock inside sandboxes, microseconds, summed.
    guest_us: int
    #: Input bytes read.
    bytes_in: int
    #: Result bytes committed.
    bytes_out: int
    #: Device time of GPU work, microseconds, summed over the attempts that gave a result.
    gpu_us: int = 0


@dataclass(frozen=True)
class Reduce:
    """How partial results are merged."""

    fan_in: int = field(default=16, metadata={"json": "fan-in"})


@dataclass(frozen=True)
class Shuffle:
    """How emitted records are grouped."""

    partitions: int


@dataclass(frozen=True)
class JobSpec:
    """A job as it was submitted. Of inline items the first 100 are shown."""

    function: str
    #: `{"objects": {"path": …, "split": …}}` or `{"items": […]}`.
    input: dict[str, Any]
    name: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    reduce: Reduce | None = None
    shuffle: Shuffle | None = None
    output: str | None = None
    concurrency: int = 0
    max_attempts: int = field(default=4, metadata={"json": "max-attempts"})
    allow_failed: int = field(default=0, metadata={"json": "allow-failed"})
    priority: int = 0
    budget_fuel: int | None = field(default=None, metadata={"json": "budget-fuel"})
    cache: bool = True
    tags: tuple[str, ...] = ()
    node_selector: dict[str, str] = field(default_factory=dict, metadata={"json": "node-selector"})


@dataclass(frozen=True)
class Job:
    """A job as the server describes it."""

    id: str
    name: str
    function: str
    version: int
    submitter: str
    #: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    state: str
    #: One sentence on the state.
    remark: str
    tasks: TaskCounts
    cost: Cost
    tags: tuple[str, ...]
    created_ms: int
    #: Milliseconds from accepted to started, or to now.
    queue_ms: int
    #: Milliseconds from started to ended, or to now.
    run_ms: int
    #: How many results there are to read once it succeeded.
    results: int
    spec: JobSpec
    waiting: str | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    error: Fault | None = None
    deleted: bool = False


@dataclass(frozen=True)
class Task:
    """One task of a job."""

    stage: int
    index: int
    #: `map`, `reduce`, `keyed-reduce` or `invoke`.
    kind: str
    #: `blocked`, `pending`, `running`, `backoff`, `succeeded`, `failed` or `cancelled`.
    state: str
    attempts: int
    #: What it reads, in words.
    input: str
    fuel: int
    wall_us: int
    cached: bool
    #: Device time of its GPU work, microseconds.
    gpu_us: int = 0
    node: str | None = None
    key: str | None = None
    result_bytes: int | None = None
    error: Fault | None = None


@dataclass(frozen=True)
class DeadLetter:
    """A task that was given up on."""

    job: str
    function: str
    version: int
    stage: int
    index: int
    input: str
    attempts: int
    nodes: tuple[str, ...]
    error: Fault
    at_ms: int


@dataclass(frozen=True)
class JobEvent:
    """What happened to a job."""

    #: Counts up within the job.
    seq: int
    at_ms: int
    #: `accepted`, `started`, `progress`, `retry`, `task-failed`, `succeeded`, `failed` or `cancelled`.
    kind: str
    state: str
    remark: str
    tasks: TaskCounts
    cost: Cost


@dataclass(frozen=True)
class Estimate:
    """What a job would take, by earlier jobs of its function."""

    fuel: int
    #: Wall clock inside sandboxes, microseconds, summed.
    guest_us: int
    #: Milliseconds from the first task's start to the end.
    run_ms: int
    #: What it is worked out from.
    basis: str
    #: Price of the fuel, where the server has prices, and its currency.
    price: float | None = None
    currency: str | None = None


@dataclass(frozen=True)
class JobPlan:
    """What a job would take, worked out without running it."""

    partitions: int
    tasks: int
    bytes_in: int
    #: Map tasks whose result is in the cache already.
    cached: int
    #: What the others would take; None where no earlier job of the function ran a task.
    estimate: Estimate | None = None


@dataclass(frozen=True)
class JobResult:
    """One result of a job in a list."""

    #: Counts from 0.
    index: int
    bytes: int
    #: BLAKE3 of the bytes.
    digest: str
    #: What it is stored under.
    key: str
    content_type: str | None = None


@dataclass(frozen=True)
class Audit:
    """What running a sample of a job's tasks again has shown."""

    checked: int
    same: int
    differing: tuple[Task, ...]


@dataclass(frozen=True)
class JobsDeleted:
    """What a deletion of several jobs did."""

    deleted: int
    #: Goes on after these; None when there are no more.
    next: str | None = None
