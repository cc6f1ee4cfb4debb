"""Creates the bundle of a function: all that the sandbox needs to rebuild it.

Values are sent, and the source of functions. The sandbox evaluates no decorator, default value or class body again:
what they made here is sent. Code objects cannot be sent, because the sandbox has another version of Python.

A bundle is JSON, described in `runner/fabric_runner/program.py`. It contains no paths, line numbers of files, ids or
unstable order: the same function with the same values has the same text, so that cached results are found.
"""

from __future__ import annotations

import _collections_abc
import ast
import inspect
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import classes, library, modules, names, refuse, source, tables
from .codec import MAX_DEPTH, CodecError, dumps
from .errors import NotShippable
from .modules import Origin
from .packages import Packages
from .sharing import SharingEncoder

_EMPTY = {"$empty": True}
"""The JSON of a variable of an enclosing function that has no value yet."""


@dataclass
class Shipped:
    """A bundle, and the data for decoding its results."""

    #: The bundle as JSON.
    bundle: str
    #: The definition of each file name in the sandbox's tracebacks.
    texts: dict[str, source.Definition]
    #: The allowed classes of results.
    classes: dict[str, type]


def file_name(number: int, name: str) -> str:
    """Returns the file name of a text in the sandbox, as in the runner's `functions.py`."""
    return f"<{number}:{name}>"


