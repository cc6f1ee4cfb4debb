"""Functions, versions, aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """The entry points of a module."""

    #: `task`, `http` or `command`.
    kind: str
    handler: bool
    mapper: bool
    reducer: bool


@dataclass(frozen=True)
class AliasTarget:
    """A version that an alias points to, with its weight."""

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
    #: The manifest, in the structure of `fabric.toml`.
    manifest: dict[str, Any]
    created_ms: int
    note: str = ""


@dataclass(frozen=True)
class Deployed:
    """The result of a deployment."""

    deployment: Deployment
    #: False if the newest version has the same module and manifest.
    created: bool
    #: The versions behind `live` now, by weight; empty if there is none.
    live: tuple[AliasTarget, ...]
    #: The versions behind `live` before.
    live_before: tuple[AliasTarget, ...]
    #: Compile time in milliseconds; 0 if the artefact existed.
    compile_ms: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Alias:
    """An alias. Calls are divided among its targets by weight."""

    name: str
    targets: tuple[AliasTarget, ...]
    updated_ms: int


@dataclass(frozen=True)
class InstalledRunner:
    """The module of the server that runs Python functions."""

    #: SHA-256 of the module.
    module: str
    module_bytes: int
    #: False while the server compiles it, shortly after its first start.
    compiled: bool
