"""Reads JSON into the models and checks every type, since a server's bytes are untrusted.

Unknown keys are ignored, so that an older client works with a newer server.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")

#: Maximum depth of JSON; no response of this API is deeper.
_DEPTH = 32


class Mismatch(ValueError):
    """JSON that does not match the model. The message names the location."""


@functools.cache
def fields_of(model: type[Any]) -> tuple[tuple[str, str, Any, bool], ...]:
    """Returns a model's fields: the name in Python, the name in JSON, the type, and True if required."""
    hints = typing.get_type_hints(model)
    found = []
    for field in dataclasses.fields(model):
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        found.append((field.name, field.metadata.get("json", field.name), hints[field.name], needed))
    return tuple(found)


def read(model: type[T], value: object, at: str = "$") -> T:
    """Reads one value of a model.

    Raises:
        Mismatch: with the path of the wrong value.
    """
    return typing.cast(T, _read(model, value, at, 0))


def _read(kind: Any, value: object, at: str, depth: int) -> object:
    if depth > _DEPTH:
        raise Mismatch(f"{at}: nested too deeply")
    if kind is Any or kind is object:
        return value
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise _not(at, "an object", value)
        given: dict[str, object] = {}
        for name, key, inner, needed in fields_of(typing.cast(type, kind)):
            if key in value:
                given[name] = _read(inner, value[key], f"{at}.{key}", depth + 1)
            elif needed:
                raise Mismatch(f"{at}.{key}: missing")
        return typing.cast(type, kind)(**given)
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        (inner,) = (arg for arg in typing.get_args(kind) if arg is not type(None))
        return _read(inner, value, at, depth + 1)
    if origin is tuple:
        if not isinstance(value, list):
            raise _not(at, "a list", value)
        inner = typing.get_args(kind)[0]
        return tuple(_read(inner, item, f"{at}[{i}]", depth + 1) for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _not(at, "an object", value)
        inner = typing.get_args(kind)[1]
        return {str(key): _read(inner, item, f"{at}.{key}", depth + 1) for key, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # A bool is an int in Python, but not in JSON.
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise _not(at, kind.__name__, value)


def _not(at: str, wanted: str, value: object) -> Mismatch:
    return Mismatch(f"{at}: expected {wanted}, not {type(value).__name__}")
