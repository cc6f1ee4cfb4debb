"""Reads structs in Thrift's compact protocol, the format of Parquet's metadata."""

import struct
from typing import Any

_DEPTH = 32
"""Maximum nesting. Parquet's metadata has less than ten levels."""

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Returns an unsigned integer and the position after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("an integer of the metadata has more than 64 bits")


def zigzag(data: bytes, at: int) -> tuple[int, int]:
    """Returns a signed integer and the position after it."""
    value, at = varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def read_struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Returns a struct, its fields by number, and the position after it."""
    if depth > _DEPTH:
        raise ValueError("the metadata is nested too deeply")
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head = data[at]
        at += 1
        if head == 0:
            return fields, at
        step, kind = head >> 4, head & 15
        if step:
            number += step
        else:
            number, at = zigzag(data, at)
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(data, at, kind, depth)


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_TRUE, _FALSE):
        # An element of a list; a field has its value in its head.
        return data[at] == _TRUE, at + 1
    if kind == _BYTE:
        return data[at], at + 1
    if kind in (4, 5, 6):
        return zigzag(data, at)
    if kind == _DOUBLE:
        return struct.unpack_from("<d", data, at)[0], at + 8
    if kind == _BINARY:
        size, at = varint(data, at)
        return data[at : at + size], at + size
    if kind == _STRUCT:
        return read_struct(data, at, depth + 1)
    if kind in (_LIST, _SET):
        return _list(data, at, depth)
    if kind == _MAP:
        return _map(data, at, depth)
    raise ValueError(f"the metadata has a value of the unknown type {kind}")


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    size, kind = data[at] >> 4, data[at] & 15
    at += 1
    if size == 15:
        size, at = varint(data, at)
    values = []
    for _ in range(size):
        value, at = _value(data, at, kind, depth + 1)
        values.append(value)
    return values, at


def _map(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    size, at = varint(data, at)
    pairs: list[Any] = []
    if size:
        kinds = data[at]
        at += 1
        for _ in range(size):
            key, at = _value(data, at, kinds >> 4, depth + 1)
            value, at = _value(data, at, kinds & 15, depth + 1)
            pairs.append((key, value))
    return pairs, at
