"""Finds names by which the sandbox can import a value."""

from __future__ import annotations

import _collections_abc
import sys
import types
from typing import TYPE_CHECKING, Any

from .errors import NotShippable
from .modules import Origin

if TYPE_CHECKING:
    from .ship import Shipment


def json(value: Any, name: str | None, shipment: Shipment) -> Any | None:
    """Returns the JSON of a value that the sandbox can import, or None. `name` is a further name that it may have.

    Raises:
        NotShippable: if it is in a module that the sandbox does not have.
    """
    kind = type(value)
    if not issubclass(kind, type) and kind.__module__ != "builtins" and shipment.is_own(kind.__module__):
        # No code of the user's class runs.
        return None
    if isinstance(value, type) and value.__module__ == "builtins":
        unnamed = _unnamed_built_in(value)
        if unnamed is not None:
            return unnamed
    owner = getattr(value, "__self__", None)
    homes = [getattr(value, "__module__", None), type(value).__module__, type(owner).__module__]
    if isinstance(value, types.FunctionType):
        homes.append(value.__globals__.get("__name__"))
    known_as = [getattr(value, "__qualname__", None), getattr(value, "__name__", None), name]
    missing: NotShippable | None = None
    for home in _with_packages(homes):
        module = sys.modules.get(home)
        found = None if module is None or home == "__main__" else _name_in(module, value, known_as, owner, name)
        if found is None:
            continue
        try:
            if shipment.origin(home) is Origin.IMPORTED:
                return {"$from": [home, found]}
        except NotShippable as error:
            missing = missing or error
    if missing is not None:
        raise missing
    return None


def _unnamed_built_in(value: type) -> Any | None:
    """Returns the JSON of a built-in type that is not in `builtins`, such as that of None."""
    for place in (types, _collections_abc):
        for name, found in vars(place).items():
            if found is value:
                return {"$from": [place.__name__, name]}
    return None


def _name_in(module: types.ModuleType, value: Any, known_as: list[Any], owner: Any, name: str | None) -> str | None:
    """Returns the name of a value in a module, or None."""
    for path in known_as:
        if isinstance(path, str) and path and "<" not in path and _at(module, path) is value:
            return path
    if owner is not None and isinstance(name, str) and _at(module, name) == value:
        return name
    if not isinstance(value, type | types.FunctionType) and type(value).__module__ == module.__name__:
        # A constant of a module, such as `dataclasses.MISSING`.
        return next((path for path, found in vars(module).items() if found is value), None)
    return None


def _with_packages(homes: list[Any]) -> list[str]:
    """Returns module names, each followed by the packages around it, which often export the same names."""
    found: list[str] = []
    for home in homes:
        around = home
        while isinstance(around, str) and around:
            if around not in found:
                found.append(around)
            around = around.rpartition(".")[0]
    return found


def _at(module: types.ModuleType, path: str) -> Any:
    """Returns the attribute with a dotted path, or None."""
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found
