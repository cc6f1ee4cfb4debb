"""Rebuilds a function from a bundle: the functions, classes and values that it uses.

A bundle is JSON, with

- ``wheels``: packages, in base64, and optionally ``code``: the code of their modules (see `wheels.py`),
- ``imports``: modules to import,
- ``modules``: modules to create for the user's variables: the name, and whether it can be imported by this name,
- ``texts``: sources of functions,
  ``["def" | "lambda", source, name, qualified name, class or null, annotations are text]``,
- ``definitions``, in order, each ``[number, kind, …]``: a function without variables and default values, or a class
  without attributes,
- ``classes``: ``[number, state]``, the attributes of classes,
- ``functions``: ``[number, state]``, default values and attributes of functions,
- ``cells``: values of variables of enclosing functions,
- ``variables``: ``[module, name, value]``, global variables,
- ``shared``: values that occur more than once,
- ``entry``: the function to call, and optionally ``reduce``: the function that merges results.

Definitions come first and values after them, so that both may refer to any definition. Values are encoded by the codec
or by the tags below. The bundle comes from the user who owns the sandbox.
"""

import builtins
import collections
import functools
import importlib
import inspect
import operator
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from . import classes, functions, place, wheels
from .codec import Decoder, Encoder

_NOTHING = object()


def _with_state(made: Any, state: Any) -> Any:
    """Sets the state of an object as unpickling does."""
    if state is not None:
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
        else:
            attributes, slots = state if isinstance(state, tuple) else (state, None)
            if attributes:
                vars(made).update(attributes)
            for name, value in (slots or {}).items():
                setattr(made, name, value)
    return made


def _module(name: str) -> types.ModuleType:
    made = types.ModuleType(name)
    # As after the execution of a module.
    vars(made)["__builtins__"] = builtins
    return made


def _register(name: str, made: types.ModuleType) -> None:
    """Lets a module be imported by its name, with the packages around it."""
    sys.modules[name] = made
    around, _, last = name.rpartition(".")
    while around:
        package = sys.modules.get(around)
        if package is None:
            package = sys.modules[around] = _module(around)
        vars(package).setdefault("__path__", [])
        vars(package).setdefault(last, sys.modules[name])
        name = around
        around, _, last = name.rpartition(".")


