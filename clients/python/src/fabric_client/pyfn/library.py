"""Encodes objects that the standard library makes around functions and classes, and objects of imported classes."""

from __future__ import annotations

import contextlib
import copyreg
import functools
import gc
import inspect
import types
import typing
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import importable, refuse
from .classes import is_made_at_run_time
from .codec import EXCEPTION_NAMES
from .modules import Origin

if TYPE_CHECKING:
    from .ship import Shipment

_LRU = type(functools.lru_cache(len))
_DISPATCHERS = [
    code for code in functools.singledispatchmethod.__get__.__code__.co_consts if isinstance(code, types.CodeType)
]
"""The code of bound methods of a `singledispatchmethod`; in Python 3.14 they are no functions."""


def call(function: Any, *args: Any, state: Any = None) -> Any:
    """Returns the JSON of a call in the sandbox, of JSON arguments, followed by setting the state of its result."""
    return {"$call": [function, list(args), None if state is None else [state]]}


def named(module: str, name: str) -> Any:
    """Returns the JSON of an object that the sandbox imports."""
    return {"$from": [module, name]}


def json(value: Any, shipment: Shipment) -> Any | None:
    """Returns the JSON of an object with a rule in this module, or None."""
    rule = _RULES.get(type(value))
    if rule is not None:
        return rule(value, shipment)
    if isinstance(value, BaseException):
        return _exception(value, shipment)
    if isinstance(value, types.FunctionType) and value.__code__ in _DISPATCHERS:
        return _bound_dispatcher(value, shipment)
    if isinstance(value, types.FunctionType) and _is_singledispatch(value):
        return _singledispatch(value, shipment)
    return None


def _property(value: property, shipment: Shipment) -> Any:
    accessors = {"getter": value.fget, "setter": value.fset, "deleter": value.fdel}
    parts = [shipment.part(part, f"its {what}") for what, part in accessors.items()]
    natural = getattr(value.fget, "__doc__", None)
    doc = None if value.__doc__ == natural else value.__doc__
    return call(named("builtins", "property"), *parts, shipment.part(doc, "its docstring"))


def _method_kind(value: Any, shipment: Shipment) -> Any:
    make = named("builtins", type(value).__name__)
    return call(make, shipment.part(value.__func__, "its function"), state=_more(value, value.__func__, shipment))


def _cached_property(value: Any, shipment: Shipment) -> Any:
    state = {"attrname": value.attrname, **(_more(value, value.func, shipment) or {})}
    return call(named("functools", "cached_property"), shipment.part(value.func, "its function"), state=state)


def _lru_cache(value: Any, shipment: Shipment) -> Any:
    parameters = value.cache_parameters()
    make = call(named("functools", "lru_cache"), parameters["maxsize"], parameters["typed"])
    return call(make, shipment.part(value.__wrapped__, "its function"), state=_more(value, value.__wrapped__, shipment))


_OF_WRAPPERS = {
    "__wrapped__",
    "__annotations__",
    "__annotate__",
    "__type_params__",
    # Of `cached_property`, `lru_cache` and `singledispatch`.
    "func",
    "attrname",
    "lock",
    "cache_parameters",
    "registry",
    "dispatch",
    "register",
    "_clear_cache",
}
"""Attributes that a wrapper of the standard library has when it is made."""
_OF_FUNCTIONS = ("__module__", "__name__", "__qualname__", "__doc__")
"""Attributes that a wrapper has from its function."""


def _more(value: Any, inner: Any, shipment: Shipment) -> dict[str, Any] | None:
    """Returns the attributes of a wrapper of a function that were set after it was made, or None."""
    found = {name: part for name, part in vars(value).items() if name not in _OF_WRAPPERS and name not in _OF_FUNCTIONS}
    for name in _OF_FUNCTIONS:
        if name in vars(value) or isinstance(value, types.FunctionType):
            part = getattr(value, name)
            if part != getattr(inner, name, None):
                found[name] = part
    return {name: shipment.part(part, f"its attribute `{name}`") for name, part in found.items()} or None


def _is_singledispatch(value: types.FunctionType) -> bool:
    return value.__globals__ is vars(functools) and {"registry", "dispatch", "register"} <= vars(value).keys()


def _singledispatch(value: Any, shipment: Shipment) -> Any:
    registry = dict(value.registry)
    first = shipment.part(registry.pop(object), "its default function")
    more = [
        [
            shipment.part(cls, "a type that it dispatches on"),
            shipment.part(function, f"its function for {cls.__name__}"),
        ]
        for cls, function in registry.items()
    ]
    return {"$singledispatch": [first, more, _more(value, value.__wrapped__, shipment) or {}]}


def _method(value: types.MethodType, shipment: Shipment) -> Any:
    make, owner = named("types", "MethodType"), value.__self__
    return call(make, shipment.part(value.__func__, "its function"), shipment.part(owner, "the object of the method"))


def _builtin_method(value: Any, shipment: Shipment) -> Any | None:
    owner = value.__self__
    if owner is None or isinstance(owner, type | types.ModuleType):
        return None
    return call(named("builtins", "getattr"), shipment.part(owner, "the object of the method"), value.__name__)


