"""Describes classes: what the sandbox needs to make a class with the same attributes.

A class is made in two steps, so that classes, functions and values may refer to each other: first the class with its
bases and no attributes, then its attributes. Nothing that the user's class body, decorators, metaclass or
`__init_subclass__` did runs again; what they left in the class is sent.
"""

from __future__ import annotations

import abc
import collections.abc
import contextlib
import dataclasses
import enum
import functools
import io
import numbers
import os
import sys
import types
import typing
import weakref
from typing import TYPE_CHECKING, Any

from .errors import NotShippable
from .modules import Origin

if TYPE_CHECKING:
    from .ship import Shipment

_HEAP_TYPE = 1 << 9
"""The flag `Py_TPFLAGS_HEAPTYPE`: a class that was made at run time."""
_SKIPPED = {
    "__dict__",
    "__weakref__",
    "__module__",
    "__qualname__",
    "__name__",
    "__slots__",
    "__orig_bases__",
    "__parameters__",
    "__annotations__",
    "__annotations_cache__",
    "__annotate__",
    "__annotate_func__",
    "__firstlineno__",
    "__static_attributes__",
    "__abstractmethods__",
    "_abc_impl",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__type_params__",
}
"""Attributes that the sandbox makes itself."""
_ENUM_SKIPPED = {
    "__new__",
    "__new_member__",
    "_new_member_",
    "_use_args_",
    "_member_names_",
    "_member_map_",
    "_value2member_map_",
    "_unhashable_values_",
    "_unhashable_values_map_",
    "_hashable_values_",
    "_member_type_",
    "_value_repr_",
    "_flag_mask_",
    "_all_bits_",
    "_singles_mask_",
    "_inverted_",
    "_boundary_",
    "_generate_next_value_",
}
_NAMEDTUPLE_SKIPPED = {
    "__slots__",
    "__new__",
    "__replace__",
    "__getnewargs__",
    "__match_args__",
    "_fields",
    "_field_defaults",
    "_make",
    "_replace",
    "_asdict",
}


def define(number: int, cls: type, shipment: Shipment) -> None:
    """Adds the definition of a class to a shipment, and the work that adds its attributes.

    Raises:
        NotShippable: if it cannot be sent.
    """
    if not is_unnamed(cls) and not _is_own(cls, shipment):
        raise NotShippable(
            f"the class {cls.__qualname__} of {cls.__module__} cannot be imported by name",
            "make it inside the function",
        )
    named = [cls.__name__, cls.__qualname__, cls.__module__]
    if _is_own(cls, shipment):
        shipment.space(cls.__module__)
    skipped = set(_SKIPPED)
    if isinstance(cls, enum.EnumMeta):
        skipped |= _ENUM_SKIPPED | cls.__members__.keys()
        _define_enum(number, cls, named, shipment)
    elif _is_namedtuple(cls):
        skipped |= _NAMEDTUPLE_SKIPPED | set(cls._fields)  # type: ignore[attr-defined]
        fields = list(cls._fields)  # type: ignore[attr-defined]
        defaults = list(cls._field_defaults.values())  # type: ignore[attr-defined]
        parts = [shipment.part(value, "its default values") for value in defaults]
        shipment.add(number, "namedtuple", *named, fields, parts)
    elif typing.is_typeddict(cls):
        keys: list[Any] = [sorted(getattr(cls, f"__{kind}_keys__")) for kind in ("required", "optional")]
        keys.append(bool(getattr(cls, "__total__", True)))
        shipment.add(number, "typeddict", *named, _annotations(cls, shipment), *keys)
        shipment.fill_class(number, cls, dict)
        return
    else:
        _define_plain(number, cls, named, shipment)
    shipment.fill_class(number, cls, lambda: _state(cls, skipped, shipment))


def is_unnamed(cls: type) -> bool:
    """Returns True for a class made in Python that its module does not have, such as one made by a call of
    `make_dataclass`, whose module is `types`."""
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    kinds = types.MethodDescriptorType | types.WrapperDescriptorType
    of_c = any(isinstance(value, kinds) and value.__objclass__ is cls for value in vars(cls).values())
    return found is not cls and is_made_at_run_time(cls) and not of_c


def is_made_at_run_time(cls: type) -> bool:
    """Returns True for a class that was not compiled into the interpreter."""
    return bool(cls.__flags__ & _HEAP_TYPE)


