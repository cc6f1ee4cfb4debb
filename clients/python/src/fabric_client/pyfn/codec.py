"""Encodes Python values as JSON text and decodes them, for both directions between the client and the sandbox.

This file runs on both sides and needs only the standard library. None, bool, int, finite float, str, list and dict
with plain str keys are plain JSON; every other type is an object with one key that begins with ``$``:

=====================  ========================================  =====================================
tag                    content                                   type
=====================  ========================================  =====================================
``$float``             ``"nan"``, ``"inf"``, ``"-inf"``          float
``$int``               hexadecimal text                          int of more than 1,000 bits
``$complex``           two floats                                complex
``$bytes``             base64 text                               bytes
``$bytearray``         base64 text                               bytearray
``$tuple``             items                                     tuple
``$set``, ``$frozenset``  items, ordered by their text           set, frozenset
``$dict``              pairs                                     dict with any other keys
``$odict``, ``$counter``  pairs                                  OrderedDict, Counter
``$defaultdict``       name of the factory or null, pairs        defaultdict of a built-in type
``$deque``             maxlen or null, items                     deque
``$range``             start, stop, step                         range
``$datetime``          text, fold, offset in µs, its name        datetime
``$date``              text                                      date
``$time``              text, fold, offset in µs, its name        time
``$timedelta``         days, seconds, microseconds               timedelta
``$decimal``           text                                      Decimal
``$fraction``          numerator, denominator                    Fraction
``$uuid``              hexadecimal text                          UUID
``$array``             type code, base64 of little-endian values  array.array
``$records``           columns, their values                     list of dicts, one for each row
``$type``              its name                                  a built-in type, or a class beside the function
``$object``            class, attributes                         a class beside the function
``$namedtuple``        class, items                              a namedtuple beside the function
``$enum``              class, member's name                      an Enum beside the function
=====================  ========================================  =====================================

Equal values have equal text, since the text is part of the key of a cached result.

Input is untrusted. Names in the input are looked up only in the caller's table of classes, no constructor or other code
of these classes runs, and size, depth and hash collisions are bounded.
"""

from __future__ import annotations

import array
import base64
import builtins
import collections
import datetime as dt
import decimal
import enum
import fractions
import json
import math
import operator
import sys
import types
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

MAX_DEPTH = 200
"""Maximum depth of nested containers."""
MAX_BYTES = 64 << 20
"""Maximum size of a text, in bytes: the default limit of a result. It may need about 30 times as much memory."""
MAX_COLLISIONS = 1000
"""Maximum number of keys of one set or dict that share their hash with another key."""
MAX_FRACTION_BITS = 1 << 17
"""Maximum bits of a fraction's numerator and denominator, since reducing it takes quadratic time."""
_PLAIN_BITS = 1000
_PLAIN_MOST = 2**_PLAIN_BITS - 1
_ARRAY_CODES = set("bBhHiIqQfd")
"""Type codes of arrays with the same size on every system."""

EXCEPTION_NAMES = ("filename", "filename2", "name", "path")
"""Attributes of built-in exceptions that are text and not among their arguments."""

_is_tag = operator.methodcaller("startswith", "$")

_FACTORIES: dict[str, type] = {t.__name__: t for t in (bool, bytes, dict, float, int, list, set, str, tuple)}
_ATOMS = {type(None), bool, str}
_NUMBERS = _ATOMS | {int, float}
_LEAST_RECORDS = 8
"""Minimum number of dicts that are sent as columns."""