def _type_variable(value: typing.TypeVar, shipment: Shipment) -> Any:
    keys = {"bound": value.__bound__, "covariant": value.__covariant__, "contravariant": value.__contravariant__}
    known = {key: shipment.part(part, "its bound") for key, part in keys.items() if part}
    constraints = [shipment.part(part, "its constraints") for part in value.__constraints__]
    return {"$type-variable": [value.__name__, constraints, known]}


def _new_type(value: Any, shipment: Shipment) -> Any:
    state = {"__module__": value.__module__, "__qualname__": value.__qualname__}
    return call(named("typing", "NewType"), value.__name__, shipment.part(value.__supertype__, "its type"), state=state)


def _singledispatch_method(value: Any, shipment: Shipment) -> Any:
    state = {"dispatcher": shipment.part(value.dispatcher, "its dispatcher")}
    return call(named("functools", "singledispatchmethod"), shipment.part(value.func, "its function"), state=state)


def _slot(value: types.MemberDescriptorType, shipment: Shipment) -> Any | None:
    if (
        not isinstance(value, types.MemberDescriptorType)
        or shipment.origin(value.__objclass__.__module__) is not Origin.OWN
    ):
        return None
    return {"$slot": [shipment.part(value.__objclass__, "its class"), value.__name__]}


def _partial_method(value: functools.partialmethod[Any], shipment: Shipment) -> Any:
    make = functools.partial(functools.partialmethod, value.func, *value.args, **value.keywords)
    return call(shipment.part(make, "its function and arguments"))


def _context_manager(value: Any, shipment: Shipment) -> Any | None:
    """Encodes what a function with `@contextmanager` returns: it is made again from its arguments, since its generator
    has not started."""
    if inspect.getgeneratorstate(value.gen) != inspect.GEN_CREATED:
        return None
    args = shipment.part(value.args, "its arguments")
    return call(
        named("contextlib", type(value).__name__),
        shipment.part(value.func, "its function"),
        args,
        shipment.part(value.kwds, "its arguments"),
    )


def _proxy(value: Any, shipment: Shipment) -> Any:
    # The dict itself, which may have other names.
    (inner,) = gc.get_referents(value)
    return call(named("types", "MappingProxyType"), shipment.part(inner, "its dict"))


def _forward_reference(value: Any, shipment: Shipment) -> Any:
    return call(named("typing", "ForwardRef"), value.__forward_arg__)


def _exception(value: BaseException, shipment: Shipment) -> Any:
    state = {name: shipment.part(part, f"its attribute `{name}`") for name, part in vars(value).items()}
    more = {name: getattr(value, name) for name in EXCEPTION_NAMES if isinstance(getattr(value, name, None), str)}
    args = [shipment.part(part, "its arguments") for part in value.args]
    chain = [
        None if link is None else shipment.part(link, "an exception that it follows")
        for link in (value.__cause__, value.__context__)
    ]
    kind = shipment.part(type(value), "its class")
    return {"$exception": [kind, args, state, more, [*chain, value.__suppress_context__]]}


def _bound_dispatcher(value: types.FunctionType, shipment: Shipment) -> Any:
    """Encodes a bound method of a `singledispatchmethod`, which is a closure of `functools`."""
    free = dict(zip(value.__code__.co_freevars, value.__closure__ or (), strict=True))
    owners = [free[name].cell_contents for name in ("obj", "cls") if name in free]
    owner = next(owner for owner in owners if owner is not None)
    return call(named("builtins", "getattr"), shipment.part(owner, "the object of the method"), value.__name__)


_RULES: dict[type, Callable[[Any, Shipment], Any]] = {
    property: _property,
    staticmethod: _method_kind,
    classmethod: _method_kind,
    functools.cached_property: _cached_property,
    _LRU: _lru_cache,
    types.MethodType: _method,
    types.BuiltinMethodType: _builtin_method,
    types.MappingProxyType: _proxy,
    functools.partialmethod: _partial_method,
    contextlib._GeneratorContextManager: _context_manager,
    typing.TypeVar: _type_variable,
    typing.ForwardRef: _forward_reference,
    typing.NewType: _new_type,
    functools.singledispatchmethod: _singledispatch_method,
    types.MemberDescriptorType: _slot,
}


def reduced(value: Any, shipment: Shipment) -> Any:
    """Encodes an object of an imported class by its pickle reduction.

    Raises:
        NotShippable: if it has none, or is of the user's own class.
    """
    cls = type(value)
    if importable.json(cls, None, shipment) is None and (
        shipment.origin(cls.__module__) is not Origin.IMPORTED or is_made_at_run_time(cls)
    ):
        raise refuse.unknown(value)
    try:
        special = copyreg.dispatch_table.get(cls)
        with warnings.catch_warnings():
            # The state of iterators of itertools cannot be read any more with Python 3.14.
            warnings.simplefilter("ignore", DeprecationWarning)
            made: Any = special(value) if special else value.__reduce_ex__(2)
    except Exception:
        raise refuse.unknown(value) from None
    if isinstance(made, str) or any(part is not None for part in made[3:]):
        raise refuse.unknown(value)
    function, args, state = made[0], made[1], made[2] if len(made) > 2 else None
    part = shipment.encoder.json
    return call(part(function), *map(part, args), state=None if state is None else part(state))
