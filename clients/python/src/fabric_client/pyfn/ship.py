"""Creates the bundle of a function: all that the sandbox needs to rebuild it.

A bundle is JSON, described in `runner/fabric_runner/program.py`. It contains no paths, line numbers of files, ids or
unstable order: the same function with the same constants has the same text, so that cached results are found.
"""

from __future__ import annotations

import ast
import builtins
import copyreg
import functools
import inspect
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import names, refuse, source
from .codec import CodecError, Encoder, dumps
from .errors import NotShippable
from .modules import Origin, origin
from .packages import Packages


@dataclass
class Shipped:
    """A bundle, and the data for decoding its results."""

    #: The bundle as JSON.
    bundle: str
    #: The definition and the source of each file name in the sandbox's tracebacks.
    texts: dict[str, tuple[source.Definition, source.Text]]
    #: The allowed classes of results.
    classes: dict[str, type]


def file_name(number: int, qualname: str) -> str:
    """Returns the file name of a definition in the sandbox, as in the runner's `program.py`."""
    return f"<{number}:{qualname}>"


@functools.lru_cache(maxsize=1024)
def _definition(thing: Any) -> source.Definition:
    return source.of_class(thing) if isinstance(thing, type) else source.of_function(thing)


@functools.lru_cache(maxsize=1024)
def _uses(thing: Any, without: int) -> names.Uses:
    return names.of(_definition(thing).node, without)


def _undone(
    thing: Any, base: Any, definition: source.Definition, around: Mapping[str, Any], space: Mapping[str, Any]
) -> int:
    """Returns the number of decorators to remove: up to and including `@fab.function`.

    All are removed from a function that no decorator has wrapped.
    """
    count = 0
    if thing is base and not isinstance(base, type):
        return len(getattr(definition.node, "decorator_list", ()))
    for number, decorator in enumerate(getattr(definition.node, "decorator_list", ()), 1):
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        path = ast.unparse(called).split(".")
        found = around.get(path[0], space.get(path[0]))
        for part in path[1:]:
            found = getattr(found, part, None)
        # A client that is a local variable cannot be looked up once the function exists.
        lost = path[0] not in around and path[0] not in space and path[1:] == ["function"]
        if lost or getattr(found, "__fabric_decorator__", False):
            count = number
    return count