class CodecError(ValueError):
    """A value that cannot be encoded, or text that cannot be decoded. ``hint`` names an alternative, if any."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UnknownClass(CodecError):
    """An instance of a class that is not among the allowed ones."""


class Encoder:
    """Converts values to input of :func:`json.dumps`.

    ``class_name`` returns the name of an instance's class, or None if the other side does not know the class. ``other``
    handles values without a rule: it returns their JSON or raises :class:`CodecError`.
    """

    def __init__(
        self,
        class_name: Callable[[type], str | None] = lambda cls: None,
        other: Callable[[Any], Any] | None = None,
    ) -> None:
        self.class_name = class_name
        self._other = other

    def text(self, value: Any) -> str:
        """Returns the JSON text of a value, in ASCII.

        Raises :class:`CodecError` if the value cannot be encoded.
        """
        return dumps(self.json(value))

    def json(self, value: Any, depth: int = 0) -> Any:
        """Returns the JSON of a value at nesting depth ``depth``."""
        rule = _RULES.get(type(value))
        if rule is not None:
            if depth > MAX_DEPTH:
                raise CodecError(
                    f"the value is nested deeper than {MAX_DEPTH} levels, or contains itself", "flatten it"
                )
            return rule(self, value, depth + 1)
        return self._instance(value, depth + 1)

    def _instance(self, value: Any, depth: int) -> Any:
        cls = type(value)
        if depth > MAX_DEPTH:
            raise CodecError(f"the value is nested deeper than {MAX_DEPTH} levels, or contains itself", "flatten it")
        is_enum = issubclass(cls, enum.Enum)
        is_named = issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)
        is_plain = cls.__module__ != "builtins" and not issubclass(cls, type) and _is_plain_instance(cls)
        name = self.class_name(cls) if is_enum or is_named or is_plain else None
        if name is None:
            return self._rest(value)
        if is_enum:
            if value.name is None or cls.__members__.get(value.name) is not value:
                return self.flags(value)
            return {"$enum": [name, value.name]}
        if is_named:
            if getattr(value, "__dict__", None):
                raise CodecError("a named tuple with further attributes cannot be sent", "use a dataclass")
            return {"$namedtuple": [name, self._items(value, depth)]}
        attributes = self.attributes(value)
        if not all(type(key) is str for key in attributes):
            raise CodecError("an object has an attribute whose name is no text", "keep such values in a dict")
        return {"$object": [name, {k: self.json(v, depth) for k, v in attributes.items()}]}

    def factory(self, value: Any) -> Any:
        """Returns the JSON of the factory of a defaultdict, if it is no built-in type."""
        raise CodecError("a defaultdict with a custom factory cannot be sent", "send dict(value)")

    def flags(self, value: Any) -> Any:
        """Returns the JSON of a combination of flags."""
        raise CodecError(f"{value!r} is a combination of flags", "send the members, or their value")

    def attributes(self, value: Any) -> dict[Any, Any]:
        """Returns the attributes of an instance to encode."""
        found = _attributes(value)
        # The arguments of a generic class.
        found.pop("__orig_class__", None)
        return found

    def _rest(self, value: Any) -> Any:
        if self._other is not None:
            return self._other(value)
        cls = type(value)
        if isinstance(value, type):
            built_in = getattr(builtins, value.__name__, None) is value
            name = value.__name__ if built_in else self.class_name(value)
            if name is not None:
                return {"$type": name}
        raise CodecError(
            f"a value of type {cls.__module__}.{cls.__qualname__} cannot be sent",
            "convert it to numbers, text, bytes, lists, dicts or a dataclass of the function's module",
        )

    def _items(self, values: Iterable[Any], depth: int) -> list[Any]:
        items = list(values)
        if _are_plain(items):
            return items
        json_of = self.json
        return [json_of(v, depth) for v in items]

    def _list(self, items: list[Any], depth: int) -> Any:
        names = self.columns(items)
        if not names:
            return self._items(items, depth)
        columns = zip(*(row.values() for row in items), strict=True)
        return {"$records": [names, [self._items(column, depth) for column in columns]]}

    def columns(self, items: list[Any]) -> list[str]:
        """Returns the keys of dicts that are sent as columns: at least a few dicts with the same keys, which are text.
        Returns an empty list for anything else."""
        if len(items) < _LEAST_RECORDS or set(map(type, items)) != {dict}:
            return []
        names = list(items[0])
        same = all(list(row) == names for row in items) and set(map(type, names)) <= {str}
        return names if same else []

    def _sorted(self, values: Iterable[Any], depth: int) -> list[Any]:
        return sorted(self._items(values, depth), key=dumps)

    def _pairs(self, value: Mapping[Any, Any], depth: int) -> list[Any]:
        return [[self.json(k, depth), self.json(v, depth)] for k, v in value.items()]

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        if set(map(type, value)) <= {str} and not any(map(_is_tag, value)):
            if _are_plain(value.values()):
                return value
            json_of = self.json
            return {k: json_of(v, depth) for k, v in value.items()}
        return {"$dict": self._pairs(value, depth)}

    def _defaultdict(self, value: collections.defaultdict[Any, Any], depth: int) -> Any:
        factory = value.default_factory
        name = None if factory is None else getattr(factory, "__name__", "")
        if name is not None and _FACTORIES.get(name) is not factory:
            name = self.factory(factory)
        return {"$defaultdict": [name, self._pairs(value, depth)]}


def _are_plain(values: Collection[Any]) -> bool:
    """Returns True for values that are their own JSON. This check is much faster than a call for each of many."""
    kinds = set(map(type, values))
    if kinds <= _ATOMS:
        return True
    if str in kinds or not kinds <= _NUMBERS:
        return False
    # Without None, and zeros, which are plain.
    numbers = [*filter(None, values)] if type(None) in kinds else values
    if int in kinds and numbers and not (min(numbers) >= -_PLAIN_MOST and max(numbers) <= _PLAIN_MOST):
        return False
    return float not in kinds or all(map(math.isfinite, numbers))


def _attributes(value: Any) -> dict[Any, Any]:
    """Returns the attributes of an instance: its ``__dict__`` and the slots of its classes."""
    try:
        # No `__getattr__` of the class runs.
        found = dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        found = {}
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name in ("__dict__", "__weakref__"):
                continue
            private = name.startswith("__") and not name.endswith("__")
            kept = f"_{cls.__name__.lstrip('_')}{name}" if private else name
            slot = cls.__dict__.get(kept)
            if type(slot) is types.MemberDescriptorType:
                try:
                    found[kept] = slot.__get__(value)
                except AttributeError:
                    continue
    return found


def _is_plain_instance(cls: type) -> bool:
    """Returns True if instances consist of their attributes only: no built-in base type and no ``__new__``."""
    return getattr(cls, "__new__", None) is object.__new__


def _restore(made: Any, name: str, value: Any) -> None:
    """Sets an attribute in its slot or ``__dict__``, so that no property runs."""
    for cls in type(made).__mro__:
        slot = cls.__dict__.get(name)
        if type(slot) is types.MemberDescriptorType:
            slot.__set__(made, value)
            return
    object.__getattribute__(made, "__dict__")[name] = value


def _zone(value: dt.datetime | dt.time) -> list[Any]:
    zone = value.tzinfo
    if zone is None:
        return [None, None]
    if type(zone) is not dt.timezone:
        raise CodecError(
            f"a time in the zone {zone!s} cannot be sent: the sandbox has no time zone data",
            "send value.astimezone(datetime.timezone.utc)",
        )
    offset = zone.utcoffset(None)
    name = None if zone == dt.timezone.utc or zone.tzname(None).startswith("UTC") else zone.tzname(None)
    return [offset // dt.timedelta(microseconds=1), name]


def _b64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode("ascii")


def _int(_e: Encoder, v: int, _d: int) -> Any:
    return v if v.bit_length() <= _PLAIN_BITS else {"$int": hex(v)}


def _array(_e: Encoder, v: array.array[Any], _d: int) -> Any:
    # The size of `l` and `L` depends on the system.
    code = {("l", 4): "i", ("l", 8): "q", ("L", 4): "I", ("L", 8): "Q"}.get((v.typecode, v.itemsize), v.typecode)
    if code not in _ARRAY_CODES:
        raise CodecError(f"an array of the type {v.typecode!r} cannot be sent", "send a list or a text")
    if sys.byteorder == "big":
        v = v[:]
        v.byteswap()
    return {"$array": [code, _b64(v.tobytes())]}


_RULES: dict[type, Callable[[Encoder, Any, int], Any]] = {
    type(None): lambda e, v, d: v,
    bool: lambda e, v, d: v,
    str: lambda e, v, d: v,
    int: _int,
    float: lambda e, v, d: v if math.isfinite(v) else {"$float": repr(v)},
    complex: lambda e, v, d: {"$complex": [e.json(v.real, d), e.json(v.imag, d)]},
    bytes: lambda e, v, d: {"$bytes": _b64(v)},
    bytearray: lambda e, v, d: {"$bytearray": _b64(v)},
    list: Encoder._list,
    tuple: lambda e, v, d: {"$tuple": e._items(v, d)},
    set: lambda e, v, d: {"$set": e._sorted(v, d)},
    frozenset: lambda e, v, d: {"$frozenset": e._sorted(v, d)},
    dict: Encoder._dict,
    collections.OrderedDict: lambda e, v, d: {"$odict": e._pairs(v, d)},
    collections.Counter: lambda e, v, d: {"$counter": e._pairs(v, d)},
    collections.defaultdict: Encoder._defaultdict,
    collections.deque: lambda e, v, d: {"$deque": [v.maxlen, e._items(v, d)]},
    range: lambda e, v, d: {"$range": [e.json(v.start, d), e.json(v.stop, d), e.json(v.step, d)]},
    dt.datetime: lambda e, v, d: {"$datetime": [v.replace(tzinfo=None).isoformat(), v.fold, *_zone(v)]},
    dt.date: lambda e, v, d: {"$date": v.isoformat()},
    dt.time: lambda e, v, d: {"$time": [v.replace(tzinfo=None).isoformat(), v.fold, *_zone(v)]},
    dt.timedelta: lambda e, v, d: {"$timedelta": [v.days, v.seconds, v.microseconds]},
    decimal.Decimal: lambda e, v, d: {"$decimal": str(v)},
    fractions.Fraction: lambda e, v, d: {"$fraction": [hex(v.numerator), hex(v.denominator)]},
    uuid.UUID: lambda e, v, d: {"$uuid": v.hex},
    array.array: _array,
}


def dumps(value: Any) -> str:
    """Returns compact JSON in ASCII. The value must be the output of an encoder."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


