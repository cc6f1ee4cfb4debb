"""Nodes, placement, usage, identity."""

from __future__ import annotations

from dataclasses import dataclass

from .job import JobPlan


@dataclass(frozen=True)
class GpuAdapter:
    """The GPU that a node's guests share. Sizes are in bytes."""

    name: str
    #: `hardware`, or `software` where the processor does the work.
    kind: str
    driver: str
    #: The strongest wish that it serves: `preferred`, or `required` too.
    serves: str
    #: What all calls together may allocate.
    memory_bytes: int
    buffer_bytes: int
    workgroup_memory_bytes: int
    workgroup_invocations: int
    f16: bool
    #: Whether long loops run to their end: some software drivers cut them short.
    long_loops: bool
    #: Calls that wait for it now.
    queued: int
    #: Smallest and largest subgroup, where WGSL has subgroup operations.
    subgroup_min: int | None = None
    subgroup_max: int | None = None


@dataclass(frozen=True)
class Node:
    """A node. Memory is in bytes, times are milliseconds since 1970."""

    id: str
    #: `ready`, `cordoned`, `draining`, `drained` or `lost`.
    state: str
    version: str
    engine: str
    cpu_slots: int
    running: int
    queued: int
    memory_bytes: int
    used_bytes: int
    modules: int
    labels: dict[str, str]
    started_ms: int
    seen_ms: int
    gpus: int = 0
    gpu_model: str | None = None
    #: The one that guests use; absent when they can use none, for the reason in `gpu_absent`.
    gpu: GpuAdapter | None = None
    gpu_absent: str | None = None
    #: Of one CPU, relative to a usual one.
    speed: float = 1.0
    #: Kinds of modules that it takes; empty for all.
    accepts: tuple[str, ...] = ()
    url: str | None = None
    #: The first 16 digits of the digests of modules that it holds in memory.
    warm: tuple[str, ...] = ()
    leaving: bool = False
    #: Number of the process among those that have had this name; 0 where there is no fleet.
    epoch: int = 0


@dataclass(frozen=True)
class Verdict:
    """One filter's verdict on a node."""

    filter: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class Score:
    """One score of a node, 0 to 100."""

    name: str
    value: float
    weight: float


@dataclass(frozen=True)
class NodeVerdict:
    """A node in a placement decision."""

    node: str
    filters: tuple[Verdict, ...]
    scores: tuple[Score, ...]
    total: float | None = None


@dataclass(frozen=True)
class Explanation:
    """A placement decision."""

    nodes: tuple[NodeVerdict, ...]
    remark: str
    winner: str | None = None
    job: JobPlan | None = None


@dataclass(frozen=True)
class UsageLine:
    """What was used, in all or by one function."""

    invocations: int
    failed: int
    #: Calls that ended because their callers left.
    cancelled: int
    cached: int
    fuel: int
    guest_us: int
    bytes_in: int
    bytes_out: int
    #: Device time of GPU work, microseconds.
    gpu_us: int = 0
    function: str | None = None
    #: Price of fuel and device time, where the server has prices.
    price: float | None = None


@dataclass(frozen=True)
class StorageLine:
    """What a tenant keeps of one kind."""

    #: `objects`, `results`, `functions`, `jobs`, `answers`, `volumes` or `logs`.
    kind: str
    bytes: int


@dataclass(frozen=True)
class Storage:
    """What a tenant keeps on disk, and may keep."""

    used_bytes: int
    kinds: tuple[StorageLine, ...]
    #: None for no limit but the disk.
    quota_bytes: int | None = None


@dataclass(frozen=True)
class Prices:
    """What guests' work costs."""

    #: Such as `EUR`.
    currency: str = "EUR"
    #: Of 1,000,000,000 units of fuel.
    fuel: float = 0.0
    #: Of a second of device time on a GPU.
    gpu: float = 0.0


@dataclass(frozen=True)
class Usage:
    """A tenant's usage."""

    tenant: str
    total: UsageLine
    functions: tuple[UsageLine, ...]
    object_bytes: int
    #: What it keeps on disk, by kind, and what it may keep.
    storage: Storage = Storage(used_bytes=0, kinds=())
    #: The days that count, UTC; None for all, and for up to now.
    since_ms: int | None = None
    until_ms: int | None = None
    #: None where the server has no prices.
    prices: Prices | None = None


@dataclass(frozen=True)
class Identity:
    """Who the server takes a token for."""

    name: str
    tenant: str
    #: `invoker`, `developer`, `tenant-admin` or `admin`.
    role: str
