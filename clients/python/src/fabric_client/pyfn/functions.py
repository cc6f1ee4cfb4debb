"""Describes functions: their code, by the source of their definition, and their values."""

from __future__ import annotations

import inspect
import sys
import types
from typing import TYPE_CHECKING, Any

from . import modules, names, source, variables
from .modules import Origin

if TYPE_CHECKING:
    from .ship import Shipment


def define(number: int, function: types.FunctionType, shipment: Shipment) -> None:
    """Adds the definition of a function to a shipment, and the work that adds its values.

    Raises:
        NotShippable: if it cannot be sent.
    """
    definition = source.of_function(function)
    home = function.__globals__.get("__name__")
    loaded = sys.modules.get(home) if isinstance(home, str) else None
    code, named = function.__code__, [function.__name__, function.__qualname__, function.__module__]
    if isinstance(home, str) and loaded is not None and shipment.origin(home) is Origin.IMPORTED:
        # A function that a library made: its code is in the sandbox's library too.
        shipment.imports.add(home)
        uses = None
        path = [*definition.path, code.co_name]
        shipment.add(number, "library", home, path, *named, _closure(function, None, shipment))
    else:
        uses = names.of(definition, code.co_freevars)
        for module in sorted(uses.imports):
            modules.check_import(module, shipment.packages.modules)
            shipment.inner_imports.add(module)
        text, space = shipment.text(definition), shipment.space(str(home or "__main__"), function.__globals__)
        shipment.add(number, "function", text, space, *named, _closure(function, uses, shipment))
    shipment.later(lambda: _fill(number, function, definition, uses, shipment))


def _closure(function: types.FunctionType, uses: names.Uses | None, shipment: Shipment) -> dict[str, int]:
    """Returns the numbers of the cells of a function's free variables."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        used = uses is None or name == "__class__" or name in uses.free
        # A variable that only an annotation names stays empty.
        found[name] = shipment.cell(name, cell if used else types.CellType())
    return found


def _fill(
    number: int,
    function: types.FunctionType,
    definition: source.Definition,
    uses: names.Uses | None,
    shipment: Shipment,
) -> None:
    """Adds the values of a function, and the global variables that it uses."""
    part = shipment.part
    state: dict[str, Any] = {}
    if function.__defaults__:
        state["defaults"] = [part(value, "its default values") for value in function.__defaults__]
    if function.__kwdefaults__:
        state["kwdefaults"] = {
            name: part(value, f"the default value of `{name}`") for name, value in function.__kwdefaults__.items()
        }
    attributes = {
        name: part(value, f"its attribute `{name}`")
        for name, value in vars(function).items()
        if not isinstance(value, types.GetSetDescriptorType)
    }
    if attributes:
        state["attributes"] = attributes
    if function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE:
        state["coroutine"] = True
    doc: Any = function.__doc__
    if (source.undented(doc) if isinstance(doc, str) else doc) != definition.doc:
        state["doc"] = part(doc, "its docstring")
    if state:
        shipment.state["functions"].append([number, state])
    shipment.at_end(lambda: _annotate(number, function, shipment))
    if uses is not None:
        variables.bind_all(function, uses, shipment)


def _annotate(number: int, function: types.FunctionType, shipment: Shipment) -> None:
    """Adds the annotations of a function whose types are in the sandbox."""
    annotations = {name: shipment.annotation(value) for name, value in getattr(function, "__annotations__", {}).items()}
    known = {name: json for name, json in annotations.items() if json is not None}
    if known:
        shipment.state["functions"].append([number, {"annotations": known}])
