"""Reads the pages of a column."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import encodings
from .compression import decompress
from .encodings import Values
from .schema import Field
from .thrift import read_struct

_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_DELTAS = {encodings.INT32: 32, encodings.INT64: 64}


@dataclass
class Column:
    """The content of a column. Levels are empty if they are all zero."""

    repetitions: list[int]
    definitions: list[int]
    #: The values that are there, in order.
    values: Values


@dataclass
class _Page:
    """The levels and the encoded values of a page."""

    repetitions: list[int]
    definitions: list[int]
    #: Number of values that are there.
    count: int
    encoding: int
    data: bytes


def read(data: bytes, meta: dict[int, Any], field: Field) -> Column:
    """Returns the content of a column chunk, whose metadata is `meta` (`ColumnMetaData` of the format)."""
    column = Column([], [], ())
    parts: list[Values] = []
    known: Values | None = None
    at = min(meta[9], meta.get(11) or meta[9])
    left = meta[5]
    while left > 0:
        head, at = read_struct(data, at)
        body = data[at : at + head[3]]
        if len(body) != head[3]:
            raise ValueError("a page ends after the file")
        at += head[3]
        if head[1] == _DICTIONARY:
            content = decompress(meta[4], body, head[2])
            known = encodings.plain(content, meta[1], field.length, head[7][1])
            continue
        if head[1] not in (_DATA, _DATA_2):
            continue
        page = _first(head, body, meta, field) if head[1] == _DATA else _second(head, body, meta, field)
        column.repetitions += page.repetitions
        column.definitions += page.definitions
        parts.append(_values(page, meta[1], field, known))
        left -= head[5 if head[1] == _DATA else 8][1]
    column.values = joined(parts)
    return column


def _first(head: dict[int, Any], body: bytes, meta: dict[int, Any], field: Field) -> _Page:
    """Reads a data page of the first version: levels and values are compressed together."""
    about = head[5]
    content = decompress(meta[4], body, head[2])
    repetitions, at = _levels(content, 0, field.nesting, about[1])
    definitions, at = _levels(content, at, field.definition, about[1])
    return _Page(repetitions, definitions, _present(definitions, field, about[1]), about[2], content[at:])


def _levels(content: bytes, at: int, most: int, count: int) -> tuple[list[int], int]:
    """Returns levels that have their size before them, and the position after them."""
    if not most:
        return [], at
    start = at + 4
    end = start + int.from_bytes(content[at:start], "little")
    return encodings.hybrid(content[:end], start, most.bit_length(), count), end


def _second(head: dict[int, Any], body: bytes, meta: dict[int, Any], field: Field) -> _Page:
    """Reads a data page of the second version: levels are not compressed and have their sizes in the head."""
    about = head[8]
    repetition, definition = about[6], about[5]
    nested, optional = field.nesting, field.definition
    repetitions = encodings.hybrid(body[:repetition], 0, nested.bit_length(), about[1]) if nested else []
    levels = body[repetition : repetition + definition]
    definitions = encodings.hybrid(levels, 0, optional.bit_length(), about[1]) if optional else []
    content = body[repetition + definition :]
    if about.get(7, True) and content:
        content = decompress(meta[4], content, head[2] - repetition - definition)
    return _Page(repetitions, definitions, _present(definitions, field, about[1]), about[4], content)


def _present(definitions: list[int], field: Field, count: int) -> int:
    return definitions.count(field.definition) if field.definition else count


def _values(page: _Page, kind: int, field: Field, known: Values | None) -> Values:
    found = _decoded(page, kind, field, known)
    if len(found) != page.count:
        raise ValueError(f"a page of column {field.name} has {len(found)} values instead of {page.count}")
    return found


def _decoded(page: _Page, kind: int, field: Field, known: Values | None) -> Values:
    data, count = page.data, page.count
    match page.encoding:
        case 0:
            return encodings.plain(data, kind, field.length, count)
        case 2 | 8:
            if known is None:
                raise ValueError(f"column {field.name} has no dictionary")
            return encodings.dictionary(data, known, count)
        case 3 if kind == encodings.BOOLEAN:
            return encodings.booleans(data, count)
        case 5 if kind in _DELTAS:
            return encodings.delta(data, 0, _DELTAS[kind])[0]
        case 6:
            return encodings.delta_lengths(data, 0)
        case 7:
            return encodings.delta_strings(data)
        case 9:
            return encodings.split(data, kind, field.length, count)
    raise ValueError(f"column {field.name} has encoding {page.encoding}, which cannot be read here")


def joined(parts: Iterable[Values]) -> Values:
    """Joins the values of pages. Arrays of one type stay an array."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    codes = {getattr(part, "typecode", None) for part in parts}
    if len(codes) == 1 and codes != {None}:
        whole: Any = parts[0][:0]
        for part in parts:
            whole.extend(part)
        return whole
    return [value for part in parts for value in part]