def _define_plain(number: int, cls: type, named: list[str], shipment: Shipment) -> None:
    meta = type(cls)
    space: dict[str, Any] = {}
    for name in ("__slots__", "__orig_bases__"):
        if name in vars(cls):
            value = vars(cls)[name]
            if not isinstance(value, str | list | tuple | dict):
                # An iterator has been used up.
                value = tuple(one.__name__ for one in vars(cls).values() if _is_slot_of(one, cls))
            space[name] = shipment.part(value, f"its `{name}`")
    bases = [shipment.part(base, f"its base {base.__qualname__}") for base in cls.__bases__]
    shipment.add(number, "class", *named, shipment.part(meta, "its metaclass"), bases, space)


def _is_slot_of(value: Any, cls: type) -> bool:
    return isinstance(value, types.MemberDescriptorType) and value.__objclass__ is cls


def _deleted_slots(cls: type) -> list[str]:
    slots = vars(cls).get("__slots__", ())
    slots = (slots,) if isinstance(slots, str) else slots
    if not isinstance(slots, list | tuple | dict):
        return []
    prefix = f"_{cls.__name__.lstrip('_')}"
    names = [f"{prefix}{name}" if name.startswith("__") and not name.endswith("__") else name for name in slots]
    return [name for name in names if name not in vars(cls) and name not in ("__dict__", "__weakref__")]


def _define_enum(number: int, cls: enum.EnumMeta, named: list[str], shipment: Shipment) -> None:
    mixed_in = getattr(cls, "_member_type_", object)
    if mixed_in is not object and any("__new__" in vars(base) and _is_own(base, shipment) for base in cls.__mro__):
        own = getattr(cls, "_new_member_", None)
        home = own.__globals__.get("__name__") if isinstance(own, types.FunctionType) else None
        if isinstance(home, str) and shipment.origin(home) is Origin.OWN:
            raise NotShippable(
                f"an Enum with the type {mixed_in.__name__} and its own `__new__` cannot be sent",
                "use `__init__`, or set attributes after the definition",
            )
    bases = [shipment.part(base, f"its base {base.__qualname__}") for base in cls.__bases__]
    members = [[name, shipment.part(member._value_, f"the value of {name}")] for name, member in _members(cls)]
    boundary = getattr(cls, "_boundary_", None)
    meta = shipment.part(type(cls), "its metaclass")
    shipment.add(number, "enum", *named, meta, bases, members, boundary.name if boundary is not None else None)


def _is_own(cls: type, shipment: Shipment) -> bool:
    return shipment.origin(cls.__module__) is Origin.OWN


def _is_namedtuple(cls: type) -> bool:
    return cls.__bases__ == (tuple,) and "_fields" in vars(cls) and "_field_defaults" in vars(cls)


def _state(cls: type, skipped: set[str], shipment: Shipment) -> dict[str, Any]:
    """Returns the attributes of a class."""
    attributes: dict[str, Any] = {}
    is_dataclass = "__dataclass_fields__" in vars(cls)
    for name in ("__class__", "__dict__"):
        if not isinstance(vars(cls).get(name, None), types.GetSetDescriptorType | None):
            raise NotShippable(f"a class with an attribute `{name}` of its own cannot be sent", "use another name")
    for name, value in vars(cls).items():
        if name in skipped or isinstance(value, types.GetSetDescriptorType):
            continue
        if _is_slot_of(value, cls) and value.__name__ == name:
            continue
        if (is_dataclass and _is_of_dataclass(value)) or _is_of_library(value, cls):
            continue
        if name == "__doc__" and value is None:
            continue
        what = "attribute" if not callable(value) else "method"
        attributes[name] = shipment.part(value, f"its {what} `{name}`")
    state: dict[str, Any] = {"attributes": attributes}
    deleted = _deleted_slots(cls)
    if deleted:
        state["deleted"] = deleted
    if isinstance(cls, abc.ABCMeta):
        state["abstract"] = sorted(getattr(cls, "__abstractmethods__", ()))
    annotations = {} if isinstance(cls, enum.EnumMeta) else _annotations(cls, shipment)
    if annotations:
        state["annotations"] = annotations
    if is_dataclass:
        state["dataclass"] = _dataclass(cls, shipment)
    if isinstance(cls, enum.EnumMeta):
        state["members"] = _member_state(cls, shipment)
        # The sandbox's version of `enum` may add these.
        added = ("__repr__", "__str__", "__format__", "__reduce_ex__")
        state["absent"] = [name for name in added if name not in vars(cls)]
    if isinstance(cls, abc.ABCMeta):
        registered = _registered(cls)
        if registered:
            state["registered"] = [shipment.part(one, "a class registered with it") for one in registered]
    homes = _library_homes(cls)
    if homes:
        state["registered with"] = [{"$from": [one.__module__, one.__name__]} for one in homes]
    return state


