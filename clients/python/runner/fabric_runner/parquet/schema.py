"""The schema of a Parquet file: a tree of fields, whose leaves are columns."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

REQUIRED, OPTIONAL, REPEATED = 0, 1, 2

_CONVERTED = {
    0: ("string",),
    1: ("map",),
    2: ("map",),
    3: ("list",),
    4: ("string",),
    6: ("date",),
    7: ("time", 10**3),
    8: ("time", 10**6),
    9: ("timestamp", 10**3, True),
    10: ("timestamp", 10**6, True),
    11: ("integer", 8, False),
    12: ("integer", 16, False),
    13: ("integer", 32, False),
    14: ("integer", 64, False),
    19: ("string",),
}
"""Older annotations, by number (`ConvertedType` of the format). Those without an entry change nothing."""

_UNITS = {1: 10**3, 2: 10**6, 3: 10**9}


def _annotation(element: dict[int, Any]) -> tuple[Any, ...]:
    """Returns the kind of a field's values and the details of the kind, or an empty tuple for a plain type."""
    logical = element.get(10)
    if logical:
        number, more = next(iter(logical.items()))
        match number:
            case 1 | 4 | 12:
                return ("string",)
            case 2:
                return ("map",)
            case 3:
                return ("list",)
            case 5:
                return ("decimal", more.get(1, 0))
            case 6:
                return ("date",)
            case 7:
                return ("time", _UNITS[next(iter(more[2]))])
            case 8:
                return ("timestamp", _UNITS[next(iter(more[2]))], more[1])
            case 10:
                return ("integer", more[1], more[2])
            case 14:
                return ("uuid",)
            case 15:
                return ("float16",)
    converted = element.get(6)
    if converted == 5:
        return ("decimal", element.get(7, 0))
    return _CONVERTED.get(converted, ()) if converted is not None else ()


@dataclass
class Field:
    """A field: a column, or a group of fields."""

    name: str
    repetition: int
    #: Physical type of a column, by number (`Type` of the format); None for a group.
    physical: int | None
    #: Number of bytes of a value of fixed length.
    length: int
    annotation: tuple[Any, ...]
    #: Levels of this field: the number of optional and repeated fields, and of repeated fields, from the root to it.
    definition: int
    nesting: int
    children: "list[Field]" = field(default_factory=list)

    def leaves(self) -> "Iterator[Field]":
        """Yields the columns below this field, in the order of the file."""
        if self.physical is not None:
            yield self
        for child in self.children:
            yield from child.leaves()


def fields(elements: list[dict[int, Any]]) -> list[Field]:
    """Returns the top-level fields."""
    stream = iter(elements)
    root = next(stream)
    return [_field(stream, 0, 0) for _ in range(root.get(5, 0))]


def _field(stream: Iterator[dict[int, Any]], definition: int, nesting: int) -> Field:
    element = next(stream)
    repetition = element.get(3, REQUIRED)
    definition += repetition != REQUIRED
    nesting += repetition == REPEATED
    children = element.get(5, 0)
    made = Field(
        element[4].decode("utf-8", "replace"),
        repetition,
        None if children else element.get(1),
        element.get(2, 0),
        _annotation(element),
        definition,
        nesting,
    )
    made.children = [_field(stream, definition, nesting) for _ in range(children)]
    return made
