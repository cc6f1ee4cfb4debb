"""Creates the bundle of a function: all that the sandbox needs to rebuild it.

Values are sent, and the source of functions. The sandbox evaluates no decorator, default value or class body again:
what they made here is sent. Code objects cannot be sent, because the sandbox has another version of Python.

A bundle is JSON, described in `runner/fabric_runner/program.py`. It contains no paths, line numbers of files, ids or
unstable order: the same function with the same values has the same text, so that cached results are found.
"""

from __future__ import annotations

import ast
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import classes, functions, importable, library, modules, refuse, source, tables, variables
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
        #: Modules that functions import when they run.
        self.inner_imports: set[str] = set()
        #: The code of packages' modules in base64, if it was compiled before: see `compiled.py`.
        self.code: str | None = None
        self._spaces: dict[tuple[str, int], int] = {}
        self._texts: dict[source.Definition, int] = {}
        self._texts_json: list[Any] = []
        self._definitions: list[Any] = []
        #: States of definitions, as in the bundle.
        self.state: dict[str, list[Any]] = {"classes": [], "functions": [], "variables": []}
        self._cells: list[Any] = []
        self._cell_numbers: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []
        self._bound: set[tuple[int, str]] = set()
        #: Work that remains, each with the path to it in errors.
        self._left: deque[tuple[tuple[str, ...], Callable[[], None]]] = deque()
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

    def packaged_modules(self) -> set[str]:
        """Returns the modules of packages that the definitions import, as far as it is known."""
        return {name for name in self.imports | self.inner_imports if name.partition(".")[0] in self.packages.modules}

    def finish(self, entry: Any, **more: Any) -> Shipped:
        """Returns the bundle with this entry."""
        while self._last:
            self._last.pop(0)()
            self._work()
        values = {**self.state, "cells": self._cells, "entry": entry, **more}
        document, shared = self._own_encoder.finish({"definitions": self._definitions, **values})
        bundle = {
            "wheels": self.packages.wheels(),
            **({} if self.code is None else {"code": self.code}),
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
        with self.about(what):
            try:
                return encoder.json(value)
            except CodecError as error:
                raise NotShippable(str(error), error.hint or None) from None
            except RecursionError:
                raise NotShippable(
                    f"the value is nested deeper than {MAX_DEPTH} levels, or contains itself", "flatten it"
                ) from None

    @contextmanager
    def about(self, what: str) -> Iterator[None]:
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

    def at_end(self, work: Callable[[], None]) -> None:
        """Adds work for the end, when all classes are known."""
        self._last.append(work)

    def has_variable(self, module: int, name: str) -> bool:
        """Returns True if a variable of a module has a value."""
        return (module, name) in self._bound

    def set_variable(self, module: int, name: str, json: Any) -> None:
        """Sets a variable of a module, once."""
        if not self.has_variable(module, name):
            self._bound.add((module, name))
            self.state["variables"].append([module, name, json])

    def later(self, work: Callable[[], None]) -> None:
        """Adds work for when the current work is done."""
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

    def annotation(self, value: Any) -> Any | None:
        """Returns the JSON of a type in an annotation, or None if it is not available in the sandbox."""
        value = type(None) if value is None else value
        if isinstance(value, str):
            return value
        if not self._is_available(value):
            return None
        try:
            return self.part(value, "its annotation")
        except NotShippable:
            return None

    def _is_available(self, value: Any) -> bool:
        """Returns True for a type of which all parts are in the sandbox without this annotation."""
        if isinstance(value, type) and not isinstance(value, types.GenericAlias):
            try:
                return id(value) in self._numbers or importable.json(value, None, self) is not None
            except NotShippable:
                return False
        if value is Ellipsis or isinstance(value, str | int | bool | bytes | type(None)):
            return True
        if isinstance(value, list | tuple):
            return all(map(self._is_available, value))
        if type(value).__module__ not in ("typing", "types", "collections.abc"):
            return False
        parts = [getattr(value, "__origin__", None), *getattr(value, "__args__", ())]
        return all(part is None or part is value or self._is_available(part) for part in parts)

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

    def is_own(self, module: str) -> bool:
        """Returns True for a module of the user."""
        try:
            return self.origin(module) is Origin.OWN
        except NotShippable:
            return False

    def _other(self, value: Any) -> Any:
        value = refuse.unwrapped(value)
        if isinstance(value, types.ModuleType):
            return variables.module_json(value, set(), self, alone=True)
        table = tables.json(value, self.encoder.json)
        if table is not tables.NO_RULE:
            return table
        refuse.known(value)
        imported = importable.json(value, None, self)
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

    # Definitions.

    def define(self, thing: Any) -> int:
        """Adds the definition of a function or class, and its state later. Returns its number."""
        if id(thing) in self._numbers:
            return self._numbers[id(thing)]
        number = self._numbers[id(thing)] = len(self._numbers)
        self._kept.append(thing)
        what = f"{'class' if isinstance(thing, type) else 'function'} {thing.__qualname__}"
        with self._with(self._own_encoder), self.about(what):
            if isinstance(thing, type):
                classes.define(number, thing, self)
            else:
                functions.define(number, thing, self)
        return number

    def add(self, number: int, kind: str, *parts: Any) -> None:
        """Adds the definition with this number, after those that its parts refer to."""
        self._definitions.append([number, kind, *parts])

    def fill_class(self, number: int, cls: type, fill: Callable[[], dict[str, Any]]) -> None:
        """Adds the state of a class once all current work is done."""
        self._register(cls)
        self.later(lambda: self.state["classes"].append([number, fill()]))

    def space(self, name: str, variables: Mapping[str, Any] | None = None) -> int:
        """Returns the number of a module that the sandbox creates: that with this name, or another one if `variables`
        are not those of the module, as in functions with globals of their own."""
        loaded = sys.modules.get(name)
        own = 0 if variables is None or loaded is None or vars(loaded) is variables else id(variables)
        return self._spaces.setdefault((name, own), len(self._spaces))

    def text(self, definition: source.Definition) -> int:
        """Returns the number of a definition's source."""
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

    def cell(self, name: str, cell: types.CellType) -> int:
        """Returns the number of a cell, which is the variable `name` of an enclosing function."""
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

        self.later(fill)
        return number
