"""Makes classes and gives them the attributes that they have in the client, without running the user's class bodies,
decorators, metaclasses or `__init_subclass__`."""

import abc
import collections
import dataclasses
import enum
import typing
from collections.abc import Callable
from typing import Any

_Value = Callable[[Any], Any]


def plain(name: str, qualname: str, module: str, meta: type, bases: list[Any], space: dict[str, Any]) -> type:
    """Makes a class without attributes. Metaclasses and bases of the user have none yet either."""
    space = {**space, "__module__": module, "__qualname__": qualname}
    return meta(name, tuple(bases), space)


def enumeration(
    name: str, qualname: str, module: str, meta: type, bases: list[Any], members: list[Any], boundary: str | None
) -> type:
    """Makes an enumeration with its members."""
    space = meta.__prepare__(name, tuple(bases))
    space["__module__"], space["__qualname__"] = module, qualname
    for member, value in members:
        # A function is a member too if it is marked.
        space[member] = enum.member(value)
    more = {} if boundary is None else {"boundary": enum.FlagBoundary[boundary]}
    return meta(name, tuple(bases), space, **more)


def named_tuple(name: str, qualname: str, module: str, fields: list[str], defaults: list[Any]) -> type:
    """Makes a named tuple."""
    made = collections.namedtuple(name, fields, rename=True, defaults=defaults, module=module)
    made.__qualname__ = qualname
    return made


def typed_dict(
    name: str,
    qualname: str,
    module: str,
    annotations: dict[str, Any],
    required: list[str],
    optional: list[str],
    total: bool,
) -> type:
    """Makes a typed dict."""
    made = typing.TypedDict(name, annotations)
    made.__qualname__, made.__module__ = qualname, module
    made.__total__ = total
    made.__required_keys__, made.__optional_keys__ = frozenset(required), frozenset(optional)
    return made


def settle(cls: type) -> None:
    """Finishes a class once all classes have their attributes."""
    if isinstance(cls, enum.EnumMeta):
        _find_members_by_value(cls)
    if type(cls).mro is not type.mro:
        # The metaclass had no `mro` when the class was made.
        cls.__bases__ = cls.__bases__


def _find_members_by_value(cls: Any) -> None:
    """Makes the index of members again: values hash with the methods of their classes."""
    found, rest = {}, []
    for member in cls.__members__.values():
        try:
            found.setdefault(member._value_, member)
        except TypeError:
            rest.append(member._value_)
    cls._value2member_map_.clear()
    cls._value2member_map_.update(found)
    cls._unhashable_values_[:] = rest


def fill(cls: type, state: dict[str, Any], value: _Value) -> None:
    """Sets the attributes of a class."""
    if "annotations" in state:
        type.__setattr__(cls, "__annotations__", {name: value(one) for name, one in state["annotations"].items()})
    if "dataclass" in state:
        _make_dataclass(cls, state["dataclass"], value)
    for name, one in state.get("attributes", {}).items():
        type.__setattr__(cls, name, value(one))
    for name, attributes in state.get("members", {}).items():
        vars(cls.__members__[name]).update({key: value(one) for key, one in attributes.items()})
    for name in state.get("deleted", ()):
        type.__delattr__(cls, name)
    for name in state.get("absent", ()):
        if name in vars(cls):
            type.__delattr__(cls, name)
    if "abstract" in state:
        type.__setattr__(cls, "__abstractmethods__", frozenset(state["abstract"]))
    if isinstance(cls, type(typing.Protocol)) and vars(cls).get("_is_protocol"):
        members = typing._get_protocol_attrs(cls)
        type.__setattr__(cls, "__protocol_attrs__", members)
        if vars(cls).get("_is_runtime_protocol"):
            uncallable = {name for name in members if not callable(getattr(cls, name, None))}
            type.__setattr__(cls, "__non_callable_proto_members__", uncallable)
    for one in state.get("registered", ()):
        abc.ABCMeta.register(cls, value(one))
    for one in state.get("registered with", ()):
        value(one).register(cls)


_KINDS = {"_FIELD_CLASSVAR": lambda type_: typing.ClassVar[type_], "_FIELD_INITVAR": dataclasses.InitVar}


def _make_dataclass(cls: type, given: Any, value: _Value) -> None:
    """Gives a class the methods that `dataclass` makes, all fields of its bases included."""
    parameters, has_post_init, fields, methods = given
    space: dict[str, Any] = {"__annotations__": {}}
    if has_post_init:
        space["__post_init__"] = lambda self: None
    for name, kind, type_, keys in fields:
        known = object if type_ is None else value(type_)
        space["__annotations__"][name] = _KINDS.get(kind, lambda type_: type_)(known)
        decoded = {
            key: value(one) if key in ("default", "default_factory", "metadata") else one for key, one in keys.items()
        }
        if kind != "_FIELD_CLASSVAR":
            space[name] = _field(decoded)
        elif "default" in decoded:
            space[name] = decoded["default"]
    draft = dataclasses.dataclass(**parameters, match_args=False)(type(cls.__name__, (), space))
    for name, _, type_, _ in fields:
        if type_ is not None:
            _annotate(draft, name, value(type_))
    for name in methods:
        _point(vars(draft)[name], draft, cls)
    for name in [*methods, "__dataclass_fields__", "__dataclass_params__"]:
        type.__setattr__(cls, name, vars(draft)[name])


def _annotate(draft: Any, name: str, type_: Any) -> None:
    """Sets the type of a field to that of the client, which may be a text such as `InitVar[int]`."""
    field = draft.__dataclass_fields__[name]
    if isinstance(type_, str):
        field.type = type_
        annotations = getattr(draft.__init__, "__annotations__", {})
        if name in annotations:
            annotations[name] = type_


def _field(keys: dict[str, Any]) -> Any:
    default = keys.pop("default", dataclasses.MISSING)
    made = dataclasses.field(**keys)
    # `dataclass` refuses a mutable default value, which is for the user's Python to decide.
    made.default = default
    return made


def _point(function: Any, draft: type, cls: type) -> None:
    """Replaces the draft by the class in the variables of a method."""
    while function is not None:
        for cell in function.__closure__ or ():
            if cell.cell_contents is draft:
                cell.cell_contents = cls
        function.__qualname__ = f"{cls.__qualname__}.{function.__name__}"
        function = getattr(function, "__wrapped__", None)
