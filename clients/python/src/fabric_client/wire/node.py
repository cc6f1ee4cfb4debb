"""Nodes, placement, usage, identity."""

from __future__ import annotations

from dataclasses import dataclass

from .job import JobPlan


@dataclass(frozen=True)
class GpuAdapter:
    """The GPU that the guests of a node share. Sizes are in bytes."""

    name: str
    #: `hardware`, or `software` for a driver that runs on the CPU.
    kind: str
    driver: str
    #: Highest GPU setting that the node can serve: `preferred`, or `required`, which includes `preferred`.
    serves: str
    #: Memory that all calls together may allocate.
    memory_bytes: int
    buffer_bytes: int
    workgroup_memory_bytes: int
    workgroup_invocations: int
    f16: bool
    #: True if long loops run to completion. Some software drivers cut them short.
    long_loops: bool
    #: Calls that are waiting for the GPU.
    queued: int
    #: Smallest and largest subgroup, if WGSL subgroup operations are supported.
    subgroup_min: int | None = None
    subgroup_max: int | None = None


@dataclass(frozen=True)
class Node:
    """A node. Memory is in bytes, times are in milliseconds since 1970."""

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
    #: The GPU for guests. None if there is none, for the reason in `gpu_absent`.
    gpu: GpuAdapter | None = None
    gpu_absent: str | None = None
    #: Speed of one CPU, relative to a reference of 1.0.
    speed: float = 1.0
    #: Kinds of modules that the node accepts; empty for all.
    accepts: tuple[str, ...] = ()
    url: str | None = None
    #: Digests of the modules in memory, the first 16 digits each.
    warm: tuple[str, ...] = ()
    leaving: bool = False
    #: Epoch of the process among those with this name; 0 without a fleet.
    epoch: int = 0


@dataclass(frozen=True)
class Verdict:
    """The result of one filter for a node."""

    filter: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class Score:
    """A score of a node, 0 to 100."""

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
    """Usage in total or of one function."""

    invocations: int
    failed: int
    #: Calls that ended because their callers disconnected.
    cancelled: int
    cached: int
    fuel: int
    guest_us: int
    bytes_in: int
    bytes_out: int
    #: Device time on GPUs, in microseconds.
    gpu_us: int = 0
    function: str | None = None
    #: Price of fuel and device time, if the server has prices.
    price: float | None = None


@dataclass(frozen=True)
class StorageLine:
    """Storage of a tenant by kind."""

    #: `objects`, `results`, `functions`, `jobs`, `answers`, `volumes` or `logs`.
    kind: str
    bytes: int


@dataclass(frozen=True)
class Storage:
    """Disk usage and quota of a tenant."""

    used_bytes: int
    kinds: tuple[StorageLine, ...]
    #: None for no quota.
    quota_bytes: int | None = None


@dataclass(frozen=True)
class Prices:
    """Prices of guest execution."""

    #: Currency, such as `EUR`.
    currency: str = "EUR"
    #: Price of 1,000,000,000 units of fuel.
    fuel: float = 0.0
    #: Price of a second of device time on a GPU.
    gpu: float = 0.0


@dataclass(frozen=True)
class Usage:
    """A tenant's usage."""

    tenant: str
    total: UsageLine
    functions: tuple[UsageLine, ...]
    object_bytes: int
    #: Disk usage by kind, and the quota.
    storage: Storage = Storage(used_bytes=0, kinds=())
    #: The range of UTC days; None for no bound.
    since_ms: int | None = None
    until_ms: int | None = None
    #: None if the server has no prices.
    prices: Prices | None = None


@dataclass(frozen=True)
class Identity:
    """The identity of a token."""

    name: str
    tenant: str
    #: `invoker`, `developer`, `tenant-admin` or `admin`.
    role: str