def _is_of_dataclass(value: Any) -> bool:
    """Returns True for a method that `dataclass` made."""
    value = getattr(value, "__wrapped__", value)
    return isinstance(value, types.FunctionType) and value.__code__.co_filename == "<string>"


def _is_of_library(value: Any, cls: type) -> bool:
    """Returns True for a method that `typing` or `collections` made for a protocol or a named tuple."""
    value = getattr(value, "__func__", value)
    if not isinstance(value, types.FunctionType):
        return False
    home = str(value.__globals__.get("__name__"))
    if _is_namedtuple(cls):
        return home == "collections" or home.startswith("namedtuple_")
    return home == "typing"


def _annotations(cls: type, shipment: Shipment) -> dict[str, Any]:
    """Returns the annotations whose types are available in the sandbox."""
    found = vars(cls).get("__annotations__")
    if not isinstance(found, dict):
        return {}
    json = {name: shipment.annotation(value) for name, value in found.items()}
    return {name: value for name, value in json.items() if value is not None}


def _dataclass(cls: type, shipment: Shipment) -> Any:
    """Describes what `dataclass` needs to make the same methods."""
    parameters = vars(cls)["__dataclass_params__"]
    kept = ("init", "repr", "eq", "order", "unsafe_hash", "frozen")
    fields = [_field(one, shipment) for one in vars(cls)["__dataclass_fields__"].values()]
    made = [name for name, value in vars(cls).items() if _is_of_dataclass(value)]
    init = vars(cls).get("__init__")
    has_post_init = _is_of_dataclass(init) and "__post_init__" in init.__code__.co_names  # type: ignore[union-attr]
    return [{name: bool(getattr(parameters, name)) for name in kept}, has_post_init, fields, made]


def _field(field: Any, shipment: Shipment) -> Any:
    kind = field._field_type.name if hasattr(field._field_type, "name") else ""
    keys: dict[str, Any] = {name: getattr(field, name) for name in ("init", "repr", "hash", "compare")}
    if isinstance(getattr(field, "kw_only", None), bool):
        keys["kw_only"] = field.kw_only
    for name in ("default", "default_factory"):
        value = getattr(field, name)
        if value is not dataclasses.MISSING:
            keys[name] = shipment.part(value, f"the {name} of its field `{field.name}`")
    if field.metadata:
        keys["metadata"] = shipment.part(dict(field.metadata), f"the metadata of its field `{field.name}`")
    type_ = field.type.type if isinstance(field.type, dataclasses.InitVar) else field.type
    return [field.name, kind, shipment.annotation(type_), keys]


def _members(cls: enum.EnumMeta) -> list[tuple[str, Any]]:
    return list(cls.__members__.items())


def _member_state(cls: enum.EnumMeta, shipment: Shipment) -> dict[str, Any]:
    """Returns attributes of members that their `__init__` or `__new__` set."""
    usual = {"_value_", "_name_", "__objclass__", "_sort_order_"}
    state = {}
    for name, member in _members(cls):
        more = {key: value for key, value in vars(member).items() if key not in usual}
        if more and member.name == name:
            state[name] = {key: shipment.part(value, f"{name}.{key}") for key, value in more.items()}
    return state


def _registered(cls: type) -> list[type]:
    """Returns the classes that were registered with an abstract class."""
    found = [one for one in (known() for known in _registry(cls)) if one is not None]
    return sorted(found, key=lambda one: (one.__module__, one.__qualname__))


def _registry(cls: type) -> set[weakref.ref[type]]:
    try:
        import _abc  # type: ignore[import-not-found]
    except ImportError:
        # Another implementation of Python.
        return set()
    found: set[weakref.ref[type]] = _abc._get_dump(cls)[0]
    return found


def _library_homes(cls: type) -> list[type]:
    """Returns the abstract classes of the standard library that a class was registered with."""
    # The token changes with each registration.
    known = _library_registries(abc.get_cache_token())
    return [home for home, registered in known if any(one() is cls for one in registered)]


@functools.lru_cache(maxsize=1)
def _library_registries(token: object) -> list[tuple[type, set[weakref.ref[type]]]]:
    """Returns the abstract classes of the standard library with the classes registered with them."""
    found: list[tuple[type, set[weakref.ref[type]]]] = []
    for module in (collections.abc, contextlib, io, numbers, os):
        for name, value in sorted(vars(module).items()):
            if isinstance(value, abc.ABCMeta) and value.__module__ == module.__name__ and value.__name__ == name:
                found.append((value, _registry(value)))
    return found