class Decoder:
    """Converts JSON text to values. ``classes`` are the allowed classes of instances; ``other`` reads further tags. The
    attributes of trusted input may have any name."""

    def __init__(
        self,
        classes: Mapping[str, type] | None = None,
        other: Callable[[str, Any], Any] | None = None,
        trusted: bool = False,
    ) -> None:
        self._trusted = trusted
        self._classes = classes if classes is not None else {}
        self._other = other

    def value(self, text: str | bytes, max_bytes: int = MAX_BYTES) -> Any:
        """Returns the value of a text.

        Raises :class:`CodecError` for anything that :class:`Encoder` would not have written.
        """
        return self.of_json(loads(text, max_bytes))

    def of_json(self, json_value: Any) -> Any:
        """Returns the value of parsed JSON.

        Raises :class:`CodecError` as :meth:`value` does.
        """
        try:
            return self._of(json_value, 0)
        except CodecError:
            raise
        except (ValueError, TypeError, ArithmeticError, KeyError, IndexError, AttributeError) as error:
            raise CodecError(f"a value is malformed: {_short(error)}") from None
        except RecursionError:
            raise CodecError("the value is nested too deeply") from None

    def _of(self, v: Any, depth: int) -> Any:
        kind = type(v)
        if kind is list:
            return self._items(v, depth + 1)
        if kind is not dict:
            return v
        if depth > MAX_DEPTH:
            raise CodecError("the value is nested too deeply")
        if len(v) == 1:
            (tag,) = v
            if tag.startswith("$"):
                reader = _READERS.get(tag)
                if reader is not None:
                    return reader(self, v[tag], depth + 1)
                if self._other is not None:
                    return self._other(tag, v[tag])
                raise CodecError(f"the tag {tag[:40]!r} is unknown")
        if any(map(_is_tag, v)):
            raise CodecError("a dict has a key that begins with `$`")
        if set(map(type, v.values())) <= _NUMBERS:
            return v
        of = self._of
        return {k: of(item, depth + 1) for k, item in v.items()}

    def _items(self, v: Any, depth: int) -> list[Any]:
        if type(v) is not list:
            raise CodecError("a list was expected")
        if depth > MAX_DEPTH:
            raise CodecError("the value is nested too deeply")
        if set(map(type, v)) <= _NUMBERS:
            return v
        of = self._of
        return [of(item, depth) for item in v]

    def _unique(self, keys: list[Any], made: Any) -> Any:
        if len(made) != len(keys):
            raise CodecError("a set or dict has a duplicate key")
        return made

    def _keys(self, keys: list[Any]) -> list[Any]:
        # Equal hashes make each lookup linear: 64 MiB of such keys would take days.
        if len(keys) > MAX_COLLISIONS and len(keys) - len(set(map(hash, keys))) > MAX_COLLISIONS:
            raise CodecError("a set or dict has too many keys of equal hash")
        return keys

    def _set(self, v: Any, depth: int) -> set[Any]:
        keys = self._keys(self._items(v, depth))
        made: set[Any] = self._unique(keys, set(keys))
        return made

    def _pairs(self, v: Any, depth: int) -> dict[Any, Any]:
        pairs = [(self._of(k, depth), self._of(item, depth)) for k, item in v]
        keys = self._keys([k for k, _ in pairs])
        made: dict[Any, Any] = self._unique(keys, dict(pairs))
        return made

    def _class(self, name: Any, base: type) -> Any:
        cls = self._classes.get(name) if type(name) is str else None
        if cls is None:
            raise UnknownClass(f"the class {str(name)[:200]!r} is not among those of the function")
        if not issubclass(cls, base):
            raise CodecError(f"the class {str(name)[:200]!r} is of another kind than its value")
        return cls

    def _object(self, v: Any, depth: int) -> Any:
        name, attributes = v
        cls = self._class(name, object)
        if issubclass(cls, (enum.Enum, BaseException)) or not _is_plain_instance(cls) or type(attributes) is not dict:
            raise CodecError(f"{str(name)[:200]!r} is not a class of plain instances")
        made = object.__new__(cls)
        self.restore(made, attributes, depth)
        return made

    def restore(self, made: Any, attributes: Mapping[str, Any], depth: int = 0) -> None:
        """Sets the attributes of an instance from their JSON."""
        for key, item in attributes.items():
            if key.startswith("__") and key.endswith("__") and not self._trusted:
                raise CodecError(f"an attribute may not be called {key[:40]!r}")
            _restore(made, key, self._of(item, depth))

    def _type(self, v: Any, _depth: int) -> Any:
        found = getattr(builtins, _str(v), None)
        return found if isinstance(found, type) else self._class(v, object)

    def _namedtuple(self, v: Any, depth: int) -> Any:
        name, items = v
        cls = self._class(name, tuple)
        if len(items) != len(cls._fields):
            raise CodecError(f"{name[:200]!r} has other fields")
        return tuple.__new__(cls, self._items(items, depth))

    def _enum(self, v: Any, _depth: int) -> Any:
        name, member = v
        return self._class(name, enum.Enum).__members__[member]

    def _deque(self, v: Any, depth: int) -> Any:
        maxlen, items = v
        if maxlen is not None and (type(maxlen) is not int or not 0 <= maxlen <= sys.maxsize):
            raise CodecError("a deque has a wrong length")
        return collections.deque(self._items(items, depth), maxlen)

    def _defaultdict(self, v: Any, depth: int) -> Any:
        name, pairs = v
        known = name is None or type(name) is str
        factory: Any = (None if name is None else _FACTORIES[name]) if known else self._of(name, depth)
        return collections.defaultdict(factory, self._pairs(pairs, depth))


