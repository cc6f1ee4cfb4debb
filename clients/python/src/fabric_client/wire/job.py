"""Jobs, their tasks, results and events. Times are in milliseconds since 1970, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .problem import Fault

#: The states in which a job has ended.
ENDED = frozenset(("succeeded", "failed", "cancelled"))


@dataclass(frozen=True)
class TaskCounts:
    """The number of tasks in each state."""

    #: All tasks of all stages.
    total: int
    #: Waiting for inputs, for capacity or for a backoff.
    waiting: int
    #: Assigned to a node.
    running: int
    #: Succeeded, including cached tasks.
    succeeded: int
    #: Served from the cache without running.
    cached: int
    #: Failed permanently.
    failed: int
    #: Failed attempts that were or will be retried.
    retries: int
    #: Given up, as dead letters.
    dead: int = 0


@dataclass(frozen=True)
class Cost:
    """The cost of a job so far."""

    #: Fuel of all attempts that ended with a result or a guest fault.
    fuel: int
    #: Total wall-clock time in sandboxes, in microseconds.
    guest_us: int
    #: Input bytes read.
    bytes_in: int
    #: Result bytes committed.
    bytes_out: int
    #: Total device time on GPUs of attempts that ended with a result, in microseconds.
    gpu_us: int = 0


@dataclass(frozen=True)
class Reduce:
    """The settings of a reduce."""

    fan_in: int = field(default=16, metadata={"json": "fan-in"})


@dataclass(frozen=True)
class Shuffle:
    """The settings of a shuffle."""

    partitions: int


@dataclass(frozen=True)
class JobSpec:
    """The specification of a job. Contains at most the first 100 inline items."""

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
    """A job."""

    id: str
    name: str
    function: str
    version: int
    submitter: str
    #: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    state: str
    #: A sentence about the state.
    remark: str
    tasks: TaskCounts
    cost: Cost
    tags: tuple[str, ...]
    created_ms: int
    #: Milliseconds from acceptance to the start, or until now.
    queue_ms: int
    #: Milliseconds from the start to the end, or until now.
    run_ms: int
    #: Number of results of a succeeded job.
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
    #: Description of its input.
    input: str
    fuel: int
    wall_us: int
    cached: bool
    #: Device time on GPUs, in microseconds.
    gpu_us: int = 0
    node: str | None = None
    key: str | None = None
    result_bytes: int | None = None
    error: Fault | None = None


@dataclass(frozen=True)
class DeadLetter:
    """A task that was given up."""

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
    """An event of a job."""

    #: Sequence number within the job.
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
    """The estimated cost of a job, based on earlier jobs of its function."""

    fuel: int
    #: Total wall-clock time in sandboxes, in microseconds.
    guest_us: int
    #: Milliseconds from the start of the first task to the end.
    run_ms: int
    #: Description of the earlier jobs.
    basis: str
    #: Price of the fuel and its currency, if the server has prices.
    price: float | None = None
    currency: str | None = None


@dataclass(frozen=True)
class JobPlan:
    """The plan of a job that was not run."""

    partitions: int
    tasks: int
    bytes_in: int
    #: Map tasks with a cached result.
    cached: int
    #: Estimate for the other tasks; None if no earlier job of the function ran a task.
    estimate: Estimate | None = None


@dataclass(frozen=True)
class JobResult:
    """One result of a job in a list."""

    #: Counts from 0.
    index: int
    bytes: int
    #: BLAKE3 of the bytes.
    digest: str
    #: The key of the result.
    key: str
    content_type: str | None = None


@dataclass(frozen=True)
class Audit:
    """The result of an audit, which runs a sample of a job's tasks again."""

    checked: int
    same: int
    differing: tuple[Task, ...]


@dataclass(frozen=True)
class JobsDeleted:
    """The result of deleting several jobs."""

    deleted: int
    #: Cursor of the next batch; None at the end.
    next: str | None = None