class Program:
    """The definitions of a bundle."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self._objects: dict[int, Any] = {}
        self._classes: dict[str, type] = {}
        self._names: dict[type, str] = {}
        self.decoder = Decoder(self._classes, self._tagged, trusted=True)
        self.encoder = Encoder(self._names.get)
        self._shared, self._made = bundle["shared"], [_NOTHING] * len(bundle["shared"])
        value = self.decoder.of_json
        wheels.install(bundle["wheels"], bundle.get("code", ""))
        self._modules = [_module(name) for name, _ in bundle["modules"]]
        for made, (name, is_named) in zip(self._modules, bundle["modules"], strict=True):
            if is_named:
                _register(name, made)
        for name in bundle["imports"]:
            importlib.import_module(name)
        self._texts = [functions.Text(number, *text) for number, text in enumerate(bundle["texts"])]
        self._cells = [types.CellType() for _ in bundle["cells"]]
        for number, kind, *parts in bundle["definitions"]:
            self._objects[number] = self._defined(kind, *parts)
        for module, name, content in bundle["variables"]:
            if not isinstance(content, dict) or content.keys() & {"$ref", "$from", "$module"}:
                setattr(self._modules[module], name, value(content))
        # Methods come before values, because a value may need the methods of its class.
        late = [self._fill_class(self._objects[number], state) for number, state in bundle["classes"]]
        for number, state in bundle["functions"]:
            self._fill_function(self._objects[number], state)
        for cell, content in zip(self._cells, bundle["cells"], strict=True):
            if content != {"$empty": True}:
                cell.cell_contents = value(content)
        for fill in late:
            fill()
        for number, _ in bundle["classes"]:
            classes.settle(self._objects[number])
        for module, name, content in bundle["variables"]:
            setattr(self._modules[module], name, value(content))
        #: The function to call.
        self.entry = value(bundle["entry"])
        #: The function that merges results, or None.
        self.reduce = value(bundle["reduce"]) if "reduce" in bundle else None

    def _defined(self, kind: str, *parts: Any) -> Any:
        if kind == "function":
            text, module, name, qualname, home, cells = parts
            code = self._texts[text].code(tuple(sorted(cells)))
            place.watch(code)
            space = self._modules[module].__dict__
            return functions.function(code, space, name, qualname, home, self._named_cells(cells))
        if kind == "library":
            library, path, name, qualname, home, cells = parts
            code = functions.library_code(library, path)
            space = sys.modules[library].__dict__
            return functions.function(code, space, name, qualname, home, self._named_cells(cells))
        name, qualname, module, *parts = parts
        make: Callable[..., type] = getattr(classes, _MAKERS[kind])
        made = make(name, qualname, module, *map(self._part, parts))
        known = f"{module}:{qualname}"
        # A subclass replaces its base of the same name, such as a named tuple.
        if self._classes.setdefault(known, made) in made.__mro__:
            self._classes[known] = made
        self._names[made] = known
        return made

    def _part(self, part: Any) -> Any:
        return self.decoder.of_json(part)

    def _named_cells(self, cells: dict[str, int]) -> dict[str, types.CellType]:
        return {name: self._cells[number] for name, number in cells.items()}

    def _fill_class(self, cls: type, state: dict[str, Any]) -> Callable[[], None]:
        """Sets the methods of a class. Returns a function that sets its other attributes."""
        value = self.decoder.of_json
        attributes = state.pop("attributes", {})
        methods = {name: one for name, one in attributes.items() if _is_method(one)}
        # All names, for the order of the attributes.
        classes.fill(cls, {"attributes": {name: methods.get(name) for name in attributes}}, value)
        others = {name: one for name, one in attributes.items() if name not in methods}
        return lambda: classes.fill(cls, {**state, "attributes": others}, value)

    def _fill_function(self, made: Any, state: dict[str, Any]) -> None:
        value = self.decoder.of_json
        if "defaults" in state:
            made.__defaults__ = tuple(map(value, state["defaults"]))
        if "kwdefaults" in state:
            made.__kwdefaults__ = {name: value(one) for name, one in state["kwdefaults"].items()}
        for name, one in state.get("attributes", {}).items():
            made.__dict__[name] = value(one)
        if "doc" in state:
            made.__doc__ = value(state["doc"])
        if "annotations" in state:
            made.__annotations__ = {name: value(one) for name, one in state["annotations"].items()}
        if "coroutine" in state:
            made.__code__ = made.__code__.replace(co_flags=made.__code__.co_flags | inspect.CO_ITERABLE_COROUTINE)
            place.watch(made.__code__)

    # Tags.

    def _tagged(self, tag: str, content: Any) -> Any:
        value = self.decoder.of_json
        if tag == "$ref":
            return self._objects[content]
        if tag == "$module":
            return importlib.import_module(content)
        if tag == "$from":
            return operator.attrgetter(content[1])(importlib.import_module(content[0]))
        if tag == "$call":
            call, args, state = content
            return _with_state(value(call)(*map(value, args)), None if state is None else value(state[0]))
        if tag == "$shared":
            return self._of_shared(content)
        if tag == "$graph":
            return self._graph(*content)
        if tag == "$singledispatch":
            made, fill = self._single(*content)
            fill()
            return made
        if tag == "$exception":
            return self._exception(*content)
        if tag == "$slot":
            return vars(value(content[0]))[content[1]]
        if tag == "$type-variable":
            name, constraints, keys = content
            return typing.TypeVar(name, *map(value, constraints), **{key: value(one) for key, one in keys.items()})
        raise ValueError(f"the tag {tag} is unknown: this runner is older than the client")

    def _single(self, first: Any, more: list[Any], attributes: dict[str, Any]) -> tuple[Any, Callable[[], None]]:
        """Returns a dispatcher, and a function that sets its attributes, which may refer to it."""
        value = self.decoder.of_json
        made = functools.singledispatch(value(first))
        for cls, function in more:
            made.register(value(cls), value(function))

        def fill() -> None:
            for name, one in attributes.items():
                setattr(made, name, value(one))

        return made, fill

    def _exception(
        self, cls: Any, args: list[Any], state: dict[str, Any], more: dict[str, Any], chain: list[Any]
    ) -> BaseException:
        """Returns an exception without running `__init__` of the user's class."""
        value = self.decoder.of_json
        known = value(cls)
        base = next(one for one in known.__mro__ if one.__module__ == "builtins")
        values = tuple(map(value, args))
        made: BaseException = base.__new__(known, *values)
        base.__init__(made, *values)
        made.args = values
        for name, one in more.items():
            setattr(made, name, one)
        vars(made).update({name: value(one) for name, one in state.items()})
        made.__cause__, made.__context__ = value(chain[0]), value(chain[1])
        made.__suppress_context__ = chain[2]
        return made

    def _graph(self, json: Any, shared: list[Any]) -> Any:
        """Returns an argument with shared values of its own."""
        before = self._shared, self._made
        self._shared, self._made = shared, [_NOTHING] * len(shared)
        try:
            return self.decoder.of_json(json)
        finally:
            self._shared, self._made = before

    def _of_shared(self, number: int) -> Any:
        """Returns a shared value, made at its first use. A list, dict or object may contain itself."""
        if self._made[number] is _NOTHING:
            json = self._shared[number]
            empty, fill = self._empty(json)
            if fill is None:
                empty = self.decoder.of_json(json)
            self._made[number] = empty
            if fill is not None:
                fill()
        return self._made[number]

    def _empty(self, json: Any) -> tuple[Any, Callable[[], None] | None]:
        """Returns an empty container or object and a function that fills it, or no function for other values."""
        value = self.decoder.of_json
        if isinstance(json, list):
            items: list[Any] = []
            return items, lambda: items.extend(map(value, json))
        tag = next(iter(json), "") if len(json) == 1 else ""
        if tag in _PAIRS:
            made = _PAIRS[tag]()
            return made, lambda: made.update((value(k), value(v)) for k, v in json[tag])
        if tag == "$deque":
            queue: Any = collections.deque(maxlen=json[tag][0])
            return queue, lambda: queue.extend(map(value, json[tag][1]))
        if tag == "$counter":
            counter: Any = collections.Counter()
            return counter, lambda: dict.update(counter, ((value(k), value(v)) for k, v in json[tag]))
        if tag == "$defaultdict":
            name, pairs = json[tag]
            default = getattr(builtins, name) if isinstance(name, str) else value(name)
            factory: Any = collections.defaultdict(default)
            return factory, lambda: factory.update((value(k), value(v)) for k, v in pairs)
        if tag == "$call":
            call, args, state = json[tag]
            result = value(call)(*map(value, args))
            return result, lambda: _with_state(result, None if state is None else value(state[0]))
        if tag == "$singledispatch":
            return self._single(*json[tag])
        if tag == "$object":
            name, attributes = json[tag]
            made = object.__new__(self._classes[name])
            return made, lambda: self.decoder.restore(made, attributes)
        if tag.startswith("$"):
            return None, None
        plain: dict[str, Any] = {}
        return plain, lambda: plain.update((key, value(one)) for key, one in json.items())


_PAIRS: dict[str, Callable[[], Any]] = {"$dict": dict, "$odict": collections.OrderedDict}
_MAKERS = {"class": "plain", "enum": "enumeration", "namedtuple": "named_tuple", "typeddict": "typed_dict"}


def _is_method(json: Any) -> bool:
    """Returns True for a reference to a function, alone or in a `property`, `staticmethod` or `classmethod`."""
    if not isinstance(json, dict):
        return False
    if "$ref" in json:
        return True
    call = json.get("$call")
    return call is not None and call[0].get("$from", [""])[0] == "builtins" and call[0]["$from"][1] != "getattr"