def _tz(offset: Any, name: Any) -> dt.timezone | None:
    if offset is None:
        return None
    delta = dt.timedelta(microseconds=_whole(offset))
    if name is None:
        return dt.timezone(delta)
    return dt.timezone(delta, _str(name))


def _str(v: Any) -> str:
    if type(v) is not str:
        raise CodecError("text was expected")
    return v


def _whole(v: Any) -> int:
    if type(v) is not int:
        raise CodecError("a whole number was expected")
    return v


def _hex(v: Any, max_bits: int | None = None) -> int:
    text = _str(v)
    if max_bits is not None and len(text) * 4 > max_bits + 32:
        raise CodecError("a number is too large")
    if text[:3] != "-0x" and text[:2] != "0x":
        raise CodecError("a number is malformed")
    return int(text, 16)


def _read_float(_d: Decoder, v: Any, _depth: int) -> float:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[v]


def _read_number(d: Decoder, v: Any, depth: int) -> float:
    number = d._of(v, depth)
    if type(number) not in (float, int):
        raise CodecError("a number was expected")
    return float(number)


def _read_bytes(v: Any) -> bytes:
    return base64.b64decode(_str(v), validate=True)


def _read_datetime(_d: Decoder, v: Any, _depth: int) -> dt.datetime:
    text, fold, offset, name = v
    return dt.datetime.fromisoformat(_str(text)).replace(fold=_whole(fold), tzinfo=_tz(offset, name))


