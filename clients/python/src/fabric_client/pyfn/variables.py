"""Sends the global variables and modules that functions use."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

from . import importable, names, refuse, tables
from .errors import NotShippable
from .modules import Origin

if TYPE_CHECKING:
    from .ship import Shipment

_PLAIN = {type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset}
"""Types of values that no module is searched for."""


def bind_all(function: types.FunctionType, uses: names.Uses, shipment: Shipment) -> None:
    """Sends the global variables that a function uses.

    Raises:
        NotShippable: if one cannot be sent.
    """
    space, free = function.__globals__, function.__code__.co_freevars
    module = shipment.space(str(space.get("__name__") or "__main__"), space)
    for name in sorted(uses.needed.difference(free) & space.keys()):
        _bind(module, name, space[name], uses, shipment)
    optional = sorted(uses.optional.difference(free) & space.keys())
    if optional:
        shipment.at_end(lambda: _bind_optional(module, {name: space[name] for name in optional}, shipment))


def _bind_optional(module: int, found: dict[str, Any], shipment: Shipment) -> None:
    """Sends global variables that annotations name, if they are types that the sandbox has."""
    for name, value in found.items():
        json = None if isinstance(value, types.ModuleType) else shipment.annotation(value)
        if json is not None:
            shipment.set_variable(module, name, json)


def _bind(module: int, name: str, value: Any, uses: names.Uses, shipment: Shipment) -> None:
    """Sends a variable of a module."""
    value = refuse.unwrapped(value)
    what = f"its global variable `{name}`"
    if isinstance(value, types.ModuleType):
        with shipment.about(f"its module `{name}`"):
            json = module_json(value, uses.attributes.get(name, set()), shipment, alone=name in uses.alone)
    elif shipment.has_variable(module, name):
        return
    else:
        with shipment.about(what):
            known = type(value) in _PLAIN or tables.has_rule(type(value))
            if not known:
                refuse.known(value)
            imported = None if known else importable.json(value, name, shipment)
        json = shipment.part(value, what) if imported is None else imported
    shipment.set_variable(module, name, json)


def module_json(module: types.ModuleType, paths: set[str], shipment: Shipment, *, alone: bool) -> Any:
    """Returns the JSON of a module of which the attributes with these dotted paths are used. `alone` is True if it is
    also used as a whole.

    Raises:
        NotShippable: if the sandbox does not have it, or one of the attributes cannot be sent.
    """
    if shipment.origin(module.__name__) is Origin.IMPORTED:
        shipment.imports.add(module.__name__)
        for path in paths:
            _import_inner(module, path.split("."), shipment)
        return {"$module": module.__name__}
    if alone:
        raise NotShippable(
            f"{module.__name__} is your own module, and it is used as a whole",
            f"import the names that the function needs: from {module.__name__} import …",
        )
    number = shipment.space(module.__name__)
    for attribute in sorted({path.partition(".")[0] for path in paths}):
        if attribute in vars(module):
            inner = {rest for name, _, rest in (path.partition(".") for path in paths) if name == attribute and rest}
            used = names.Uses(alone=set() if inner else {attribute}, attributes={attribute: inner})
            _bind(number, attribute, vars(module)[attribute], used, shipment)
    return {"$module": module.__name__}


def _import_inner(module: types.ModuleType, path: list[str], shipment: Shipment) -> None:
    """Adds the modules inside a package that a path leads through, such as `etree` and `ElementTree` in `xml`."""
    for part in path:
        inner = f"{module.__name__}.{part}"
        loaded = sys.modules.get(inner)
        attribute = getattr(module, part, None)
        if loaded is None or id(attribute) != id(loaded):
            return
        # Refuses a module that the sandbox does not have.
        shipment.origin(inner)
        shipment.imports.add(inner)
        module = loaded
