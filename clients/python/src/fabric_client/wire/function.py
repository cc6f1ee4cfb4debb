"""Functions, versions, aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """What a module can do."""

    #: `task`, `http` or `command`.
    kind: str
    handler: bool
    mapper: bool
    reducer: bool


@dataclass(frozen=True)
class AliasTarget:
    """One version behind an alias, with its share of the calls."""

    version: int
    #: 1 to 1000.
    weight: int


@dataclass(frozen=True)
class FunctionSummary:
    """A function in a list."""

    name: str
    description: str
    tags: tuple[str, ...]
    public: bool
    entry: Entry
    #: The newest version.
    latest: int
    #: The versions behind `live`, by weight.
    live: tuple[AliasTarget, ...]
    updated_ms: int


@dataclass(frozen=True)
class Deployment:
    """One immutable version of a function."""

    tenant: str
    function: str
    #: Counts from 1.
    version: int
    #: The module's SHA-256.
    module: str
    module_bytes: int
    entry: Entry
    #: The manifest it was deployed with, as `fabric.toml` has it.
    manifest: dict[str, Any]
    created_ms: int
    note: str = ""


@dataclass(frozen=True)
class Deployed:
    """The answer to a deployment."""

    deployment: Deployment
    #: False when the newest version had the same module and manifest.
    created: bool
    #: The versions behind `live` now, by weight; empty where nothing is live.
    live: tuple[AliasTarget, ...]
    #: The versions behind `live` before.
    live_before: tuple[AliasTarget, ...]
    #: Milliseconds the compiler took; 0 when the artefact was there already.
    compile_ms: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Alias:
    """An alias; calls are divided over its targets by weight."""

    name: str
    targets: tuple[AliasTarget, ...]
    updated_ms: int