def _read_time(_d: Decoder, v: Any, _depth: int) -> dt.time:
    text, fold, offset, name = v
    return dt.time.fromisoformat(_str(text)).replace(fold=_whole(fold), tzinfo=_tz(offset, name))


def _read_timedelta(_d: Decoder, v: Any, _depth: int) -> dt.timedelta:
    days, seconds, microseconds = map(_whole, v)
    return dt.timedelta(days, seconds, microseconds)


def _read_fraction(_d: Decoder, v: Any, _depth: int) -> fractions.Fraction:
    numerator, denominator = v
    return fractions.Fraction(_hex(numerator, MAX_FRACTION_BITS), _hex(denominator, MAX_FRACTION_BITS))


def _read_decimal(_d: Decoder, v: Any, _depth: int) -> decimal.Decimal:
    return decimal.Decimal(_str(v))


def _read_array(_d: Decoder, v: Any, _depth: int) -> array.array[Any]:
    code, text = v
    if code not in _ARRAY_CODES:
        raise CodecError("an array has an unknown type")
    made: array.array[Any] = array.array(code)
    made.frombytes(_read_bytes(text))
    if sys.byteorder == "big":
        made.byteswap()
    return made


def _read_records(d: Decoder, v: Any, depth: int) -> list[dict[str, Any]]:
    names, columns = v
    names = [_str(name) for name in names]
    rows = zip(*(d._of(column, depth) for column in columns), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


_READERS: dict[str, Callable[[Decoder, Any, int], Any]] = {
    "$float": _read_float,
    "$int": lambda d, v, n: _hex(v),
    "$complex": lambda d, v, n: complex(_read_number(d, v[0], n), _read_number(d, v[1], n)),
    "$bytes": lambda d, v, n: _read_bytes(v),
    "$bytearray": lambda d, v, n: bytearray(_read_bytes(v)),
    "$tuple": lambda d, v, n: tuple(d._items(v, n)),
    "$set": lambda d, v, n: d._set(v, n),
    "$frozenset": lambda d, v, n: frozenset(d._set(v, n)),
    "$dict": lambda d, v, n: d._pairs(v, n),
    "$odict": lambda d, v, n: collections.OrderedDict(d._pairs(v, n)),
    "$counter": lambda d, v, n: collections.Counter(d._pairs(v, n)),
    "$defaultdict": Decoder._defaultdict,
    "$deque": Decoder._deque,
    "$range": lambda d, v, n: range(*(_whole(d._of(part, n)) for part in v)),
    "$datetime": _read_datetime,
    "$date": lambda d, v, n: dt.date.fromisoformat(_str(v)),
    "$time": _read_time,
    "$timedelta": _read_timedelta,
    "$decimal": _read_decimal,
    "$fraction": _read_fraction,
    "$uuid": lambda d, v, n: uuid.UUID(hex=_str(v)),
    "$array": _read_array,
    "$records": _read_records,
    "$type": Decoder._type,
    "$object": Decoder._object,
    "$namedtuple": Decoder._namedtuple,
    "$enum": Decoder._enum,
}


def _short(error: BaseException) -> str:
    return str(error)[:200]


def _constant(name: str) -> Any:
    raise CodecError(f"{name} is not JSON")


def _bounded_int(text: str) -> int:
    if len(text) > 400:
        raise CodecError("a number is too large")
    return int(text)


def loads(text: str | bytes, max_bytes: int = MAX_BYTES) -> Any:
    """Parses untrusted JSON.

    Raises :class:`CodecError` for more than ``max_bytes``, for invalid JSON, and for nesting that is too deep.
    """
    if len(text) > max_bytes:
        raise CodecError(f"the text has {len(text)} bytes, more than {max_bytes}")
    # Parsing a number takes time quadratic in its digits. Python limits the digits since 3.11.
    limited = getattr(sys, "get_int_max_str_digits", lambda: 0)() > 0
    try:
        if limited:
            return json.loads(text, parse_constant=_constant)
        return json.loads(text, parse_constant=_constant, parse_int=_bounded_int)
    except CodecError:
        raise
    except (ValueError, RecursionError) as error:
        raise CodecError(f"the text is not valid JSON: {_short(error)}") from None
