"""Decodes values of a page: https://github.com/apache/parquet-format/blob/master/Encodings.md.

Numbers are returned as `array.array`, which is smaller and faster than a list.
"""

import array
import sys
from collections.abc import Sequence
from typing import Any

from .thrift import varint, zigzag

BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = range(8)
"""Physical types."""

_ARRAYS = {INT32: "i", INT64: "q", FLOAT: "f", DOUBLE: "d"}
_BITS = [[byte >> bit & 1 for bit in range(8)] for byte in range(256)]

Values = Sequence[Any]


def numbers(code: str, data: bytes) -> "array.array[Any]":
    """Returns little-endian numbers as an array."""
    made = array.array(code)
    made.frombytes(data)
    if sys.byteorder == "big":
        made.byteswap()
    return made


def unpacked(data: bytes, width: int) -> Values:
    """Returns bit-packed integers of `width` bits, the least significant first. Their number is a multiple of 8."""
    if width == 1:
        return [bit for byte in data for bit in _BITS[byte]]
    if width == 8:
        return data
    if width in (16, 32):
        return numbers("H" if width == 16 else "I", data)
    mask = (1 << width) - 1
    shifts = range(0, 8 * width, width)
    whole = int.from_bytes
    return [
        eight >> shift & mask
        for at in range(0, len(data), width)
        for eight in (whole(data[at : at + width], "little"),)
        for shift in shifts
    ]


def hybrid(data: bytes, at: int, width: int, count: int) -> list[int]:
    """Returns `count` integers in the encoding of levels and dictionary indexes: runs, and bit-packed groups."""
    values: list[int] = []
    size = (width + 7) // 8
    while len(values) < count:
        head, at = varint(data, at)
        if head & 1:
            end = at + (head >> 1) * width
            if at >= len(data) and width:
                raise ValueError("a page ends too early")
            packed = data[at:end]
            if width and len(packed) % width:
                packed += bytes(width - len(packed) % width)
            values += unpacked(packed, width) if width else [0] * (8 * (head >> 1))
            at = end
        else:
            # A run may claim any length; a page has no more values than its header says.
            values += [int.from_bytes(data[at : at + size], "little")] * min(head >> 1, count - len(values))
            at += size
            if head == 0:
                raise ValueError("a run of a page is empty")
    del values[count:]
    return values


def plain(data: bytes, kind: int, length: int, count: int) -> Values:
    """Returns `count` values of a physical type. `length` is the size of values of fixed length."""
    if kind in _ARRAYS:
        code = _ARRAYS[kind]
        return numbers(code, data[: count * array.array(code).itemsize])
    if kind == BOOLEAN:
        return list(map(bool, unpacked(data[: (count + 7) // 8], 1)[:count]))
    if kind == BYTE_ARRAY:
        found = []
        at = 0
        for _ in range(count):
            start = at + 4
            at = start + int.from_bytes(data[at:start], "little")
            found.append(data[start:at])
        if at > len(data):
            raise ValueError("a page ends too early")
        return found
    size = 12 if kind == INT96 else length
    return [data[at : at + size] for at in range(0, count * size, size)]


def dictionary(data: bytes, values: Values, count: int) -> Values:
    """Returns `count` values of a dictionary by their indexes."""
    found = [values[index] for index in hybrid(data, 1, data[0], count)] if count else []
    return array.array(values.typecode, found) if isinstance(values, array.array) else found


def booleans(data: bytes, count: int) -> list[bool]:
    """Returns `count` run-length encoded booleans."""
    return list(map(bool, hybrid(data, 4, 1, count)))


def delta(data: bytes, at: int, bits: int) -> "tuple[array.array[int], int]":
    """Returns integers of `bits` bits in DELTA_BINARY_PACKED, and the position after them."""
    block, at = varint(data, at)
    parts, at = varint(data, at)
    total, at = varint(data, at)
    value, at = zigzag(data, at)
    each = block // parts
    if total > 8 * block * max(len(data), 1):
        raise ValueError("a page has more values than it has room for")
    half, whole = 1 << bits - 1, (1 << bits) - 1
    values = array.array("i" if bits == 32 else "q", [value] if total else [])
    while len(values) < total:
        least, at = zigzag(data, at)
        widths = data[at : at + parts]
        at += parts
        for width in widths:
            if len(values) >= total:
                break
            size = each * width // 8
            steps = unpacked(data[at : at + size], width) if width else [0] * each
            if len(steps) < each:
                raise ValueError("a page ends too early")
            at += size
            for step in steps[: total - len(values)]:
                value = ((value + least + step + half) & whole) - half
                values.append(value)
    return values, at


def delta_lengths(data: bytes, at: int) -> list[bytes]:
    """Returns byte strings in DELTA_LENGTH_BYTE_ARRAY: all lengths, then all bytes."""
    lengths, at = delta(data, at, 32)
    found = []
    for length in lengths:
        found.append(data[at : at + length])
        at += length
    return found


def delta_strings(data: bytes) -> list[bytes]:
    """Returns byte strings in DELTA_BYTE_ARRAY: each has a prefix of the one before."""
    shared, at = delta(data, 0, 32)
    found = []
    last = b""
    for length, rest in zip(shared, delta_lengths(data, at), strict=True):
        last = last[:length] + rest
        found.append(last)
    return found


def split(data: bytes, kind: int, length: int, count: int) -> Values:
    """Returns `count` values in BYTE_STREAM_SPLIT: the first bytes of all values, then the second ones, and so on."""
    size = array.array(_ARRAYS[kind]).itemsize if kind in _ARRAYS else length
    joined = bytearray(count * size)
    for byte in range(size):
        joined[byte::size] = data[byte * count : (byte + 1) * count]
    return plain(bytes(joined), kind, length, count)
