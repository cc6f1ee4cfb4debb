"""Rebuilds a function from a bundle: creates modules, executes definitions, sets values.

A bundle is JSON, with

- ``wheels``: packages, in base64,
- ``modules``: names of modules to create for the user's definitions,
- ``imports``: modules to import,
- ``steps``, in order: ``["def", id, module, qualname, name, source, free]``, which executes ``source`` in ``module``
  to define ``name`` (or, if ``free`` is not null, a function of these values that returns the object), and
  ``["set", module, name, value]`` for a variable of a module,
- ``cells``: ``[id, free]``, free variables of nested functions that refer to later definitions,
- ``entry``: the function to call, and optionally ``reduce``: the function that merges results.

Values are encoded by the codec or by the tags below. The bundle comes from the user who owns the sandbox.
"""

import importlib
import linecache
import operator
import sys
import types
from typing import Any

from . import wheels
from .codec import Decoder, Encoder


def file_name(number: int, qualname: str) -> str:
    """Returns the file name of a definition in tracebacks. The client replaces it by the real file."""
    return f"<{number}:{qualname}>"


def _with_state(made: Any, state: Any) -> Any:
    """Sets the state of an object as unpickling does."""
    if state is not None:
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
        else:
            vars(made).update(state)
    return made


class Program:
    """The definitions of a bundle."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self._objects: dict[int, Any] = {}
        self._classes: dict[str, type] = {}
        self._names: dict[type, str] = {}
        self.decoder = Decoder(self._classes, self._tagged)
        self.encoder = Encoder(self._names.get)
        wheels.install(bundle["wheels"])
        self._modules: dict[str, types.ModuleType] = {}
        for name in bundle["modules"]:
            self._modules[name] = sys.modules[name] = types.ModuleType(name)
        for name in bundle["imports"]:
            importlib.import_module(name)
        for step in bundle["steps"]:
            if step[0] == "def":
                self._define(*step[1:])
            else:
                _, module, name, value = step
                setattr(self._modules[module], name, self.decoder.of_json(value))
        for number, free in bundle["cells"]:
            self._fill(self._objects[number], free)
        #: The function to call.
        self.entry = self.decoder.of_json(bundle["entry"])
        #: The function that merges results, or None.
        self.reduce = self.decoder.of_json(bundle["reduce"]) if "reduce" in bundle else None

    def _define(self, number: int, module: str, qualname: str, name: str, source: str, free: Any) -> None:
        file = file_name(number, qualname)
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        space = self._modules[module].__dict__
        before = space.get(name, self)
        exec(compile(source, file, "exec", dont_inherit=True), space)
        made = space.pop(name)
        if before is not self:
            space[name] = before
        if free is not None:
            made = made(**{key: self.decoder.of_json(value) for key, value in free.items()})
            made.__qualname__ = qualname
        self._objects[number] = made
        if isinstance(made, type):
            known = f"{module}:{qualname}"
            self._classes[known] = made
            self._names[made] = known

    def _fill(self, made: Any, free: dict[str, Any]) -> None:
        """Sets free variables of a nested function to later definitions."""
        while hasattr(made, "__wrapped__"):
            made = made.__wrapped__
        for name, cell in zip(made.__code__.co_freevars, made.__closure__ or (), strict=False):
            if name in free:
                cell.cell_contents = self.decoder.of_json(free[name])

    def _tagged(self, tag: str, value: Any) -> Any:
        if tag == "$ref":
            return self._objects[value]
        if tag == "$module":
            return importlib.import_module(value)
        if tag == "$from":
            return operator.attrgetter(value[1])(importlib.import_module(value[0]))
        if tag == "$call":
            call, args, state = value
            of_json = self.decoder.of_json
            return _with_state(of_json(call)(*map(of_json, args)), None if state is None else of_json(state[0]))
        raise ValueError(f"the tag {tag} is unknown: this runner is older than the client")