@dataclass
class Shipment:
    """A builder of one bundle."""

    packages: Packages
    steps: list[Any] = field(default_factory=list)
    late: list[Any] = field(default_factory=list)
    cells: list[Any] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    texts: dict[str, tuple[source.Definition, source.Text]] = field(default_factory=dict)
    classes: dict[str, type] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []
        self._open: set[int] = set()
        self._bound: set[tuple[str, str]] = set()
        self._encoder = Encoder(self._class_name, self._other)

    def value(self, value: Any, what: str) -> Any:
        """Returns the JSON of a value to send. `what` describes it in errors.

        Raises:
            NotShippable: if it cannot be sent, with the path to it.
        """
        with _about(what):
            try:
                return self._encoder.json(value)
            except CodecError as error:
                raise NotShippable(str(error), error.hint or None) from None

    def finish(self, entry: Any, **more: Any) -> Shipped:
        """Returns the bundle with this entry."""
        bundle = {
            "wheels": self.packages.wheels(),
            "modules": sorted(self.modules),
            "imports": sorted(self.imports),
            "steps": self.steps + self.late,
            "cells": self.cells,
            "entry": entry,
            **more,
        }
        return Shipped(dumps(bundle), self.texts, self.classes)

    # Instances and other values.

    def _class_name(self, cls: type) -> str | None:
        if refuse.is_ours(cls) or origin(cls.__module__, self.packages.modules) is not Origin.OWN:
            return None
        self._define(cls)
        name = f"{cls.__module__}:{cls.__qualname__}"
        if self.classes.setdefault(name, cls) is not cls:
            raise NotShippable(
                f"there are two classes {cls.__qualname__}: it was redefined, and some values have the old class",
                "create those values again",
            )
        return name

    def _other(self, value: Any) -> Any:
        value = getattr(value, "__fabric_function__", value)
        if isinstance(value, types.ModuleType):
            return self._module(value, set(), True)
        refuse.known(value)
        imported = self._imported(value, None)
        if imported is not None:
            return imported
        if isinstance(value, types.FunctionType) or _wraps_function(value) or isinstance(value, type):
            return {"$ref": self._define(value)}
        if isinstance(value, types.MethodType):
            raise NotShippable(
                f"{value.__qualname__} is a method bound to an object",
                "pass the object, and call its method in the function",
            )
        return self._reduced(value)

    def _imported(self, value: Any, name: str | None) -> Any | None:
        """Returns the JSON of a value that the sandbox can import by name, or None."""
        owner = getattr(value, "__self__", None)
        homes = [getattr(value, "__module__", None), type(value).__module__, type(owner).__module__]
        known_as = [getattr(value, "__qualname__", None), getattr(value, "__name__", None), name]
        for home in homes:
            module = sys.modules.get(home) if isinstance(home, str) else None
            if module is None or home == "__main__" or origin(module.__name__, self.packages.modules) is Origin.OWN:
                continue
            for path in known_as:
                if isinstance(path, str) and path and "<" not in path and _at(module, path) is value:
                    return {"$from": [home, path]}
            if owner is not None and isinstance(name, str) and _at(module, name) == value:
                return {"$from": [home, name]}
        return None

    def _reduced(self, value: Any) -> Any:
        """Encodes an object of an imported class by its pickle reduction."""
        cls = type(value)
        if origin(cls.__module__, self.packages.modules) is not Origin.IMPORTED:
            raise refuse.unknown(value)
        try:
            special = copyreg.dispatch_table.get(cls)
            made: Any = special(value) if special else value.__reduce_ex__(2)
        except Exception:
            raise refuse.unknown(value) from None
        if isinstance(made, str) or any(part is not None for part in made[3:]):
            raise refuse.unknown(value)
        call, args, state = made[0], made[1], made[2] if len(made) > 2 else None
        json = self._encoder.json
        return {"$call": [json(call), [json(a) for a in args], None if state is None else [json(state)]]}

    # Definitions.

    def _define(self, thing: Any) -> int:
        """Defines a function, class or lambda after its dependencies. Returns its number."""
        base = thing if isinstance(thing, type) else inspect.unwrap(thing)
        if id(thing) in self._numbers:
            return self._numbers[id(thing)]
        number = self._numbers[id(thing)] = len(self._numbers)
        self._kept.append(thing)
        self._open.add(number)
        module = base.__module__ or "__main__"
        self.modules.add(module)
        with _about(f"{_kind(base)} {base.__qualname__}"):
            if _is_made_namedtuple(base):
                self._define_namedtuple(number, base)
                return number
            definition = _definition(base)
            around, space = _around(base), _space(base)
            without = _undone(thing, base, definition, around, space)
            uses = _uses(base, without)
            free: dict[str, Any] = {}
            for name in sorted(uses.needed):
                if name in around:
                    # Its own name refers to itself and is bound by its source.
                    if around[name] is not thing and name != definition.name:
                        free[name] = self.value(around[name], f"its variable `{name}`")
                elif name in space:
                    self._bind(module, name, space[name], uses)
                elif name in uses.at_once and not hasattr(builtins, name):
                    raise NotShippable(
                        f"its decorators, default values or base classes use `{name}`, which is a local variable",
                        "define that at the top of the module or cell",
                    )
            for name in sorted(uses.wished & space.keys()):
                self._wish(module, name, space[name], uses)
        text = source.cut(definition, sorted(free), without)
        later = {name: value for name, value in free.items() if self._waits(value)}
        if later:
            self.cells.append([number, later])
        given = {name: None if name in later else value for name, value in free.items()}
        step = ["def", number, module, base.__qualname__, text.name, text.source, given if text.wrapped else None]
        self.steps.append(step)
        self.texts[file_name(number, base.__qualname__)] = (definition, text)
        self._open.discard(number)
        if isinstance(thing, type):
            self.classes.setdefault(f"{module}:{base.__qualname__}", thing)
        return number

    def _define_namedtuple(self, number: int, cls: Any) -> None:
        """Defines a class from `collections.namedtuple`, which has no source."""
        name, fields = cls.__name__, list(cls._fields)
        made = (
            f"__import__('collections').namedtuple({name!r}, {fields!r}, defaults=defaults, module={cls.__module__!r})"
        )
        defaults = self.value(tuple(cls._field_defaults.values()), "its default values")
        text = f"def {source.MAKE}(defaults):\n return {made}\n"
        step = ["def", number, cls.__module__, cls.__qualname__, source.MAKE, text, {"defaults": defaults}]
        self.steps.append(step)
        self._open.discard(number)
        self.classes.setdefault(f"{cls.__module__}:{cls.__qualname__}", cls)

    def function(self, function: Any) -> Any:
        """Returns the JSON of the entry function."""
        return self.value(function, "the function")

    def _bind(self, module: str, name: str, value: Any, uses: names.Uses) -> None:
        """Sets a variable of a module."""
        value = getattr(value, "__fabric_function__", value)
        if isinstance(value, types.ModuleType):
            with _about(f"its module `{name}`"):
                encoded = self._module(value, uses.attributes.get(name, set()), name in uses.alone)
        elif (module, name) in self._bound:
            return
        else:
            with _about(f"its global variable `{name}`"):
                refuse.known(value)
                encoded = self._imported(value, name)
            if encoded is None:
                encoded = self.value(value, f"its global variable `{name}`")
        if (module, name) not in self._bound:
            self._bound.add((module, name))
            step = ["set", module, name, encoded]
            (self.late if self._waits(encoded) else self.steps).append(step)

    def _wish(self, module: str, name: str, value: Any, uses: names.Uses) -> None:
        """Sets a variable that an annotation names, if it is a module, a class or from `typing`."""
        if isinstance(value, types.ModuleType | type) or self._is_typing(value):
            try:
                self._bind(module, name, value, uses)
            except NotShippable:
                return

    def _is_typing(self, value: Any) -> bool:
        return type(value).__module__ == "typing"

    def _module(self, module: types.ModuleType, attributes: set[str], alone: bool) -> Any:
        if origin(module.__name__, self.packages.modules) is Origin.IMPORTED:
            self.imports.add(module.__name__)
            for attribute in attributes:
                inner = f"{module.__name__}.{attribute}"
                if isinstance(sys.modules.get(inner), types.ModuleType) and hasattr(module, attribute):
                    origin(inner, self.packages.modules)
                    self.imports.add(inner)
            return {"$module": module.__name__}
        if alone:
            raise NotShippable(
                f"{module.__name__} is your own module, and it is used as a whole",
                f"import the names that the function needs: from {module.__name__} import …",
            )
        self.modules.add(module.__name__)
        for attribute in sorted(attributes):
            if attribute in vars(module):
                self._bind(module.__name__, attribute, vars(module)[attribute], names.Uses(alone={attribute}))
        return {"$module": module.__name__}

    def _waits(self, encoded: Any) -> bool:
        """Returns True if a value refers to an unfinished definition."""
        if isinstance(encoded, list):
            return any(map(self._waits, encoded))
        if isinstance(encoded, dict):
            return encoded.get("$ref") in self._open or any(map(self._waits, encoded.values()))
        return False


