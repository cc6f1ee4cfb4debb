"""Creates job specifications and manifests from Python arguments."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import SettingError
from .request import to_json

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from .dataset import DatasetBase

#: Maximum size of a job specification, in bytes, as on the server.
SPEC_LIMIT = 16 << 20


def job_spec(
    function: str,
    over: DatasetBase | Iterable[object],
    *,
    params: Mapping[str, Any] | None = None,
    reduce: bool | int = False,
    shuffle: int | None = None,
    output: str | None = None,
    name: str | None = None,
    tags: Iterable[str] = (),
    concurrency: int | None = None,
    max_attempts: int | None = None,
    allow_failed: int | None = None,
    priority: int | None = None,
    budget_fuel: int | str | None = None,
    node_selector: Mapping[str, str] | None = None,
    cache: bool = True,
) -> dict[str, Any]:
    """Creates a job specification.

    Raises:
        TypeError: for a string as the data set, for items that JSON cannot represent, and for a wrong `allow_failed`.
        SettingError: if the items are too large for one request.
    """
    if allow_failed is not None and (type(allow_failed) is not int or allow_failed < 0):
        raise TypeError(f"allow_failed is {allow_failed!r}, and must be a number of tasks")
    spec: dict[str, Any] = {"function": function, "input": _input(over), "cache": cache}
    if params:
        spec["params"] = dict(params)
    if reduce is not False:
        spec["reduce"] = {} if reduce is True else {"fan-in": reduce}
    if shuffle is not None:
        spec["shuffle"] = {"partitions": shuffle}
    if tags:
        spec["tags"] = [tags] if isinstance(tags, str) else list(tags)
    if node_selector:
        spec["node-selector"] = dict(node_selector)
    for key, value in (
        ("output", output),
        ("name", name),
        ("concurrency", concurrency),
        ("max-attempts", max_attempts),
        ("allow-failed", allow_failed),
        ("priority", priority),
        ("budget-fuel", budget_fuel),
    ):
        if value is not None:
            spec[key] = value
    size = len(to_json(spec))
    if size > SPEC_LIMIT:
        raise SettingError(
            f"the specification has {size:,} bytes, and the maximum is {SPEC_LIMIT:,}",
            hint="store the items as an object and map over it: Dataset.from_items",
        )
    return spec


def _input(over: DatasetBase | Iterable[object]) -> dict[str, Any]:
    from .dataset import DatasetBase

    if isinstance(over, DatasetBase):
        return {"objects": {"path": over.path, "split": over.split}}
    if isinstance(over, str | bytes | Mapping) or not isinstance(over, Iterable):
        raise TypeError(
            f"can't map over a {type(over).__name__}: pass a list of items, or fab.dataset(path) for stored objects"
        )
    return {"items": [item.decode() if isinstance(item, bytes) else item for item in over]}


def module_and_manifest(
    module: str | Path | bytes, name: str | None, manifest: str | Mapping[str, Any] | None, **sections: Any
) -> tuple[bytes, dict[str, Any]]:
    """Returns the module and the manifest for `Fabric.deploy`.

    `module` is the module's bytes, the path of a `.wasm` file, or a folder with `fabric.toml` and the built module.

    Raises:
        SettingError: if the module or the name is missing, or the manifest is invalid.
    """
    given: Any = {}
    if isinstance(module, bytes):
        content = module
    else:
        path = Path(module)
        if path.is_dir():
            given = _toml(_text(path / "fabric.toml"), str(path / "fabric.toml"))
            named = given.get("build", {}).get("module") if isinstance(given.get("build", {}), dict) else None
            path = path / (named if isinstance(named, str) else f"{path.resolve().name}.wasm")
            if not path.is_file():
                raise SettingError(f"{path} does not exist", hint="build it first: fabric build")
        if not path.is_file():
            raise SettingError(f"{path} does not exist", hint="pass a .wasm file, a project folder or bytes")
        content = path.read_bytes()
        name = name or (None if given or manifest else path.stem)
    if isinstance(manifest, str):
        given = _toml(manifest, "the manifest")
    elif manifest is not None:
        given = json.loads(to_json(dict(manifest)))
    section = given.setdefault("function", {}) if isinstance(given, dict) else None
    if not isinstance(section, dict):
        raise SettingError("the manifest must have a section `function`")
    if name is not None:
        section["name"] = name
    if "name" not in section:
        raise SettingError("the function has no name", hint="pass name=…")
    for key in ("description", "tags", "public"):
        if sections.get(key) is not None:
            section[key] = sections[key]
    for key in ("limits", "grants", "resources"):
        if sections.get(key):
            given[key] = {**given.get(key, {}), **hyphenated(sections[key])}
    return content, given


def hyphenated(section: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces underscores in keys by hyphens, as in `memory_bytes` for `memory-bytes`."""
    return {key.replace("_", "-"): value for key, value in section.items()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingError(f"{path} does not exist", hint="create one: fabric new") from None


def _toml(text: str, what: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise SettingError(f"{what}: {e}") from e
    return found
