"""Makes lists, structs and maps of nested columns.

A column has a repetition and a definition level for each of its values, present or not. The definition level tells how
many of the optional and repeated fields on the way to the value are there; the repetition level tells which repeated
field continues. See https://research.google/pubs/pub36632 (Melnik et al., Dremel, 2010), section 4.
"""

from collections.abc import Callable
from typing import Any

from .encodings import Values
from .schema import OPTIONAL, REPEATED, REQUIRED, Field


class Cursor:
    """Reads the levels and values of a column one after the other."""

    def __init__(self, repetitions: list[int], definitions: list[int], values: Values, most: int) -> None:
        self._repetitions, self._definitions, self._values, self._most = repetitions, definitions, iter(values), most
        self._at = 0

    @property
    def repetition(self) -> int:
        """Repetition level of the next value; -1 at the end."""
        return self._repetitions[self._at] if self._at < len(self._repetitions) else -1

    @property
    def definition(self) -> int:
        """Definition level of the next value."""
        return self._definitions[self._at] if self._definitions else self._most

    def take(self) -> Any:
        """Returns the next value, or None if it is missing."""
        is_there = self.definition == self._most
        self._at += 1
        return next(self._values) if is_there else None


Read = Callable[[], Any]


def records(field: Field, cursors: dict[int, Cursor], count: int) -> list[Any]:
    """Returns the values of a top-level field. `cursors` has one for each column below it, by `id` of its field."""
    read = _field(field, cursors)
    return [read() for _ in range(count)]


def _field(field: Field, cursors: dict[int, Cursor]) -> Read:
    below = [cursors[id(leaf)] for leaf in field.leaves()]
    if field.repetition == REPEATED:
        return _repeated(field, _present(field, cursors), below)
    present = _present(field, cursors)
    if field.repetition == REQUIRED or field.physical is not None:
        return present
    return lambda: present() if below[0].definition >= field.definition else _skip(below)


def _present(field: Field, cursors: dict[int, Cursor]) -> Read:
    """Returns a function that reads the value of a field that is there."""
    if field.physical is not None:
        return cursors[id(field)].take
    inner = field.children[0] if len(field.children) == 1 else None
    if inner is not None and inner.repetition == REPEATED:
        if field.annotation == ("list",):
            return _list(inner, field, cursors)
        if field.annotation == ("map",) and len(inner.children) == 2:
            pairs = _field(inner, cursors)
            return lambda: _dict([tuple(pair.values()) for pair in pairs()])
    parts = [(child.name, _field(child, cursors)) for child in field.children]
    return lambda: {name: read() for name, read in parts}


def _list(inner: Field, field: Field, cursors: dict[int, Cursor]) -> Read:
    """Returns the reader of a list. Its element is the only field of the repeated group, except in old files (see
    LogicalTypes.md, "Backward-compatibility rules")."""
    is_wrapped = len(inner.children) == 1 and inner.name not in ("array", f"{field.name}_tuple")
    if not is_wrapped:
        return _field(inner, cursors)
    element = _field(inner.children[0], cursors)
    return _repeated(inner, element, [cursors[id(leaf)] for leaf in inner.leaves()])


def _repeated(field: Field, element: Read, below: list[Cursor]) -> Read:
    first = below[0]

    def read() -> list[Any]:
        if first.definition < field.definition:
            _skip(below)
            return []
        found = [element()]
        while first.repetition == field.nesting:
            found.append(element())
        return found

    return read


def _skip(below: list[Cursor]) -> None:
    for cursor in below:
        cursor.take()


def _dict(pairs: list[Any]) -> Any:
    """Returns a map, as a list of pairs if a key occurs twice or is a list or struct."""
    try:
        made = dict(pairs)
    except TypeError:
        return pairs
    return made if len(made) == len(pairs) else pairs


def is_nested(field: Field) -> bool:
    """Returns True unless the field is a single column without repetition."""
    return field.physical is None or field.repetition not in (REQUIRED, OPTIONAL)