def _at(module: types.ModuleType, path: str) -> Any:
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _wraps_function(value: Any) -> bool:
    return callable(value) and isinstance(inspect.unwrap(value), types.FunctionType)


def _is_made_namedtuple(thing: Any) -> bool:
    if not (isinstance(thing, type) and issubclass(thing, tuple) and hasattr(thing, "_fields")):
        return False
    try:
        _definition(thing)
    except NotShippable:
        return True
    return False


def _kind(thing: Any) -> str:
    return "class" if isinstance(thing, type) else "function"


def _around(thing: Any) -> Mapping[str, Any]:
    """Returns the free variables of a definition and their values."""
    functions = [thing] if isinstance(thing, types.FunctionType) else []
    if isinstance(thing, type):
        functions = [f for f in map(source.inspect_function, vars(thing).values()) if f is not None]
    found = {}
    for function in functions:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            if name != "__class__":
                try:
                    found[name] = cell.cell_contents
                except ValueError:
                    continue
    return found


def _space(thing: Any) -> Mapping[str, Any]:
    """Returns the variables of the module of a definition."""
    if isinstance(thing, type):
        module = sys.modules.get(thing.__module__)
        return vars(module) if module else {}
    space: dict[str, Any] = thing.__globals__
    return space


@contextmanager
def _about(what: str) -> Iterator[None]:
    """Prefixes errors with the path to the value."""
    try:
        yield
    except NotShippable as error:
        if not error.message.startswith(what):
            inner = error.message
            raise NotShippable(f"{what}: {inner}", error.hint) from None
        raise
