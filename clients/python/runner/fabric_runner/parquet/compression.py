"""Decompresses pages."""

import zlib
from collections.abc import Callable

from . import zstd
from .repeat import repeat
from .thrift import varint


def snappy(data: bytes, size: int) -> bytes:
    """Decompresses Snappy: https://github.com/google/snappy/blob/main/format_description.txt."""
    _, at = varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        kind, length = tag & 3, tag >> 2
        if kind == 0:
            if length >= 60:
                more = length - 59
                length = int.from_bytes(data[at : at + more], "little")
                at += more
            length += 1
            out += data[at : at + length]
            at += length
            continue
        if kind == 1:
            length = (length & 7) + 4
            offset = (tag >> 5) << 8 | data[at]
            at += 1
        else:
            length += 1
            more = 2 if kind == 2 else 4
            offset = int.from_bytes(data[at : at + more], "little")
            at += more
        repeat(out, offset, length)
    return bytes(out)


def lz4(data: bytes, size: int) -> bytes:
    """Decompresses an LZ4 block: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md."""
    out = bytearray()
    at = 0
    while at < len(data):
        token = data[at]
        length, at = _lz4_length(data, at + 1, token >> 4)
        out += data[at : at + length]
        at += length
        if at >= len(data):
            break
        offset = int.from_bytes(data[at : at + 2], "little")
        length, at = _lz4_length(data, at + 2, token & 15)
        repeat(out, offset, length + 4)
    return bytes(out)


def _lz4_length(data: bytes, at: int, length: int) -> tuple[int, int]:
    if length == 15:
        while True:
            more = data[at]
            at += 1
            length += more
            if more < 255:
                break
    return length, at


def _gzip(data: bytes, size: int) -> bytes:
    return zlib.decompress(data, zlib.MAX_WBITS | 32)


_BY_NUMBER: dict[int, Callable[[bytes, int], bytes]] = {1: snappy, 2: _gzip, 6: zstd.decompress, 7: lz4}
_OTHER = {3: "LZO", 4: "Brotli", 5: "LZ4 of Hadoop"}


def decompress(codec: int, data: bytes, size: int) -> bytes:
    """Returns the content of a page of `size` bytes. `codec` is a number of `CompressionCodec` of the format.

    Raises:
        ValueError: for another size, and for a compression that is not supported.
    """
    if codec == 0:
        return data
    if codec not in _BY_NUMBER:
        raise ValueError(
            f"the file is compressed with {_OTHER.get(codec, f'codec {codec}')}, which cannot be read here: write it "
            "with Snappy, Zstandard, gzip or LZ4, or without compression"
        )
    content = _BY_NUMBER[codec](data, size)
    if len(content) != size:
        raise ValueError(f"a page has {len(content)} bytes instead of {size}")
    return content