@dataclass
class Shipment:
    """A builder of one bundle."""

    packages: Packages
    texts: dict[str, source.Definition] = field(default_factory=dict)
    classes: dict[str, type] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.imports: set[str] = set()
        self._spaces: dict[tuple[str, int], int] = {}
        self._texts: dict[source.Definition, int] = {}
        self._texts_json: list[Any] = []
        self._definitions: list[Any] = []
        self._state: dict[str, list[Any]] = {"classes": [], "functions": [], "variables": []}
        self._cells: list[Any] = []
        self._cell_numbers: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []
        self._bound: set[tuple[int, str]] = set()
        #: Work that remains, each with the path to it in errors.
        self._left: deque[tuple[tuple[str, ...], Callable[[], None]]] = deque()
        #: Work for the end, when all classes are known.
        self._last: list[Callable[[], None]] = []
        self._path: tuple[str, ...] = ()
        self._own_encoder = SharingEncoder(self._class_name, self._other)
        #: The encoder of what is being encoded: the bundle's own, or that of an argument.
        self.encoder = self._own_encoder

    # Results.

    def function(self, function: Any) -> Any:
        """Returns the JSON of the entry function, or of one that merges results.

        Raises:
            NotShippable: if it cannot be sent, with the path to the value that cannot.
        """
        found = self._encoded(self.encoder, function, "")
        self._work()
        return found

    def value(self, value: Any, what: str) -> Any:
        """Returns the JSON of an argument. `what` describes it in errors.

        Raises:
            NotShippable: if it cannot be sent, with the path to it.
        """
        # Objects that occur in two arguments are sent twice.
        encoder = SharingEncoder(self._class_name, self._other)
        with self._with(encoder):
            json, shared = encoder.finish(self._encoded(encoder, value, what))
        self._work()
        return {"$graph": [json, shared]} if shared else json

    def finish(self, entry: Any, **more: Any) -> Shipped:
        """Returns the bundle with this entry."""
        while self._last:
            self._last.pop(0)()
            self._work()
        values = {**self._state, "cells": self._cells, "entry": entry, **more}
        document, shared = self._own_encoder.finish({"definitions": self._definitions, **values})
        bundle = {
            "wheels": self.packages.wheels(),
            "imports": sorted(self.imports),
            "modules": [[name, own == 0] for name, own in self._spaces],
            "texts": self._texts_json,
            "shared": shared,
            **document,
        }
        return Shipped(dumps(bundle), self.texts, self.classes)

    @contextmanager
    def _with(self, encoder: SharingEncoder) -> Iterator[None]:
        before, self.encoder = self.encoder, encoder
        try:
            yield
        finally:
            self.encoder = before

    def _encoded(self, encoder: SharingEncoder, value: Any, what: str) -> Any:
        with self._about(what):
            try:
                return encoder.json(value)
            except CodecError as error:
                raise NotShippable(str(error), error.hint or None) from None
            except RecursionError:
                raise NotShippable(
                    f"the value is nested deeper than {MAX_DEPTH} levels, or contains itself", "flatten it"
                ) from None

    @contextmanager
    def _about(self, what: str) -> Iterator[None]:
        """Prefixes errors with the path to the value."""
        before, self._path = self._path, (*self._path, what) if what else self._path
        try:
            yield
        except NotShippable as error:
            if error.located:
                raise
            located = NotShippable(": ".join([*self._path, error.message]), error.hint)
            located.located = True
            raise located from None
        finally:
            self._path = before

    def _later(self, work: Callable[[], None]) -> None:
        self._left.append((self._path, work))

    def _work(self) -> None:
        try:
            while self._left:
                path, work = self._left.popleft()
                self._path = path
                work()
        finally:
            self._path = ()

    # Values without a rule of the codec.

    def part(self, value: Any, what: str) -> Any:
        """Returns the JSON of a part of something that is sent, such as a class attribute."""
        return self._encoded(self.encoder, value, what)

    def wished(self, value: Any) -> Any | None:
        """Returns the JSON of a type in an annotation, or None if it is not available in the sandbox."""
        value = type(None) if value is None else value
        if isinstance(value, str):
            return value
        if not self._is_wished(value):
            return None
        try:
            return self.part(value, "its annotation")
        except NotShippable:
            return None

    def _is_wished(self, value: Any) -> bool:
        """Returns True for a type of which all parts are in the sandbox without this annotation."""
        if isinstance(value, type) and not isinstance(value, types.GenericAlias):
            try:
                return id(value) in self._numbers or self.imported(value, None) is not None
            except NotShippable:
                return False
        if value is Ellipsis or isinstance(value, str | int | bool | bytes | type(None)):
            return True
        if isinstance(value, list | tuple):
            return all(map(self._is_wished, value))
        if type(value).__module__ not in ("typing", "types", "collections.abc"):
            return False
        parts = [getattr(value, "__origin__", None), *getattr(value, "__args__", ())]
        return all(part is None or part is value or self._is_wished(part) for part in parts)

    def _class_name(self, cls: type) -> str | None:
        if refuse.is_ours(cls) or tables.has_rule(cls):
            return None
        if self.origin(cls.__module__) is not Origin.OWN and not classes.is_unnamed(cls):
            return None
        self.define(cls)
        name = f"{cls.__module__}:{cls.__qualname__}"
        self._register(cls)
        if self.classes[name] is not cls:
            raise NotShippable(
                f"there are two classes {cls.__qualname__}: it was redefined, and some values have the old class",
                "create those values again",
            )
        return name

    def _register(self, cls: type) -> None:
        """Allows a class in results. A subclass replaces its base of the same name, such as a named tuple."""
        name = f"{cls.__module__}:{cls.__qualname__}"
        if self.classes.setdefault(name, cls) in cls.__mro__:
            self.classes[name] = cls

    def origin(self, module: str) -> Origin:
        """Returns the origin of a module, as `modules.origin`."""
        return Origin.OWN if module == "__main__" else modules.origin(module, self.packages.modules)

    def _is_own(self, module: str) -> bool:
        try:
            return self.origin(module) is Origin.OWN
        except NotShippable:
            return False

    def _other(self, value: Any) -> Any:
        value = _unwrapped(value)
        if isinstance(value, types.ModuleType):
            return self._module(value, set(), True)
        table = tables.json(value, self.encoder.json)
        if table is not None:
            return table
        refuse.known(value)
        imported = self.imported(value, None)
        if imported is not None:
            return imported
        if isinstance(value, type):
            return {"$ref": self.define(value)}
        made = library.json(value, self)
        if made is not None:
            return made
        if isinstance(value, types.FunctionType):
            return {"$ref": self.define(value)}
        return library.reduced(value, self)

    def imported(self, value: Any, name: str | None) -> Any | None:
        """Returns the JSON of a value that the sandbox can import by name, or None."""
        kind = type(value)
        if not issubclass(kind, type) and kind.__module__ != "builtins" and self._is_own(kind.__module__):
            # No code of the user's class runs.
            return None
        owner = getattr(value, "__self__", None)
        if isinstance(value, type) and value.__module__ == "builtins":
            # Types such as that of None are not in `builtins`.
            for place in (types, _collections_abc):
                for known_as_type, found in vars(place).items():
                    if found is value:
                        return {"$from": [place.__name__, known_as_type]}
        homes = [getattr(value, "__module__", None), type(value).__module__, type(owner).__module__]
        if isinstance(value, types.FunctionType):
            homes.append(value.__globals__.get("__name__"))
        known_as = [getattr(value, "__qualname__", None), getattr(value, "__name__", None), name]
        missing: NotShippable | None = None
        for home in _with_packages(homes):
            module = sys.modules.get(home)
            if module is None or home == "__main__":
                continue
            found = self._name_in(module, value, known_as, owner, name)
            if found is None:
                continue
            try:
                if self.origin(home) is Origin.OWN:
                    continue
            except NotShippable as error:
                missing = missing or error
                continue
            return {"$from": [home, found]}
        if missing is not None:
            raise missing
        return None

    def _name_in(
        self, module: types.ModuleType, value: Any, known_as: list[Any], owner: Any, name: str | None
    ) -> str | None:
        """Returns the name of a value in a module, or None."""
        for path in known_as:
            if isinstance(path, str) and path and "<" not in path and at(module, path) is value:
                return path
        if owner is not None and isinstance(name, str) and at(module, name) == value:
            return name
        if not isinstance(value, type | types.FunctionType) and type(value).__module__ == module.__name__:
            # A constant of a module, such as `dataclasses.MISSING`.
            return next((path for path, found in vars(module).items() if found is value), None)
        return None

    # Definitions.

    def define(self, thing: Any) -> int:
        """Adds the definition of a function or class, and its state later. Returns its number."""
        if id(thing) in self._numbers:
            return self._numbers[id(thing)]
        number = self._numbers[id(thing)] = len(self._numbers)
        self._kept.append(thing)
        what = f"{'class' if isinstance(thing, type) else 'function'} {thing.__qualname__}"
        with self._with(self._own_encoder), self._about(what):
            if isinstance(thing, type):
                classes.define(number, thing, self)
            else:
                self._define_function(number, thing)
        return number

    def add(self, number: int, kind: str, *parts: Any) -> None:
        """Adds the definition with this number, after those that its parts refer to."""
        self._definitions.append([number, kind, *parts])

    def fill_class(self, number: int, cls: type, fill: Callable[[], dict[str, Any]]) -> None:
        """Adds the state of a class once all current work is done."""
        self._register(cls)
        self._later(lambda: self._state["classes"].append([number, fill()]))

    def space(self, name: str, variables: Mapping[str, Any] | None = None) -> int:
        """Returns the number of a module that the sandbox creates: that with this name, or another one if `variables`
        are not those of the module, as in functions with globals of their own."""
        loaded = sys.modules.get(name)
        own = 0 if variables is None or loaded is None or vars(loaded) is variables else id(variables)
        return self._spaces.setdefault((name, own), len(self._spaces))

    def _define_function(self, number: int, function: types.FunctionType) -> None:
        definition = source.of_function(function)
        home = function.__globals__.get("__name__")
        loaded = sys.modules.get(home) if isinstance(home, str) else None
        code, module = function.__code__, function.__module__
        named = [function.__name__, function.__qualname__, module]
        if isinstance(home, str) and loaded is not None and self.origin(home) is Origin.IMPORTED:
            # A function that a library made: its code is in the sandbox's library too.
            self.imports.add(home)
            uses = None
            self.add(number, "library", home, [*definition.path, code.co_name], *named, self._closure(function, None))
        else:
            uses = names.of(definition, code.co_freevars)
            for module_name in sorted(uses.imports):
                modules.check_import(module_name, self.packages.modules)
            text = self._text(definition)
            closure = self._closure(function, uses)
            self.add(
                number, "function", text, self.space(str(home or "__main__"), function.__globals__), *named, closure
            )
        self._later(lambda: self._fill_function(number, function, definition, uses))

    def _text(self, definition: source.Definition) -> int:
        known = self._texts.get(definition)
        if known is not None:
            return known
        number = self._texts[definition] = len(self._texts)
        is_lambda = isinstance(definition.node, ast.Lambda)
        name = "<lambda>" if is_lambda else definition.node.name  # type: ignore[union-attr]
        kind = "lambda" if is_lambda else "def"
        more = [definition.qualname, definition.class_name, definition.text_annotations]
        self._texts_json.append([kind, definition.text, name, *more])
        self.texts[file_name(number, name)] = definition
        return number

    def _closure(self, function: types.FunctionType, uses: names.Uses | None) -> dict[str, int]:
        """Returns the numbers of the cells of a function's free variables."""
        found = {}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            used = uses is None or name == "__class__" or name in uses.free
            found[name] = self._cell(name, cell) if used else self._cell(name, types.CellType())
        return found

    def _cell(self, name: str, cell: types.CellType) -> int:
        if id(cell) in self._cell_numbers:
            return self._cell_numbers[id(cell)]
        number = self._cell_numbers[id(cell)] = len(self._cells)
        self._kept.append(cell)
        self._cells.append(_EMPTY)

        def fill() -> None:
            try:
                value = cell.cell_contents
            except ValueError:
                return
            self._cells[number] = self.part(value, f"its variable `{name}`")

        self._later(fill)
        return number

    def _fill_function(
        self, number: int, function: types.FunctionType, definition: source.Definition, uses: names.Uses | None
    ) -> None:
        state: dict[str, Any] = {}
        if function.__defaults__:
            state["defaults"] = [self.part(value, "its default values") for value in function.__defaults__]
        if function.__kwdefaults__:
            state["kwdefaults"] = {
                name: self.part(value, f"the default value of `{name}`")
                for name, value in function.__kwdefaults__.items()
            }
        attributes = {
            name: self.part(value, f"its attribute `{name}`")
            for name, value in vars(function).items()
            if name != "__fabric_decorator__" and not isinstance(value, types.GetSetDescriptorType)
        }
        if attributes:
            state["attributes"] = attributes
        self._last.append(lambda: self._annotate(number, function))
        if function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE:
            state["coroutine"] = True
        doc: Any = function.__doc__
        if (source.undented(doc) if isinstance(doc, str) else doc) != definition.doc:
            state["doc"] = self.part(doc, "its docstring")
        if state:
            self._state["functions"].append([number, state])
        if uses is not None:
            self._bind_all(function, uses)

    def _annotate(self, number: int, function: types.FunctionType) -> None:
        """Adds the annotations of a function whose types are in the sandbox."""
        annotations = {name: self.wished(value) for name, value in getattr(function, "__annotations__", {}).items()}
        known = {name: json for name, json in annotations.items() if json is not None}
        if known:
            self._state["functions"].append([number, {"annotations": known}])

    def _bind_all(self, function: types.FunctionType, uses: names.Uses) -> None:
        """Sends the global variables that a function uses."""
        space, free = function.__globals__, function.__code__.co_freevars
        module = self.space(str(space.get("__name__") or "__main__"), space)
        for name in sorted(uses.needed.difference(free) & space.keys()):
            self._bind(module, name, space[name], uses)
        wished = sorted(uses.wished.difference(free) & space.keys())
        if wished:
            self._last.append(lambda: self._bind_wished(module, {name: space[name] for name in wished}))

    def _bind_wished(self, module: int, found: dict[str, Any]) -> None:
        """Sends global variables that annotations name, if they are types that the sandbox has."""
        for name, value in found.items():
            json = None if isinstance(value, types.ModuleType) else self.wished(value)
            if json is not None and (module, name) not in self._bound:
                self._bound.add((module, name))
                self._state["variables"].append([module, name, json])

    def _bind(self, module: int, name: str, value: Any, uses: names.Uses) -> None:
        """Sets a variable of a module."""
        value = _unwrapped(value)
        what = f"its global variable `{name}`"
        if isinstance(value, types.ModuleType):
            with self._about(f"its module `{name}`"):
                json = self._module(value, uses.attributes.get(name, set()), name in uses.alone)
        elif (module, name) in self._bound:
            return
        else:
            with self._about(what):
                known = type(value) in _PLAIN or tables.has_rule(type(value))
                if not known:
                    refuse.known(value)
                imported = None if known else self.imported(value, name)
            json = self.part(value, what) if imported is None else imported
        if (module, name) not in self._bound:
            self._bound.add((module, name))
            self._state["variables"].append([module, name, json])

    def _module(self, module: types.ModuleType, paths: set[str], alone: bool) -> Any:
        """Returns the JSON of a module of which these attributes are used."""
        if self.origin(module.__name__) is Origin.IMPORTED:
            self.imports.add(module.__name__)
            for path in paths:
                self._import_inner(module, path.split("."))
            if alone and hasattr(module, "__path__"):
                self._import_all(module.__name__)
            return {"$module": module.__name__}
        if alone:
            raise NotShippable(
                f"{module.__name__} is your own module, and it is used as a whole",
                f"import the names that the function needs: from {module.__name__} import …",
            )
        number = self.space(module.__name__)
        for attribute in sorted({path.partition(".")[0] for path in paths}):
            if attribute in vars(module):
                inner = {
                    rest for name, _, rest in (path.partition(".") for path in paths) if name == attribute and rest
                }
                used = names.Uses(alone=set() if inner else {attribute}, attributes={attribute: inner})
                self._bind(number, attribute, vars(module)[attribute], used)
        return {"$module": module.__name__}

    def _import_all(self, package: str) -> None:
        """Adds the loaded modules inside a package that the sandbox has."""
        for name in sorted(sys.modules):
            if name.startswith(f"{package}.") and name in modules.runner_modules():
                self.imports.add(name)

    def _import_inner(self, module: types.ModuleType, path: list[str]) -> None:
        """Adds the modules inside a package that a path leads through, such as `etree` and `ElementTree` in `xml`."""
        for part in path:
            inner = f"{module.__name__}.{part}"
            loaded = sys.modules.get(inner)
            attribute = getattr(module, part, None)
            if loaded is None or id(attribute) != id(loaded):
                return
            self.origin(inner)
            self.imports.add(inner)
            module = loaded


_PLAIN = {type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset}


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


def _unwrapped(value: Any) -> Any:
    """Returns the function of a `PyFunction`."""
    return value.__fabric_function__ if refuse.is_ours(type(value)) and hasattr(value, "__fabric_function__") else value


def at(module: types.ModuleType, path: str) -> Any:
    """Returns the attribute with a dotted path, or None."""
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found
