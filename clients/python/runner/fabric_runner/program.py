"""From a bundle to a function that can be called: definitions are executed, values set, modules made.

A bundle is JSON, with

- ``wheels``: packages, in base64,
- ``modules``: names of those that are made for the user's definitions,
- ``imports``: modules to import,
- ``steps``, taken in order: ``["def", id, module, qualname, name, source, free]``, where executing ``source`` in
  ``module`` defines ``name`` (or, where ``free`` is not null, a function of these values that gives the object), and
  ``["set", module, name, value]`` for a variable of a module,
- ``cells``: ``[id, free]``, variables of nested functions that refer to what is defined later,
- ``entry``: the function to call, and perhaps ``reduce``: the one that merges results.

A value is one of the codec's, or one of the tags below. All of it comes from the user whose sandbox this is.
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
    """What a definition's file is called in tracebacks; the client turns it into the real one."""
    return f"<{number}:{qualname}>"


def _with_state(made: Any, state: Any) -> Any:
    """What unpickling does with the state of an object."""
    if state is not None:
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
        else:
            vars(made).update(state)
    return made


class Program:
    """What a bundle defines."""

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
        #: What is called.
        self.entry = self.decoder.of_json(bundle["entry"])
        #: What merges results, if anything does.
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
        """Puts what came later into the variables of a nested function."""
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
